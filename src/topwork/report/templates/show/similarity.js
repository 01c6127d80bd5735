// The similarity map: one canvas per network, with the same selected image.
const similarity = data.similarity_map;
const MAX_COLORED_CLASSES = 10; // each with a color and a shape
// The colors of Okabe and Ito, and others, in two sets of five shapes.
const HUES = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#b8860b",
  "#56b4e9",
  "#8c510a",
  "#7b3fa0",
  "#5f6b76",
  "#a3293d",
];
const shownIds = new Map(data.images.map((image, i) => [image.name, i]));

const MAP_LABELS = similarity ? unique(similarity.labels).sort((a, b) => a - b) : [];
const MAP_COUNTS = new Map(MAP_LABELS.map((label) => [label, similarity.labels.filter((one) => one === label).length]));

// The style of each point: {shape, hue}; a hue is an index, "gray", "right" or "wrong".
function pointStyles() {
  const predicted = similarity.predicted[coloredStrategy()];
  const only = highlightedLabel();
  return similarity.labels.map((label, i) => {
    if (predicted) return predicted[i] === label ? { shape: 0, hue: "right" } : { shape: 5, hue: "wrong" };
    const n = MAP_LABELS.indexOf(label);
    if (MAP_LABELS.length <= MAX_COLORED_CLASSES) return { shape: n % 5, hue: n };
    return label === only ? { shape: 2, hue: "wrong" } : { shape: 0, hue: "gray" };
  });
}

const coloredStrategy = () => data.strategies.findIndex((strategy) => strategy.name === state.colorBy);
function highlightedLabel() {
  const largest = MAP_LABELS.reduce(
    (best, label) => (MAP_COUNTS.get(label) > MAP_COUNTS.get(best) ? label : best),
    MAP_LABELS[0],
  );
  return Number(available(state.highlight, MAP_LABELS, largest));
}
// The selected image, by default the photo shown above if it is on the map.
function pointOf() {
  const above = data.images.length ? currentImage().name : "";
  return Math.max(similarity.ids.indexOf(similarity.ids.includes(state.point) ? state.point : above), 0);
}

function mountSimilarity() {
  const node = mount("similarity");
  if (!node) return;
  const maps = similarity.points
    .map((points, i) => ({ i, points }))
    .filter((one) => one.points.length)
    .map(scatterPlot);
  const detail = el("aside", { class: "detail", "aria-live": "polite", "aria-label": "Selected image" });
  const legend = el("div", { class: "legend-row" });
  const highlight = choice("Highlighted class", (value) => setState({ highlight: value }), 0);
  const hues = [
    { value: "class", text: "class" },
    ...data.strategies
      .filter((_, i) => similarity.predicted[i]?.length)
      .map((one) => ({ value: one.name, text: `right or wrong: ${one.name}` })),
  ];
  node.append(
    el("div", { class: "controls" }, stateChoice("colorBy", "Color by", hues), highlight.node),
    legend,
    el(
      "div",
      { class: "atlas" },
      el(
        "div",
        { class: "plots" },
        maps.map((map) => map.node),
      ),
      detail,
    ),
  );
  let styles = [];
  function colors() {
    const many = coloredStrategy() < 0 && MAP_LABELS.length > MAX_COLORED_CLASSES;
    const options = MAP_LABELS.map((label) => ({ value: String(label), text: className(label) }));
    highlight.update(many ? options : [], highlightedLabel());
    legend.replaceChildren(...legendItems(many));
    styles = pointStyles();
    redraw();
  }
  function redraw() {
    for (const map of maps) map.draw(styles);
  }
  function choose() {
    redraw();
    detail.replaceChildren(...pointDetail(pointOf()));
  }
  onChange(["colorBy", "highlight"], colors);
  onChange(["point", "image"], choose);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colors);
  colors();
  choose();
}

function legendItems(many) {
  const item = (shape, hue, ...words) => el("span", {}, pointMark(shape, hue), words);
  const counted = (label) => [name(className(label)), `: ${MAP_COUNTS.get(label)}`];
  const rings = similarity.ids.some((id) => shownIds.has(id)) ? [item(0, "ring", "shown above")] : [];
  const predicted = similarity.predicted[coloredStrategy()];
  if (predicted) {
    const right = similarity.labels.filter((label, i) => predicted[i] === label).length;
    return [item(0, "right", `right: ${right}`), item(5, "wrong", `wrong: ${similarity.labels.length - right}`), ...rings];
  }
  if (many) return [item(2, "wrong", ...counted(highlightedLabel())), item(0, "gray", "all others"), ...rings];
  return [...MAP_LABELS.map((label, n) => item(n % 5, n, ...counted(label))), ...rings];
}
