// Image sheets and map sheets: tiles of color images, and maps as compressed bytes.
const inflated = new Map();
const images = new Map();

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// The bytes behind base64 of zlib.
function inflate(text) {
  if (!inflated.has(text)) {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    inflated.set(
      text,
      new Response(stream).arrayBuffer().then((buffer) => new Uint8Array(buffer)),
    );
  }
  return inflated.get(text);
}

// Map i of a MapSheet as a grid of values.
async function sheetGrid({ data, width, height, limits, signed }, i) {
  const limit = limits[i] ?? 0;
  const bytes = (await inflate(data)).subarray(i * width * height, (i + 1) * width * height);
  const values = Float32Array.from(bytes, (byte) => (signed ? ((byte - 128) / 127) * limit : (byte / 255) * limit));
  return { values, rows: height, columns: width, limit, signed };
}

// The grid of a Heatmap.
function heatmapGrid(map) {
  const values = Float32Array.from(new Int8Array(bytesOf(map.values).buffer), (byte) => (byte / 127) * map.limit);
  return { values, rows: map.height, columns: map.width, limit: map.limit, signed: true };
}

// A loaded image, or null if it cannot be shown.
function loadImage(src) {
  if (!images.has(src)) {
    images.set(
      src,
      new Promise((done) => {
        const image = new Image();
        image.onload = () => done(image);
        image.onerror = () => done(null);
        image.src = src;
      }),
    );
  }
  return images.get(src);
}

function drawTile(context, image, sheet, i, x, y, width, height) {
  const [left, top] = [(i % sheet.columns) * sheet.width, Math.floor(i / sheet.columns) * sheet.height];
  context.drawImage(image, left, top, sheet.width, sheet.height, x, y, width, height);
}

// One tile as a canvas.
function tile(sheet, i, side, label) {
  const canvas = el("canvas", { width: side, height: side, role: "img", "aria-label": label });
  loadImage(sheet.src).then((image) => image && drawTile(canvas.getContext("2d"), image, sheet, i, 0, 0, side, side));
  return canvas;
}

// All tiles of a sheet with gaps; hover, tap or arrow keys select tile i, which ``read(i)`` describes.
function tiles(sheet, { columns, side, crisp, label, read, start }) {
  const gap = Math.max(2, Math.round(side / 9));
  const rows = Math.ceil(sheet.count / columns);
  const size = (n) => n * side + (n - 1) * gap;
  const canvas = el("canvas", {
    width: size(columns),
    height: size(rows),
    tabindex: 0,
    role: "application",
    "aria-roledescription": "images",
    "aria-label": `${label}. Arrow keys step through the ${sheet.count} images.`,
    class: crisp ? "crisp" : "",
    style: `width:${size(columns) / 2}px`,
  });
  const out = el("output", {}, start);
  let chosen = -1;
  async function draw() {
    const image = await loadImage(sheet.src);
    if (!image) return;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = !crisp;
    for (let i = 0; i < sheet.count; i++) {
      const [x, y] = [(i % columns) * (side + gap), Math.floor(i / columns) * (side + gap)];
      drawTile(context, image, sheet, i, x, y, side, side);
      if (i === chosen) frame(context, x, y, side, side, 2);
    }
  }
  function choose(i) {
    if (i < 0 || i >= sheet.count || i === chosen) return;
    chosen = i;
    out.replaceChildren(...[read(i)].flat());
    draw();
  }
  function point(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    if (column >= 0 && column < columns) choose(row * columns + column);
  }
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    choose(chosen < 0 ? 0 : chosen + arrow[0] + arrow[1] * columns);
  });
  draw();
  return el("div", { class: "tiles" }, canvas, out);
}

// A frame that is visible on dark and on light.
function frame(context, x, y, width, height, line) {
  for (const [color, inset] of [
    ["#000", 0],
    ["#fff", line],
  ]) {
    context.lineWidth = line;
    context.strokeStyle = color;
    context.strokeRect(x + line / 2 + inset, y + line / 2 + inset, width - line - 2 * inset, height - line - 2 * inset);
  }
}
