// Tests a heatmap: how much of the class's lead is lost when its highest pixels are blurred, compared with random pixels.
function nearestShare(fractions, wanted) {
  return fractions.reduce(
    (best, value, i) => (Math.abs(value - wanted) < Math.abs(fractions[best] - wanted) ? i : best),
    0,
  );
}

const describeDrop = (value) => (value >= 0 ? `removes ${pct(value)} of` : `adds ${pct(-value)} to`);

function faithfulness(map) {
  if (!map.fractions.length) return null;
  const i = nearestShare(map.fractions, 0.1);
  const [marked, random] = [map.drop_marked[i], map.drop_random[i]];
  const words =
    `Blurring the ${pct(map.fractions[i])} most highlighted pixels ${describeDrop(marked)} the lead of the class, ` +
    `random pixels ${random >= 0 ? "" : MINUS}${pct(Math.abs(random))}.`;
  const better = marked > random;
  return el(
    "div",
    { class: "faithfulness" },
    el(
      "p",
      { class: "fine keys" },
      el("span", {}, el("i", { class: "key" }), "highlighted pixels"),
      el("span", {}, el("i", { class: "key dashed" }), "random pixels"),
    ),
    curve(map),
    el("p", { class: "fine" }, words, better ? null : [" ", el("b", {}, "This heatmap is no better than chance.")]),
  );
}

function curve(map) {
  const [width, height, left, bottom, top] = [220, 84, 36, 16, 8];
  const most = map.fractions.at(-1) || 1;
  const all = [...map.drop_marked, ...map.drop_random].filter(isNumber);
  const [low, high] = [Math.min(0, ...all), Math.max(1, ...all)];
  const x = (value) => left + (value / most) * (width - left - 6);
  const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
  const line = (values) =>
    values
      .map((value, i) => `${i || map.fractions[0] === 0 ? "" : `${x(0)},${y(0)} `}${x(map.fractions[i])},${y(value)}`)
      .join(" ");
  const text = (value, at, anchor, words) => svg("text", { x: value, y: at, "text-anchor": anchor }, words);
  return svg(
    "svg",
    {
      class: "small chart",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": "Share of the lead that is lost, by share of pixels blurred; the numbers are in the table.",
    },
    svg("line", { class: "axis", x1: left, x2: width - 6, y1: y(0), y2: y(0) }),
    svg("line", { class: "grid", x1: left, x2: width - 6, y1: y(1), y2: y(1) }),
    text(left - 4, y(1) + 4, "end", "100%"),
    text(left - 4, y(0) + 4, "end", "0"),
    text(x(0), height - 3, "start", "0"),
    text(x(most), height - 3, "end", `${pct(most)} blurred`),
    svg("polyline", { class: "random", points: line(map.drop_random) }),
    svg("polyline", { class: "marked", points: line(map.drop_marked) }),
    map.fractions.map((share, i) => svg("circle", { class: "marked", cx: x(share), cy: y(map.drop_marked[i]), r: 2 })),
  );
}

const faithfulnessTable = (map) =>
  table(
    "Share of the lead that is lost",
    ["Pixels blurred", "highlighted pixels", "random pixels"],
    map.fractions.map((share, i) => [pct(share), pct(map.drop_marked[i], 1), pct(map.drop_random[i], 1)]),
  );
