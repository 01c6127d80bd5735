// Uses the page of `topwork show` as a reader would; what it read stands in the element "read". MODE comes before it.
(async () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const text = (node) => (node ? node.textContent.replace(/\s+/g, " ").trim() : null);
  const pause = (ms = 60) => new Promise((done) => setTimeout(done, ms));
  const key = (node, name) =>
    node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const point = (node, u, v, type = "pointermove") => {
    const box = node.getBoundingClientRect();
    const place = { clientX: box.left + u * box.width, clientY: box.top + v * box.height, bubbles: true };
    node.dispatchEvent(new PointerEvent(type, place));
  };
  const fill = (node, value, event) => {
    node.value = value;
    node.dispatchEvent(new Event(event, { bubbles: true }));
  };
  const pixel = (canvas, u, v) => [
    ...canvas.getContext("2d").getImageData(u * canvas.width, v * canvas.height, 1, 1).data,
  ];

  function look() {
    return {
      width: innerWidth,
      overflow: document.documentElement.scrollWidth - innerWidth,
      sections: all("section[id]").map((section) => section.id),
      links: all("nav.sections a").map((link) => link.hash.slice(1)),
      empty: all("section[id] > .mount").filter((node) => !node.children.length).length,
      image: all("#picker input").findIndex((input) => input.checked),
      photoText: text(one("#image")),
      classText: text(one("#heatmaps .columns")),
      classChosen: text(one("#heatmaps .controls label:has(input:checked)")),
      selects: all("select").map((select) => select.options.length),
      reads: all("#heatmaps .reading").map(text),
      layer: text(one("#layers .layer-head")),
      options: all("#layers [role=option]").filter((row) => !row.hidden).length,
      dialog: Boolean(one("dialog[open]")),
      point: text(one("#similarity .detail .id")),
      scripts: Boolean(window.intruded),
      images: all("img[src='x']").length,
    };
  }

  async function use() {
    const read = {};
    one("#heatmaps input[value='1']").click();
    one("#heatmaps input[value='blocks.4']").click();
    const maps = all("#heatmaps .maps canvas");
    point(maps[0], 0.56, 0.25);
    await pause();
    read.hovered = all("#heatmaps .reading").map(text);
    key(maps[1], "ArrowRight");
    key(maps[1], "ArrowDown");
    read.stepped = all("#heatmaps .reading").map(text);
    read.scales = all("#heatmaps .columns .numbers").map(text);
    one("#heatmaps details").open = true;
    await pause();
    read.cells = all("#heatmaps details table td").slice(0, 14).map(text);

    all("#picker input")[1].click();
    await pause();
    read.afterPhoto = look();

    const list = one("#layers [role=listbox]");
    all("#layers [role=option]")
      .find((row) => row.dataset.key === "blocks.3")
      .click();
    await pause();
    key(list, "ArrowDown");
    await pause(200);
    read.layer = text(one("#layers .layer-head h3"));
    read.selected = list.getAttribute("aria-activedescendant") === one("#layers [aria-selected=true]").id;
    read.tiles = all("#layers .channels").map((grid) => grid.children.length);
    all("#layers input[type=radio]")
      .find((input) => text(input.parentElement) === "pixelated")
      .click();
    all("#layers .tile")[2].click();
    await pause(200);
    const large = one("dialog canvas");
    point(large, 0.31, 0.62);
    read.channel = { open: one("dialog").open, name: text(one("dialog h3")), read: text(one("dialog .reading")) };
    key(large, "Escape");
    read.pixel = pixel(large, 0.31, 0.62);
    one("dialog details").open = true;
    await pause();
    read.numbers = all("dialog tbody tr").map((row) => all("td", row).map(text));
    one("dialog button").click();
    await pause();
    read.closed = !one("dialog").open;

    all("#layers input[type=radio]")
      .find((input) => text(input.parentElement) === "all")
      .click();
    fill(one("#layers input[type=search]"), "blocks.2 conv_pw", "input");
    await pause();
    read.found = all("#layers [role=option]")
      .filter((row) => !row.hidden)
      .map((row) => row.dataset.key);
    all("#layers [role=option]")
      .find((row) => row.dataset.key === "blocks.2.0.conv_pw")
      .click();
    await pause();
    read.absent = text(one("#layers .absent"));
    fill(one("#layers input[type=search]"), "", "input");
    key(list, "End");
    await pause();
    read.last = text(one("#layers .layer-head h3"));

    const excited = () => one("#layers .patches canvas");
    all("#layers [role=option]")
      .find((row) => row.dataset.key === "blocks.1")
      .click();
    await pause();
    key(excited(), "ArrowRight");
    key(excited(), "ArrowRight");
    read.patch = text(one("#layers .patches output"));

    const [probes] = all("#probes .chart-box");
    key(probes, "Home");
    read.probe = text(one("#probes .readout"));
    const changes = all("#changes .chart-box");
    point(changes[1], 0, 0.5);
    read.change = text(one("#changes .readout"));
    key(changes[0], "ArrowRight");
    read.nextChange = text(one("#changes .readout"));

    const plot = one("#similarity canvas[role=application]");
    const [x, y] = DATA.similarity_map.points[0][17];
    const side = plot.getBoundingClientRect().width;
    point(plot, (14 + x * (side - 28)) / side, (14 + y * (side - 28)) / side);
    read.point = text(one("#similarity .detail .id"));
    read.pointText = text(one("#similarity .detail"));
    key(plot, "ArrowUp");
    read.above = text(one("#similarity .detail .id"));
    one("#similarity input[value='svm']").click();
    read.legend = text(one("#similarity .legend-row"));
    await pause(400);
    read.hash = location.hash;
    read.end = look();
    return read;
  }

  const DATA = JSON.parse(document.getElementById("data").textContent);
  const answer = { read: null, failures: window.failures };
  try {
    await pause(300);
    answer.read = MODE === "use" ? await use() : look();
  } catch (error) {
    window.failures.push(`driver: ${error.stack}`);
  }
  const words = JSON.stringify(answer);
  if (parent !== window) return parent.postMessage(words, "*");
  const pre = document.createElement("pre");
  pre.id = "read";
  pre.textContent = words;
  document.body.append(pre);
})();
