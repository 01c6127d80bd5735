// A map over an image: drawing and reading values.
const scratchPad = document.createElement("canvas");

// ``background``: "none", "gray" or "color"; ``opacity``: of the map over it, in percent.
function drawMap(canvas, grid, limit, image, { background, smooth, opacity }) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = 1;
  const below = image && background !== "none";
  if (below) {
    context.drawImage(image, 0, 0, width, height);
    if (background === "gray") {
      context.globalCompositeOperation = "saturation"; // keeps the lightness of the image and removes its colors
      context.fillStyle = "#808080";
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
      if (grid.signed) fade(context, width, height);
    }
    context.globalAlpha = opacity / 100;
  }
  scratchPad.width = width;
  scratchPad.height = height;
  scratchPad.getContext("2d").putImageData(paint(grid, limit, width, height, smooth), 0, 0);
  // White times the image is the image: where a signed map is 0 the image is unchanged.
  if (below && grid.signed) context.globalCompositeOperation = "multiply";
  context.drawImage(scratchPad, 0, 0);
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = 1;
}

// Towards white, so that the colors of the map are visible.
function fade(context, width, height) {
  context.fillStyle = "rgb(255 255 255 / 0.45)";
  context.fillRect(0, 0, width, height);
}

const parsePosition = (text) => {
  const [u, v] = text.split(",").map(Number);
  return text && isNumber(u) && isNumber(v) ? { u, v } : null;
};
const positionText = ({ u, v }) => `${u.toFixed(3)},${v.toFixed(3)}`;

// A map that passes the position under the pointer to ``onRead`` and shows the value at a position.
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
    this.cleanCanvas = document.createElement("canvas");
    this.grid = null;
    this.position = null;
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
    const from = cellAt(this.grid, this.position ?? { u: 0.5, v: 0.5 });
    const step = this.position ? arrow : [0, 0];
    const column = Math.min(Math.max(from.column + step[0], 0), columns - 1);
    const row = Math.min(Math.max(from.row + step[1], 0), rows - 1);
    onRead({ u: (column + 0.5) / columns, v: (row + 0.5) / rows });
  }

  show(grid, limit, image, options) {
    this.grid = grid;
    drawMap(this.canvas, grid, limit, image, options);
    this.cleanCanvas.width = this.canvas.width;
    this.cleanCanvas.height = this.canvas.height;
    this.cleanCanvas.getContext("2d").drawImage(this.canvas, 0, 0);
    this.read(this.position);
  }

  // Returns the value at the position, or null.
  read(position) {
    this.position = position;
    if (!this.grid) return null;
    const context = this.canvas.getContext("2d");
    context.drawImage(this.cleanCanvas, 0, 0);
    if (!position) {
      this.out.textContent = "Point at the map to read values.";
      return null;
    }
    const { row, column, value } = cellAt(this.grid, position);
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
