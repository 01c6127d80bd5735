// Values to colors: cividis from 0 upwards; blue, white, orange around 0.
const CIVIDIS = [
  "00224e",
  "002e6a",
  "1a386f",
  "32436d",
  "434e6c",
  "535a6d",
  "61656f",
  "6f7073",
  "7d7c78",
  "8c8878",
  "9b9476",
  "aba072",
  "bcae6c",
  "cdbb63",
  "dec958",
  "f0d846",
  "fee838",
];
const DIVERGING = ["08306b", "1c5a9c", "4a8fc6", "9ac4e2", "f8f7f4", "f9c189", "ee8b35", "c05a0a", "702f02"];

function shades(stops) {
  const rgb = stops.map((stop) => [0, 2, 4].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const position = (i / 255) * (rgb.length - 1);
    const low = Math.min(Math.floor(position), rgb.length - 2);
    for (let c = 0; c < 3; c++) table[3 * i + c] = rgb[low][c] + (position - low) * (rgb[low + 1][c] - rgb[low][c]);
  }
  return table;
}
const SHADES = { plain: shades(CIVIDIS), signed: shades(DIVERGING) };

// A grid of values is {values, rows, columns, limit, signed}; a position is {u, v}, both in [0, 1].
function cellAt(grid, { u, v }) {
  const column = Math.min(Math.max(Math.floor(u * grid.columns), 0), grid.columns - 1);
  const row = Math.min(Math.max(Math.floor(v * grid.rows), 0), grid.rows - 1);
  return { row, column, value: grid.values[row * grid.columns + column] };
}

// The two cells that each of n pixels lies between, and the share of the second.
function interpolation(n, cells, smooth) {
  return Array.from({ length: n }, (_, i) => {
    const position = ((i + 0.5) / n) * cells;
    if (!smooth) return [Math.floor(position), Math.floor(position), 0];
    const inside = Math.min(Math.max(position - 0.5, 0), cells - 1);
    const low = Math.min(Math.floor(inside), Math.max(cells - 2, 0));
    return [low, Math.min(low + 1, cells - 1), inside - low];
  });
}

function paint(grid, limit, width, height, smooth) {
  const image = new ImageData(width, height);
  const colors = grid.signed ? SHADES.signed : SHADES.plain;
  const across = interpolation(width, grid.columns, smooth);
  const down = interpolation(height, grid.rows, smooth);
  const { values, columns } = grid;
  let at = 0;
  for (const [top, bottom, y] of down) {
    for (const [left, right, x] of across) {
      const above = values[top * columns + left] * (1 - x) + values[top * columns + right] * x;
      const below = values[bottom * columns + left] * (1 - x) + values[bottom * columns + right] * x;
      const share = limit > 0 ? (above * (1 - y) + below * y) / limit : 0;
      const shade = Math.round(255 * Math.min(Math.max(grid.signed ? (share + 1) / 2 : share, 0), 1)) * 3;
      image.data[at] = colors[shade];
      image.data[at + 1] = colors[shade + 1];
      image.data[at + 2] = colors[shade + 2];
      image.data[at + 3] = 255;
      at += 4;
    }
  }
  return image;
}

// A color bar with its numbers and a mark at the value under the pointer.
function colorBar(signed, limit) {
  const stops = (signed ? DIVERGING : CIVIDIS).map((stop) => `#${stop}`).join(",");
  const mark = el("i", { hidden: true });
  const numbers =
    typeof limit === "string"
      ? signed
        ? [`${MINUS}${limit}`, "0", `+${limit}`]
        : ["0", limit]
      : signed
        ? [num(-limit), "0", num(limit, true)]
        : ["0", num(limit)];
  const node = el(
    "div",
    { class: "colors" },
    el("div", { class: "ramp", style: `background:linear-gradient(to right,${stops})` }, mark),
    el(
      "div",
      { class: "numbers" },
      numbers.map((text) => el("span", {}, text)),
    ),
  );
  return {
    node,
    point(value) {
      mark.hidden = !isNumber(value) || !(limit > 0);
      if (!mark.hidden)
        mark.style.left = `${100 * Math.min(Math.max(signed ? (value / limit + 1) / 2 : value / limit, 0), 1)}%`;
    },
  };
}
