// Two charts by depth: how well the classes can be told apart, and what fine-tuning changed.
function mountDepth() {
  const node = mount("depth");
  if (!node) return;
  const names = unique(D.probes.flatMap((points) => points.map((point) => point.layer))).sort(byDepth);
  const rows = D.probes.map((points, i) => ({ network: i, points })).filter((row) => row.points.length);
  const series = rows.map(({ network, points }) => {
    const by = new Map(points.map((point) => [point.layer, point]));
    return {
      network,
      colour: networkColour(network),
      points: names.map((layer) =>
        by.has(layer) ? { y: by.get(layer).accuracy, low: by.get(layer).low, high: by.get(layer).high } : null,
      ),
    };
  });
  const values = rows
    .flatMap(({ points }) => points.flatMap((point) => [point.low, point.high]))
    .concat(D.majority ?? [])
    .filter(known);
  const low = Math.max(0, Math.floor(Math.min(...values) * 10 - 0.2) / 10);
  const high = Math.min(1, Math.ceil(Math.max(...values) * 10 + 0.2) / 10);
  const legend = el("div", { class: "readout", "aria-live": "polite" });
  const chart = lineChart({
    label: "Accuracy by stage",
    names,
    marks: names.map((_, i) => i),
    series,
    low,
    high,
    format: (value) => pct(value),
    height: 300,
    line: known(D.majority) ? { y: D.majority, words: `always the most frequent class: ${pct(D.majority, 1)}` } : null,
    onRead: read,
  });
  function read(i) {
    chart.read(i);
    legend.replaceChildren(
      el("b", { class: "path" }, names[i]),
      ...series.map((one, n) => {
        const point = one.points[i];
        const words = point
          ? [el("b", {}, pct(point.y, 1)), el("small", {}, ` ${pct(point.low, 1)} to ${pct(point.high, 1)}`)]
          : "\u2013";
        return el("span", {}, legendMark(n, one.colour), name(D.networks[one.network].name), " ", words);
      }),
    );
  }
  const lines = () =>
    names.map((layer, i) => [
      layer,
      ...series.map((one) =>
        one.points[i]
          ? `${pct(one.points[i].y, 1)} (${pct(one.points[i].low, 1)} to ${pct(one.points[i].high, 1)})`
          : "\u2013",
      ),
    ]);
  node.append(
    legend,
    chart.node,
    folded("As a table", () =>
      table(
        "Accuracy on test of a linear classifier",
        ["stage", ...series.map((one) => D.networks[one.network].name)],
        lines(),
      ),
    ),
  );
  read(names.length - 1);
}

function mountChanges() {
  const node = mount("changes");
  if (!node) return;
  const names = D.changes.map((change) => change.layer);
  let marks = names.map((layer, i) => (isStage(layer) ? i : -1)).filter((i) => i >= 0);
  if (!marks.length) marks = unique([0, names.length - 1]);
  const legend = el("div", { class: "readout", "aria-live": "polite" });
  const weights = D.changes.map((change) => change.weight).filter(known);
  const top = Math.max(...weights, 0);
  const spec = { names, marks, height: 190, onRead: read, line: null };
  const cka = lineChart({
    ...spec,
    label: "CKA by layer",
    low: Math.min(0, ...D.changes.map((one) => one.cka).filter(known)),
    high: 1,
    format: (value) => num(value),
    series: [{ colour: "var(--series-3)", points: D.changes.map((change) => ({ y: change.cka })) }],
  });
  const moved = weights.length
    ? lineChart({
        ...spec,
        label: "Weight distance by layer",
        low: 0,
        high: top * 1.08 || 1,
        format: (value) => num(value),
        series: [{ colour: "var(--series-1)", points: D.changes.map((change) => ({ y: change.weight })) }],
      })
    : null;
  function read(i) {
    cka.read(i);
    moved?.read(i);
    const { layer, cka: alike, weight } = D.changes[i];
    legend.replaceChildren(
      el("b", { class: "path" }, layer),
      el("span", {}, "CKA ", el("b", {}, num(alike))),
      el("span", {}, "weight distance ", el("b", {}, known(weight) ? num(weight) : "no weights")),
    );
  }
  node.append(
    legend,
    el("h3", { class: "part" }, "CKA of the outputs"),
    cka.node,
    ...(moved ? [el("h3", { class: "part" }, "Distance of the weights"), moved.node] : []),
    folded("As a table", () =>
      table(
        "What fine-tuning changed",
        ["layer", "CKA", "weight distance"],
        D.changes.map((change) => [change.layer, num(change.cka), num(change.weight)]),
      ),
    ),
  );
  read(names.length - 1);
}
