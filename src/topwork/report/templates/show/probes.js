// Two charts by layer: accuracy of linear probes, and the effect of fine-tuning.
function mountProbes() {
  const node = mount("probes");
  if (!node) return;
  const names = unique(data.probes.flatMap((points) => points.map((point) => point.layer))).sort(byDepth);
  const rows = data.probes.map((points, i) => ({ network: i, points })).filter((row) => row.points.length);
  const series = rows.map(({ network, points }) => {
    const by = new Map(points.map((point) => [point.layer, point]));
    return {
      network,
      color: networkColor(network),
      points: names.map((layer) =>
        by.has(layer) ? { y: by.get(layer).accuracy, low: by.get(layer).low, high: by.get(layer).high } : null,
      ),
    };
  });
  const values = rows
    .flatMap(({ points }) => points.flatMap((point) => [point.low, point.high]))
    .concat(data.majority_baseline ?? [])
    .filter(isNumber);
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
    line: isNumber(data.majority_baseline) ? { y: data.majority_baseline, text: `most frequent class: ${pct(data.majority_baseline, 1)}` } : null,
    onRead: read,
  });
  function read(i) {
    chart.read(i);
    legend.replaceChildren(
      el("b", { class: "path" }, names[i]),
      ...series.map((one, n) => {
        const point = one.points[i];
        const text = point
          ? [el("b", {}, pct(point.y, 1)), el("small", {}, ` ${pct(point.low, 1)} to ${pct(point.high, 1)}`)]
          : "\u2013";
        return el("span", {}, legendMark(n, one.color), name(data.networks[one.network].name), " ", text);
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
    collapsible("As a table", () =>
      table(
        "Test accuracy of a linear classifier",
        ["stage", ...series.map((one) => data.networks[one.network].name)],
        lines(),
      ),
    ),
  );
  read(names.length - 1);
}

function mountChanges() {
  const node = mount("changes");
  if (!node) return;
  const names = data.changes.map((change) => change.layer);
  let marks = names.map((layer, i) => (isStage(layer) ? i : -1)).filter((i) => i >= 0);
  if (!marks.length) marks = unique([0, names.length - 1]);
  const legend = el("div", { class: "readout", "aria-live": "polite" });
  const weights = data.changes.map((change) => change.weight).filter(isNumber);
  const top = Math.max(...weights, 0);
  const spec = { names, marks, height: 190, onRead: read, line: null };
  const cka = lineChart({
    ...spec,
    label: "CKA by layer",
    low: Math.min(0, ...data.changes.map((one) => one.cka).filter(isNumber)),
    high: 1,
    format: (value) => num(value),
    series: [{ color: "var(--series-3)", points: data.changes.map((change) => ({ y: change.cka })) }],
  });
  const weightChart = weights.length
    ? lineChart({
        ...spec,
        label: "Relative weight change by layer",
        low: 0,
        high: top * 1.08 || 1,
        format: (value) => num(value),
        series: [{ color: "var(--series-1)", points: data.changes.map((change) => ({ y: change.weight })) }],
      })
    : null;
  function read(i) {
    cka.read(i);
    weightChart?.read(i);
    const { layer, cka: value, weight } = data.changes[i];
    legend.replaceChildren(
      el("b", { class: "path" }, layer),
      el("span", {}, "CKA ", el("b", {}, num(value))),
      el("span", {}, "relative weight change ", el("b", {}, isNumber(weight) ? num(weight) : "no weights")),
    );
  }
  node.append(
    legend,
    el("h3", { class: "part" }, "CKA of the outputs"),
    cka.node,
    ...(weightChart ? [el("h3", { class: "part" }, "Relative weight change"), weightChart.node] : []),
    collapsible("As a table", () =>
      table(
        "Effect of fine-tuning",
        ["layer", "CKA", "relative weight change"],
        data.changes.map((change) => [change.layer, num(change.cka), num(change.weight)]),
      ),
    ),
  );
  read(names.length - 1);
}
