// The details of the selected image of the similarity map.
function pointDetail(i) {
  const id = similarity.ids[i];
  const predictions = data.strategies.map((strategy, s) => {
    const label = similarity.predicted[s]?.[i];
    if (label === undefined) return null;
    const right = label === similarity.labels[i];
    return el(
      "li",
      {},
      el(
        "span",
        { class: right ? "right" : "wrong" },
        right ? "\u2713" : "\u2717",
        el("span", { class: "visually-hidden" }, right ? "right" : "wrong"),
      ),
      " ",
      name(strategy.name),
      el("span", { class: "muted" }, " "),
      name(className(label), { class: "predicted" }),
    );
  });
  const neighbors = similarity.neighbors.map((rows, network) => {
    if (!rows[i]?.length) return null;
    const same = rows[i].filter((n) => similarity.training_labels[n] === similarity.labels[i]).length;
    return el(
      "div",
      { class: "neighbor-row" },
      el(
        "h4",
        {},
        swatch(networkColor(network)),
        name(data.networks[network].name),
        el("small", {}, ` ${same} of ${rows[i].length} of the same class`),
      ),
      el(
        "div",
        { class: "neighbors" },
        rows[i].map((n) => neighbor(n, similarity.training_labels[n] === similarity.labels[i])),
      ),
    );
  });
  const shown = shownIds.get(id);
  return [
    el(
      "div",
      { class: "detail-head" },
      tile(similarity.thumbnails, i, 160, `The image ${id}`),
      el(
        "div",
        {},
        el("b", {}, name(className(similarity.labels[i]))),
        name(id, { class: "id" }),
        shown === undefined
          ? null
          : el("button", { type: "button", on: { click: () => goToImage(shown) } }, "Show its activations"),
      ),
    ),
    predictions.some(Boolean) ? el("ul", { class: "prediction-list" }, predictions) : null,
    neighbors.some(Boolean) ? el("h4", { class: "fine" }, "Most similar training images") : null,
    ...neighbors,
  ].filter(Boolean);
}

function neighbor(n, same) {
  const label = className(similarity.training_labels[n]);
  return el(
    "figure",
    { class: same ? "" : "other" },
    tile(similarity.training, n, 80, `Training image of ${label}`),
    el("figcaption", {}, name(label)),
  );
}

function goToImage(i) {
  setState({ image: i, section: "image" });
  document.getElementById("image")?.scrollIntoView();
}
