"use strict";
// The list of images to exclude: boxes of one image are ticked together, and the list is saved as a CSV file.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const proposed = new Map(read("proposed"));
  const before = read("before");
  const chosen = new Map();
  const boxes = [...document.querySelectorAll("input[data-image]")];
  const count = document.getElementById("count");
  const propose = document.getElementById("propose");
  const none = document.getElementById("none");
  const save = document.getElementById("save");

  const show = () => {
    for (const box of boxes) {
      box.checked = chosen.has(box.dataset.image);
      box.closest("figure").classList.toggle("ticked", box.checked);
    }
    count.textContent = chosen.size === 1 ? "1 image to exclude" : `${chosen.size.toLocaleString("en")} images to exclude`;
    save.disabled = !chosen.size;
    none.disabled = !chosen.size;
    propose.disabled = [...proposed.keys()].every((image) => chosen.has(image));
  };
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  for (const box of boxes) {
    box.addEventListener("change", () => {
      const image = box.dataset.image;
      if (box.checked) chosen.set(image, proposed.get(image) ?? "ticked on the page of topwork check");
      else chosen.delete(image);
      show();
    });
  }
  propose.addEventListener("click", () => {
    for (const [image, reason] of proposed) chosen.set(image, reason);
    show();
  });
  none.addEventListener("click", () => {
    chosen.clear();
    show();
  });
  save.addEventListener("click", () => {
    const rows = [["image", "reason"], ...before.map((image) => [image, "excluded before"]), ...chosen];
    const text = rows.map((row) => row.map(cell).join(",") + "\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "exclude.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  document.documentElement.classList.add("can-tick");
  show();
})();
