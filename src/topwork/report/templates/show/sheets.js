// Pictures of equal tiles: as values (grey PNG, unpacked here so that no browser changes a byte) or as photographs.
const unpacked = new Map();
const pictures = new Map();

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// The bytes of an 8-bit grey PNG without interlace: {width, height, bytes}.
function greyBytes(src) {
  if (!unpacked.has(src)) unpacked.set(src, unpack(bytesOf(src.slice(src.indexOf(",") + 1))));
  return unpacked.get(src);
}

async function unpack(file) {
  const view = new DataView(file.buffer);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (file[24] !== 8 || file[25] !== 0 || file[28] !== 0) throw new Error("A map is not an 8-bit grey PNG.");
  const parts = [];
  for (let at = 8; at < file.length; at += view.getUint32(at) + 12) {
    if (String.fromCharCode(...file.subarray(at + 4, at + 8)) === "IDAT") {
      parts.push(file.subarray(at + 8, at + 8 + view.getUint32(at)));
    }
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width, height, bytes: unfilter(raw, width, height) };
}

// PNG specification, section 9: a byte is stored as its difference from what its neighbours foretell.
function unfilter(raw, width, height) {
  const bytes = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const kind = raw[y * (width + 1)];
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const left = x ? bytes[at - 1] : 0;
      const up = y ? bytes[at - width] : 0;
      const corner = x && y ? bytes[at - width - 1] : 0;
      const guess = [0, left, up, (left + up) >> 1, kind === 4 ? paeth(left, up, corner) : 0][kind];
      bytes[at] = raw[y * (width + 1) + 1 + x] + guess;
    }
  }
  return bytes;
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

// Tile i of a MapSheet as a grid of values.
async function sheetGrid(maps, i) {
  const { sheet, signed } = maps;
  const limit = maps.limits[i] ?? 0;
  const picture = await greyBytes(sheet.src);
  const values = new Float32Array(sheet.width * sheet.height);
  const [x0, y0] = [(i % sheet.columns) * sheet.width, Math.floor(i / sheet.columns) * sheet.height];
  for (let y = 0; y < sheet.height; y++) {
    for (let x = 0; x < sheet.width; x++) {
      const byte = picture.bytes[(y0 + y) * picture.width + x0 + x];
      values[y * sheet.width + x] = signed ? ((byte - 128) / 127) * limit : (byte / 255) * limit;
    }
  }
  return { values, rows: sheet.height, columns: sheet.width, limit, signed };
}

// The grid of a ClassMapShown.
function classGrid(map) {
  const values = Float32Array.from(new Int8Array(bytesOf(map.values).buffer), (byte) => (byte / 127) * map.limit);
  return { values, rows: map.height, columns: map.width, limit: map.limit, signed: true };
}

// A loaded picture, or null if it cannot be shown.
function picture(src) {
  if (!pictures.has(src)) {
    pictures.set(
      src,
      new Promise((done) => {
        const image = new Image();
        image.onload = () => done(image);
        image.onerror = () => done(null);
        image.src = src;
      }),
    );
  }
  return pictures.get(src);
}

function drawTile(context, image, sheet, i, x, y, width, height) {
  const [left, top] = [(i % sheet.columns) * sheet.width, Math.floor(i / sheet.columns) * sheet.height];
  context.drawImage(image, left, top, sheet.width, sheet.height, x, y, width, height);
}

// One tile as a picture of its own.
function tile(sheet, i, side, label) {
  const canvas = el("canvas", { width: side, height: side, role: "img", "aria-label": label });
  picture(sheet.src).then((image) => image && drawTile(canvas.getContext("2d"), image, sheet, i, 0, 0, side, side));
  return canvas;
}

// All tiles of a sheet with gaps between; hover, tap or arrow keys read one: ``read(i)`` gives the words for tile i.
function tiles(sheet, { columns, side, crisp, label, read, start }) {
  const gap = Math.max(2, Math.round(side / 9));
  const rows = Math.ceil(sheet.count / columns);
  const size = (n) => n * side + (n - 1) * gap;
  const canvas = el("canvas", {
    width: size(columns),
    height: size(rows),
    tabindex: 0,
    role: "application",
    "aria-roledescription": "pictures",
    "aria-label": `${label}. Arrow keys step through the ${sheet.count} pictures.`,
    class: crisp ? "crisp" : "",
    style: `width:${size(columns) / 2}px`,
  });
  const out = el("output", {}, start);
  let chosen = -1;
  async function draw() {
    const image = await picture(sheet.src);
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

// A frame that is seen on dark and on light.
function frame(context, x, y, width, height, line) {
  for (const [colour, inset] of [
    ["#000", 0],
    ["#fff", line],
  ]) {
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.strokeRect(x + line / 2 + inset, y + line / 2 + inset, width - line - 2 * inset, height - line - 2 * inset);
  }
}
