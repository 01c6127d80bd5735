// The map of the images: one canvas per network, all showing the same chosen point.
const M = D.image_map;
const FEW = 10; // classes that can have a colour and a shape each
// Okabe and Ito's colours, and greys, in two sets of five shapes.
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
const shownIds = new Map(D.photos.map((photo, i) => [photo.name, i]));

const MAP_LABELS = M ? unique(M.labels).sort((a, b) => a - b) : [];
const MAP_COUNTS = new Map(MAP_LABELS.map((label) => [label, M.labels.filter((one) => one === label).length]));

// How each point looks: {shape, hue}; a hue is an index, "grey", "right" or "wrong".
function pointLooks() {
  const predicted = M.predicted[hueStrategy()];
  const only = onlyLabel();
  return M.labels.map((label, i) => {
    if (predicted) return predicted[i] === label ? { shape: 0, hue: "right" } : { shape: 5, hue: "wrong" };
    const n = MAP_LABELS.indexOf(label);
    if (MAP_LABELS.length <= FEW) return { shape: n % 5, hue: n };
    return label === only ? { shape: 2, hue: "wrong" } : { shape: 0, hue: "grey" };
  });
}

const hueStrategy = () => D.strategies.findIndex((strategy) => strategy.name === state.hue);
function onlyLabel() {
  const largest = MAP_LABELS.reduce(
    (best, label) => (MAP_COUNTS.get(label) > MAP_COUNTS.get(best) ? label : best),
    MAP_LABELS[0],
  );
  return Number(available(state.only, MAP_LABELS, largest));
}
// The chosen image; without a choice the photo above if it is on the map.
function pointOf() {
  const above = D.photos.length ? photoOf().name : "";
  return Math.max(M.ids.indexOf(M.ids.includes(state.point) ? state.point : above), 0);
}

function mountImages() {
  const node = mount("images");
  if (!node) return;
  const maps = M.points
    .map((points, i) => ({ i, points }))
    .filter((one) => one.points.length)
    .map(scatterPlot);
  const detail = el("aside", { class: "detail", "aria-live": "polite", "aria-label": "The chosen image" });
  const legend = el("div", { class: "legend-row" });
  const only = choice("Class shown", (value) => set({ only: value }), 0);
  const hues = [
    { value: "class", text: "class" },
    ...D.strategies
      .filter((_, i) => M.predicted[i]?.length)
      .map((one) => ({ value: one.name, text: `right or wrong: ${one.name}` })),
  ];
  node.append(
    el("div", { class: "controls" }, stateChoice("hue", "Colour by", hues), only.node),
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
  let looks = [];
  function colours() {
    const many = hueStrategy() < 0 && MAP_LABELS.length > FEW;
    const options = MAP_LABELS.map((label) => ({ value: String(label), text: className(label) }));
    only.update(many ? options : [], onlyLabel());
    legend.replaceChildren(...legendItems(many));
    looks = pointLooks();
    redraw();
  }
  function redraw() {
    for (const map of maps) map.draw(looks);
  }
  function choose() {
    redraw();
    detail.replaceChildren(...pointDetail(pointOf()));
  }
  watch(["hue", "only"], colours);
  watch(["point", "photo"], choose);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colours);
  colours();
  choose();
}

function legendItems(many) {
  const item = (shape, hue, ...words) => el("span", {}, pointMark(shape, hue), words);
  const counted = (label) => [name(className(label)), `: ${MAP_COUNTS.get(label)}`];
  const rings = M.ids.some((id) => shownIds.has(id)) ? [item(0, "ring", "is among the photos above")] : [];
  const predicted = M.predicted[hueStrategy()];
  if (predicted) {
    const right = M.labels.filter((label, i) => predicted[i] === label).length;
    return [item(0, "right", `right: ${right}`), item(5, "wrong", `wrong: ${M.labels.length - right}`), ...rings];
  }
  if (many) return [item(2, "wrong", ...counted(onlyLabel())), item(0, "grey", "all others"), ...rings];
  return [...MAP_LABELS.map((label, n) => item(n % 5, n, ...counted(label))), ...rings];
}
