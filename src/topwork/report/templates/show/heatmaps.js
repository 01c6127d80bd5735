// Heatmaps of one class at one layer by one method, with the strategies side by side.
const heatmapViews = [];
const [EXACT, GRAD_CAM] = ["exact", "Grad-CAM"]; // heads that are not linear have no exact map

const heatmapsOf = (image) => data.heatmaps.filter((map) => map.image === image);
const unique = (values) => [...new Set(values)];

// The selected class, layer and method for this image, and the options.
function heatmapChoice() {
  const maps = heatmapsOf(state.image);
  const image = currentImage();
  const labels = unique(maps.map((map) => map.label)).sort((a, b) => a - b);
  const best = data.strategies
    .map((strategy, i) => ({ i, accuracy: strategy.accuracy ?? 0 }))
    .sort((a, b) => b.accuracy - a.accuracy);
  const predicted = best.map(({ i }) => image.predictions[i]?.[0]?.label).find((label) => labels.includes(label));
  const label = Number(available(state.label, labels, predicted ?? labels[0]));
  const ofClass = maps.filter((map) => map.label === label);
  const layers = unique(ofClass.map((map) => map.layer)).sort(byDepth);
  const layer = available(state.mapLayer, layers, layers.at(-1));
  const methods = unique(ofClass.filter((map) => map.layer === layer).map((map) => map.method));
  const method = available(state.method, methods, methods[0]);
  const here = ofClass.filter((map) => map.layer === layer);
  const shown = data.strategies.flatMap((_, i) => {
    const own = here.filter((map) => map.strategy === i);
    return own.find((map) => map.method === method) ?? (method === EXACT && own.find((map) => map.method === GRAD_CAM)) ?? [];
  });
  return { labels, label, layers, layer, methods, method, shown, image, maps: ofClass };
}

function labelOptions({ labels, image }) {
  return labels.map((label) => {
    const by = data.strategies.filter((_, i) => image.predictions[i]?.[0]?.label === label).map((strategy) => strategy.name);
    const notes = [
      label === image.label ? "true" : "",
      by.length ? `predicted by ${by.length === data.strategies.length && by.length > 2 ? "all" : listed(by)}` : "",
    ];
    return { value: String(label), text: className(label), small: notes.filter(Boolean).join("; ") };
  });
}

function layerOptions({ layers, maps }) {
  return layers.map((layer) => {
    const map = maps.find((one) => one.layer === layer);
    return { value: layer, text: layer, small: `${map.height} \u00d7 ${map.width}` };
  });
}

function mountHeatmaps() {
  const node = mount("heatmaps");
  if (!node) return;
  const label = choice("Class", (value) => setState({ label: value }), 4);
  const layer = choice("Layer", (value) => setState({ mapLayer: value }), 4);
  const method = choice("Method", (value) => setState({ method: value }), 4);
  const announced = announcer();
  const grid = el("div", { class: "columns maps" });
  for (let i = 0; i < data.strategies.length; i++) heatmapViews.push(new MapView(`Heatmap of ${data.strategies[i].name}`, read));
  for (const view of heatmapViews) view.out.setAttribute("aria-live", "off"); // one line for all of them is announced
  const style = el(
    "div",
    { class: "controls quiet" },
    stateChoice("background", "Background", [
      { value: "gray", text: "gray photo" },
      { value: "color", text: "photo" },
      { value: "none", text: "none" },
    ]),
    stateChoice("smooth", "Interpolation", [
      { value: 1, text: "smooth" },
      { value: 0, text: "pixelated" },
    ]),
    slider("opacity", "Heatmap opacity", { min: 0, max: 100, step: 5, unit: "%" }),
  );
  node.append(el("div", { class: "controls" }, label.node, layer.node, method.node), style, announced, grid);

  function read(position) {
    setState({ position: position ? positionText(position) : "" });
  }
  function mark() {
    const position = parsePosition(state.position);
    const values = heatmapViews.map((view) => {
      const value = view.canvas.isConnected ? view.read(position) : null;
      view.bar?.point(value);
      return value;
    });
    announced.textContent = position ? data.strategies.map((one, i) => `${one.name} ${num(values[i], true)}`).join("; ") : "";
  }
  function choose() {
    const chosen = heatmapChoice();
    label.update(labelOptions(chosen), chosen.label);
    layer.update(layerOptions(chosen), chosen.layer);
    method.update(
      chosen.methods.map((text) => ({ value: text, text, small: text === EXACT ? `else ${GRAD_CAM}` : "" })),
      chosen.method,
    );
    const focused = heatmapViews.findIndex((view) => view.canvas === document.activeElement);
    grid.replaceChildren(...data.strategies.map((_, i) => heatmapColumn(i, chosen)));
    if (focused >= 0) heatmapViews[focused].canvas.focus({ preventScroll: true });
    draw();
  }
  async function draw() {
    const image = await loadImage(currentImage().src);
    const options = { background: state.background, smooth: Number(state.smooth) === 1, opacity: state.opacity };
    for (const view of heatmapViews)
      if (view.grid && view.canvas.isConnected) view.show(view.grid, view.grid.limit, image, options);
    mark();
  }
  onChange(["image", "label", "mapLayer", "method"], choose);
  onChange(["background", "smooth", "opacity"], draw);
  onChange(["position"], mark);
  choose();
}

function heatmapColumn(i, { shown, label }) {
  const strategy = data.strategies[i];
  const view = heatmapViews[i];
  const map = shown.find((one) => one.strategy === i);
  const head = title(strategy.name, strategyColor(i));
  if (!map) {
    view.grid = null;
    return el("div", { class: "column" }, head, el("p", { class: "absent" }, "No heatmap of this class at this layer."));
  }
  view.grid = heatmapGrid(map);
  view.bar = colorBar(true, map.limit);
  const exact = map.exact
    ? "Exact: the values sum to the score, up to a constant."
    : `${map.method}: the values are relative; they do not sum to the score.`;
  return el(
    "div",
    { class: "column" },
    head,
    el(
      "p",
      { class: "fine" },
      `${strategy.score_type} of `,
      name(className(label)),
      ": ",
      el("b", {}, num(map.score, true)),
    ),
    view.canvas,
    view.bar.node,
    view.out,
    el("p", { class: "fine" }, exact),
    faithfulness(map),
    collapsible("Numbers", () => [
      valuesTable(`Values of ${strategy.name}`, view.grid),
      map.fractions.length ? faithfulnessTable(map) : "",
    ]),
  );
}
