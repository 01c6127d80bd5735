// Whether a map marks what counts: how much of the class's lead goes with the pixels it marks,
// against random pixels.
function nearestShare(fractions, wanted) {
  return fractions.reduce(
    (best, value, i) => (Math.abs(value - wanted) < Math.abs(fractions[best] - wanted) ? i : best),
    0,
  );
}

const taken = (value) =>
  value >= 0 ? `takes ${pct(value)} of the class's lead` : `adds ${pct(-value)} to the class's lead`;

function faithfulness(map) {
  if (!map.fractions.length) return null;
  const i = nearestShare(map.fractions, 0.1);
  const [marked, random] = [map.marked[i], map.random[i]];
  const words =
    `Blurring the ${pct(map.fractions[i])} of the pixels it marks most ${taken(marked)}, ` +
    `as many random pixels ${random >= 0 ? `take ${pct(random)}` : `add ${pct(-random)}`}.`;
  const better = marked > random;
  return el(
    "div",
    { class: "faithful" },
    el(
      "p",
      { class: "fine keys" },
      el("span", {}, el("i", { class: "key" }), "marked"),
      el("span", {}, el("i", { class: "key dashed" }), "random"),
    ),
    curve(map),
    el("p", { class: "fine" }, words, better ? null : [" ", el("b", {}, "It marks no more than chance does.")]),
  );
}

function curve(map) {
  const [width, height, left, bottom, top] = [220, 84, 36, 16, 8];
  const most = map.fractions.at(-1) || 1;
  const all = [...map.marked, ...map.random].filter(known);
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
      "aria-label": "Share of the class's lead that is gone, by share of pixels blurred; its numbers are in the table.",
    },
    svg("line", { class: "axis", x1: left, x2: width - 6, y1: y(0), y2: y(0) }),
    svg("line", { class: "grid", x1: left, x2: width - 6, y1: y(1), y2: y(1) }),
    text(left - 4, y(1) + 4, "end", "100%"),
    text(left - 4, y(0) + 4, "end", "0"),
    text(x(0), height - 3, "start", "0"),
    text(x(most), height - 3, "end", `${pct(most)} blurred`),
    svg("polyline", { class: "random", points: line(map.random) }),
    svg("polyline", { class: "marked", points: line(map.marked) }),
    map.fractions.map((share, i) => svg("circle", { class: "marked", cx: x(share), cy: y(map.marked[i]), r: 2 })),
  );
}

const faithfulTable = (map) =>
  table(
    "Share of the class's lead that is gone",
    ["Pixels blurred", "marked most", "random"],
    map.fractions.map((share, i) => [pct(share), pct(map.marked[i], 1), pct(map.random[i], 1)]),
  );
