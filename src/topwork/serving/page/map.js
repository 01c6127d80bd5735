// A heatmap over a photo: warm where it raises the score of the class, cool where it lowers it.
const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(/\s+/).map(Number);

// Draws values (rows of numbers) into the region of a canvas that the network sees; the rest is dimmed.
export function draw(canvas, values, region) {
  const width = (canvas.width = canvas.clientWidth * devicePixelRatio || 1);
  const height = (canvas.height = canvas.clientHeight * devicePixelRatio || 1);
  const context = canvas.getContext("2d");
  const [left, top, across, down] = [region[0] * width, region[1] * height, region[2] * width, region[3] * height];
  if (region[2] < 1) {
    context.fillStyle = "rgb(20 22 25 / .42)";
    context.fillRect(0, 0, width, height);
    context.clearRect(left, top, across, down);
  }
  context.save();
  context.beginPath();
  context.rect(left, top, across, down);
  context.clip();
  const small = grid(values);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  // The middle of a cell is at the middle of its place, and the outermost ones reach on to the edge.
  const [w, h] = [across / (small.width - 2), down / (small.height - 2)];
  context.drawImage(small, left - w, top - h, across + 2 * w, down + 2 * h);
  context.restore();
  if (region[2] < 1) {
    context.strokeStyle = "rgb(255 255 255 / .75)";
    context.lineWidth = devicePixelRatio;
    context.strokeRect(left, top, across, down);
  }
}

// One pixel a cell, and a border that repeats the outermost.
function grid(values) {
  const [rows, columns] = [values.length, values[0].length];
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns + 2, rows + 2];
  const context = small.getContext("2d");
  const image = context.createImageData(small.width, small.height);
  const limit = Math.max(...values.flat().map(Math.abs)) || 1;
  const [warm, cool] = [colour("--for"), colour("--against")];
  const inside = (at, n) => Math.min(Math.max(at - 1, 0), n - 1);
  for (let y = 0, at = 0; y < small.height; y++)
    for (let x = 0; x < small.width; x++, at += 4) {
      const strength = values[inside(y, rows)][inside(x, columns)] / limit;
      image.data.set(strength > 0 ? warm : cool, at);
      image.data[at + 3] = 255 * 0.75 * Math.abs(strength) ** 0.8;
    }
  context.putImageData(image, 0, 0);
  return small;
}
