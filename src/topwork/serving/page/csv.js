// The predictions as CSV, with the columns of `topwork predict`.
export function csv(rows, top) {
  const columns = ["image", "label", "probability", "abstain", "out_of_distribution", "distance", "error"];
  for (let place = 2; place <= top; place++) columns.push(`label_${place}`, `probability_${place}`);
  const lines = rows.map((row) => {
    const rest = row.top.slice(1, top).flatMap((guess) => [guess.label, guess.probability]);
    const cells = [row.image, row.label, row.probability, row.abstain, row.out_of_distribution, row.distance, row.error];
    return [...cells, ...rest, ...Array(columns.length - cells.length - rest.length).fill(null)];
  });
  return [columns, ...lines].map((line) => `${line.map(cell).join(",")}\n`).join("");
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
