// A line chart by layer with bands; pointer or arrow keys select a layer.
const MARKERS = [
  (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  (x, y, r) => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  (x, y, r) => svg("path", { d: `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z` }),
  (x, y, r) =>
    svg("path", { d: `M${x} ${y - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z` }),
];

// Round numbers that divide [low, high] into about ``count`` parts.
function roundTicks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(i * step);
  return ticks;
}

const shorten = (text, limit) =>
  text.length <= limit ? text : `${text.slice(0, limit / 2 - 1)}\u2026${text.slice(1 - limit / 2)}`;

// spec: {label, names, marks (positions that have a name on the axis),
//        series: [{color, points: [{y, low, high} or null]}], low, high, format, line: {y, text} or null, height, onRead}
function lineChart(spec) {
  const box = el("div", {
    class: "chart-box",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "chart",
    "aria-label": `${spec.label}. Arrow keys select a layer; the numbers are in the table below.`,
  });
  let at = null;
  let x = () => 0;
  let rule = null;
  function draw() {
    const width = Math.max(box.clientWidth || 640, 280);
    const plot = { left: 44, right: width - 16, top: 12, bottom: spec.height - 26 };
    const step = (plot.right - plot.left) / Math.max(spec.names.length - 1, 1);
    x = (i) =>
      spec.names.length > 1
        ? plot.left + 8 + i * ((plot.right - plot.left - 16) / (spec.names.length - 1))
        : (plot.left + plot.right) / 2;
    const y = (value) => plot.bottom - ((value - spec.low) / (spec.high - spec.low || 1)) * (plot.bottom - plot.top);
    const longest = Math.max(...spec.marks.map((i) => Math.min(spec.names[i].length, 16)), 1);
    const gap = Math.min(...spec.marks.slice(1).map((i, n) => (i - spec.marks[n]) * step), 1e9);
    const slanted = gap < longest * 6.6 + 8;
    const height = spec.height + (slanted ? longest * 4.6 : 0);
    rule = svg("line", { class: "rule", y1: plot.top, y2: plot.bottom, visibility: "hidden" });
    const drawing = svg(
      "svg",
      { width, height, viewBox: `0 0 ${width} ${height}`, class: "chart", "aria-hidden": "true" },
      yAxis(spec, plot, y),
      xAxis(spec, plot, x, gap, slanted),
      rule,
      reference(spec, plot, y),
      spec.series.map((one) => band(one, x, y)),
      spec.series.map((one, i) => line(one, i, x, y, spec.names.length)),
    );
    box.replaceChildren(drawing);
    mark();
  }
  function mark() {
    if (!rule) return;
    rule.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at !== null) for (const end of ["x1", "x2"]) rule.setAttribute(end, x(at));
  }
  const last = spec.names.length - 1;
  const point = (event) => {
    const place = event.clientX - box.getBoundingClientRect().left;
    const [first, end] = [x(0), x(last)];
    spec.onRead(Math.min(Math.max(Math.round(((place - first) / (end - first || 1)) * last), 0), last));
  };
  box.addEventListener("pointermove", point);
  box.addEventListener("pointerdown", point);
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: (at ?? 1) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: last };
    if (!(event.key in steps)) return;
    event.preventDefault();
    spec.onRead(Math.min(Math.max(steps[event.key], 0), last));
  });
  whenResized(box, draw);
  return {
    node: box,
    read: (i) => {
      at = i;
      mark();
    },
  };
}

function yAxis(spec, plot, y) {
  return roundTicks(spec.low, spec.high, 4).map((value) =>
    svg(
      "g",
      {},
      svg("line", { class: "grid", x1: plot.left, x2: plot.right, y1: y(value), y2: y(value) }),
      svg("text", { x: plot.left - 6, y: y(value) + 4, "text-anchor": "end" }, spec.format(value)),
    ),
  );
}

function xAxis(spec, plot, x, gap, slanted) {
  const skip = slanted ? Math.max(1, Math.ceil(14 / gap)) : 1;
  return spec.marks.map((i, n) => {
    const tick = svg("line", { class: "axis", x1: x(i), x2: x(i), y1: plot.bottom, y2: plot.bottom + 4 });
    const place = slanted
      ? { transform: `translate(${x(i) + 3} ${plot.bottom + 14}) rotate(-45)`, "text-anchor": "end" }
      : {
          x: x(i),
          y: plot.bottom + 18,
          "text-anchor": x(i) + 3.4 * Math.min(spec.names[i].length, 16) > plot.right + 16 ? "end" : "middle",
        };
    return svg("g", {}, tick, n % skip ? null : svg("text", place, shorten(spec.names[i], 16)));
  });
}

function reference(spec, plot, y) {
  if (!spec.line) return null;
  return svg(
    "g",
    { class: "reference" },
    svg("line", { x1: plot.left, x2: plot.right, y1: y(spec.line.y), y2: y(spec.line.y) }),
    svg("text", { x: plot.right - 14, y: y(spec.line.y) + 13, "text-anchor": "end" }, spec.line.text),
  );
}

function band(one, x, y) {
  const there = one.points
    .map((point, i) => ({ ...point, i }))
    .filter((point) => isNumber(point.low) && isNumber(point.high));
  if (!there.length) return null;
  const edge = (points, key) => points.map((point) => `${x(point.i)},${y(point[key])}`).join(" ");
  return svg("polygon", {
    class: "band",
    style: `color:${one.color}`,
    points: `${edge(there, "high")} ${edge([...there].reverse(), "low")}`,
  });
}

function line(one, number, x, y, count) {
  const there = one.points.map((point, i) => ({ ...point, i })).filter((point) => isNumber(point.y));
  const r = count > 60 ? 1.8 : count > 24 ? 2.6 : 3.6;
  return svg(
    "g",
    { class: "line", style: `color:${one.color}` },
    svg("polyline", { points: there.map((point) => `${x(point.i)},${y(point.y)}`).join(" ") }),
    there
      .filter((point) => isNumber(point.low) && isNumber(point.high))
      .map((point) => svg("line", { x1: x(point.i), x2: x(point.i), y1: y(point.low), y2: y(point.high) })),
    there.map((point) => MARKERS[number % MARKERS.length](x(point.i), y(point.y), r)),
  );
}

// The marker of a series in a legend.
const legendMark = (number, color) =>
  svg(
    "svg",
    {
      class: "legend-mark",
      width: 18,
      height: 12,
      viewBox: "0 0 18 12",
      "aria-hidden": "true",
      style: `color:${color}`,
    },
    svg("line", { x1: 0, x2: 18, y1: 6, y2: 6 }),
    MARKERS[number % MARKERS.length](9, 6, 3.6),
  );
