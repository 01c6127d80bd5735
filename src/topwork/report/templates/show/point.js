// What is known about the chosen point of the map of images.
function pointDetail(i) {
  const id = M.ids[i];
  const answers = D.strategies.map((strategy, s) => {
    const label = M.predicted[s]?.[i];
    if (label === undefined) return null;
    const right = label === M.labels[i];
    return el(
      "li",
      {},
      el(
        "span",
        { class: right ? "right" : "wrong" },
        right ? "\u2713" : "\u2717",
        el("span", { class: "unseen" }, right ? "right" : "wrong"),
      ),
      " ",
      name(strategy.name),
      el("span", { class: "muted" }, " "),
      name(className(label), { class: "answer" }),
    );
  });
  const near = M.nearest.map((rows, network) => {
    if (!rows[i]?.length) return null;
    const same = rows[i].filter((n) => M.training_labels[n] === M.labels[i]).length;
    return el(
      "div",
      { class: "near" },
      el(
        "h4",
        {},
        swatch(networkColour(network)),
        name(D.networks[network].name),
        el("small", {}, ` ${same} of ${rows[i].length} of its class`),
      ),
      el(
        "div",
        { class: "neighbours" },
        rows[i].map((n) => neighbour(n, M.training_labels[n] === M.labels[i])),
      ),
    );
  });
  const shown = shownIds.get(id);
  return [
    el(
      "div",
      { class: "detail-head" },
      tile(M.thumbnails, i, 160, `The image ${id}`),
      el(
        "div",
        {},
        el("b", {}, name(className(M.labels[i]))),
        name(id, { class: "id" }),
        shown === undefined
          ? null
          : el("button", { type: "button", on: { click: () => goToPhoto(shown) } }, "Show its layers"),
      ),
    ),
    answers.some(Boolean) ? el("ul", { class: "answers-list" }, answers) : null,
    near.some(Boolean) ? el("h4", { class: "fine" }, "Nearest training photos") : null,
    ...near,
  ].filter(Boolean);
}

function neighbour(n, same) {
  const label = className(M.training_labels[n]);
  return el(
    "figure",
    { class: same ? "" : "other" },
    tile(M.training, n, 80, `Training photo of ${label}`),
    el("figcaption", {}, name(label)),
  );
}

function goToPhoto(i) {
  set({ photo: i, section: "photo" });
  document.getElementById("photo")?.scrollIntoView();
}
