// Drawing the similarity map, and selecting points by pointer or arrow keys.
function palette() {
  const style = getComputedStyle(document.documentElement);
  const value = (key) => style.getPropertyValue(key);
  const named = {
    right: `rgb(${value("--right")})`,
    wrong: `rgb(${value("--wrong")})`,
    gray: value("--second"),
    ink: value("--ink"),
  };
  return (hue) => named[hue] ?? HUES[hue % HUES.length];
}

// Circle, square, triangle, diamond, triangle upside down, cross.
function trace(context, kind, x, y, r) {
  context.beginPath();
  if (kind === 0) context.arc(x, y, r, 0, 2 * Math.PI);
  else if (kind === 1) context.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  else if (kind === 5) {
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x - r, y + r);
    context.lineTo(x + r, y - r);
    return;
  } else {
    const corners =
      kind === 2
        ? [
            [0, -1.2],
            [1.1, 0.9],
            [-1.1, 0.9],
          ]
        : kind === 4
          ? [
              [0, 1.2],
              [1.1, -0.9],
              [-1.1, -0.9],
            ]
          : [
              [0, -1.3],
              [1.3, 0],
              [0, 1.3],
              [-1.3, 0],
            ];
    for (const [dx, dy] of corners) context.lineTo(x + dx * r, y + dy * r);
    context.closePath();
  }
}

function drawPoint(context, { shape, hue }, colors, x, y, r) {
  trace(context, shape, x, y, r);
  if (shape === 5) {
    context.strokeStyle = colors(hue);
    context.lineWidth = 0.55 * r;
    context.stroke();
    return;
  }
  context.fillStyle = colors(hue);
  context.globalAlpha = hue === "gray" ? 0.45 : 0.8;
  context.fill();
  context.globalAlpha = 1;
}

function ring(context, x, y, r, color, line) {
  trace(context, 0, x, y, r);
  context.lineWidth = line;
  context.strokeStyle = color;
  context.stroke();
}

// A point in a legend.
function pointMark(shape, hue) {
  const canvas = el("canvas", { width: 36, height: 36, class: "point-mark", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  if (hue === "ring") ring(context, 18, 18, 12, palette()("ink"), 3);
  else drawPoint(context, { shape, hue }, palette(), 18, 18, 9);
  return canvas;
}

// The nearest point in a direction; distance across the direction counts double.
function nearestToward(points, from, [dx, dy]) {
  let best = -1;
  let shortest = Infinity;
  points.forEach(([x, y], i) => {
    const along = (x - points[from][0]) * dx + (y - points[from][1]) * dy;
    const across = Math.abs((x - points[from][0]) * dy) + Math.abs((y - points[from][1]) * dx);
    if (i === from || along <= 0 || across > 2 * along || along + 2 * across >= shortest) return;
    [best, shortest] = [i, along + 2 * across];
  });
  return best;
}

function nearestTo(points, x, y) {
  const distances = points.map((point) => Math.hypot(point[0] - x, point[1] - y));
  return distances.indexOf(Math.min(...distances));
}

function scatterPlot({ i: network, points }) {
  const label = data.networks[network].name;
  const canvas = el("canvas", {
    tabindex: 0,
    role: "application",
    "aria-roledescription": "similarity map",
    "aria-label": `Similarity map of ${label}. Arrow keys step from image to image.`,
  });
  const pad = 14;
  const position = ([x, y], side) => [pad + x * (side - 2 * pad), pad + y * (side - 2 * pad)];
  let styles = [];
  function draw(next = styles) {
    styles = next;
    const side = canvas.clientWidth || 320;
    const dense = Math.min(window.devicePixelRatio || 1, 3);
    canvas.width = canvas.height = Math.round(side * dense);
    const context = canvas.getContext("2d");
    const colors = palette();
    context.scale(dense, dense);
    const r = points.length > 400 ? 2.8 : 3.8;
    const gray = (i) => styles[i].hue === "gray";
    const order = styles.map((_, i) => i).sort((a, b) => gray(b) - gray(a));
    for (const i of order) drawPoint(context, styles[i], colors, ...position(points[i], side), r);
    similarity.ids.forEach(
      (id, i) => shownIds.has(id) && ring(context, ...position(points[i], side), r + 3.5, colors("ink"), 1.5),
    );
    const chosen = pointOf();
    ring(context, ...position(points[chosen], side), r + 6.5, colors("ink"), 2.5);
    drawPoint(context, styles[chosen], colors, ...position(points[chosen], side), r + 2.5);
  }
  function point(event) {
    const box = canvas.getBoundingClientRect();
    const free = box.width - 2 * pad;
    const [x, y] = [(event.clientX - box.left - pad) / free, (event.clientY - box.top - pad) / free];
    const i = nearestTo(points, x, y);
    if (Math.hypot(points[i][0] - x, points[i][1] - y) * free < 22) setState({ point: similarity.ids[i] });
  }
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    const from = pointOf();
    const to = nearestToward(points, from, ARROWS[event.key]);
    if (to >= 0) setState({ point: similarity.ids[to] });
  });
  whenResized(canvas, () => draw());
  return { node: el("div", { class: "plot" }, title(label, networkColor(network)), canvas), draw };
}
