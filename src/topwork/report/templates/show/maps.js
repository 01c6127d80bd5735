// A map over a photo: how it is drawn and how it is read.
const scratchPad = document.createElement("canvas");

// ``under``: what lies below the map, "none", "grey" or "colour"; ``strength``: of the map over it, in percent.
function drawMap(canvas, grid, limit, image, { under, smooth, strength }) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = 1;
  const below = image && under !== "none";
  if (below) {
    context.drawImage(image, 0, 0, width, height);
    if (under === "grey") {
      context.globalCompositeOperation = "saturation"; // the photo keeps its lightness and loses its colours
      context.fillStyle = "#808080";
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
      if (grid.signed) fade(context, width, height);
    }
    context.globalAlpha = strength / 100;
  }
  scratchPad.width = width;
  scratchPad.height = height;
  scratchPad.getContext("2d").putImageData(paint(grid, limit, width, height, smooth), 0, 0);
  // White times the photo is the photo: where a signed map is 0 one sees the photo as it is.
  if (below && grid.signed) context.globalCompositeOperation = "multiply";
  context.drawImage(scratchPad, 0, 0);
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = 1;
}

// Towards white, so that there is room for the colours of the map.
function fade(context, width, height) {
  context.fillStyle = "rgb(255 255 255 / 0.45)";
  context.fillRect(0, 0, width, height);
}

const placeOf = (text) => {
  const [u, v] = text.split(",").map(Number);
  return text && known(u) && known(v) ? { u, v } : null;
};
const placeText = ({ u, v }) => `${u.toFixed(3)},${v.toFixed(3)}`;

// A map that reports the place that is pointed at to ``onRead`` and shows the value at any place it is told.
class MapView {
  constructor(label, onRead) {
    this.canvas = el("canvas", {
      width: 448,
      height: 448,
      tabindex: 0,
      role: "application",
      "aria-roledescription": "map",
      "aria-label": `${label}. Arrow keys read the values.`,
    });
    this.out = el("output", { class: "reading" }, "\u00a0");
    this.clean = document.createElement("canvas");
    this.grid = null;
    this.place = null;
    const point = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const [u, v] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      onRead({ u: Math.min(Math.max(u, 0), 0.999), v: Math.min(Math.max(v, 0), 0.999) });
    };
    this.canvas.addEventListener("pointermove", point);
    this.canvas.addEventListener("pointerdown", point);
    this.canvas.addEventListener("keydown", (event) => this.key(event, onRead));
  }

  key(event, onRead) {
    if (!this.grid) return;
    const { rows, columns } = this.grid;
    const arrow = ARROWS[event.key];
    if (event.key === "Escape") onRead(null);
    if (!arrow) return;
    event.preventDefault();
    const from = cellAt(this.grid, this.place ?? { u: 0.5, v: 0.5 });
    const step = this.place ? arrow : [0, 0];
    const column = Math.min(Math.max(from.column + step[0], 0), columns - 1);
    const row = Math.min(Math.max(from.row + step[1], 0), rows - 1);
    onRead({ u: (column + 0.5) / columns, v: (row + 0.5) / rows });
  }

  show(grid, limit, image, options) {
    this.grid = grid;
    drawMap(this.canvas, grid, limit, image, options);
    this.clean.width = this.canvas.width;
    this.clean.height = this.canvas.height;
    this.clean.getContext("2d").drawImage(this.canvas, 0, 0);
    this.read(this.place);
  }

  // Returns the value at the place, or null.
  read(place) {
    this.place = place;
    if (!this.grid) return null;
    const context = this.canvas.getContext("2d");
    context.drawImage(this.clean, 0, 0);
    if (!place) {
      this.out.textContent = "No place is read.";
      return null;
    }
    const { row, column, value } = cellAt(this.grid, place);
    const [width, height] = [this.canvas.width / this.grid.columns, this.canvas.height / this.grid.rows];
    frame(context, column * width, row * height, width, height, 3);
    this.out.replaceChildren(el("b", {}, num(value, this.grid.signed)), ` at row ${row + 1}, column ${column + 1}`);
    return value;
  }
}

const valuesTable = (caption, grid) =>
  table(
    caption,
    ["row", ...Array.from({ length: grid.columns }, (_, i) => String(i + 1))],
    Array.from({ length: grid.rows }, (_, row) => [
      String(row + 1),
      ...Array.from(grid.values.subarray(row * grid.columns, (row + 1) * grid.columns), (v) => num(v, grid.signed)),
    ]),
  );
