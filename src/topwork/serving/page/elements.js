// Small helpers: elements without markup in strings, numbers in words.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export const byId = (id) => document.getElementById(id);

// A probability: digits where they matter, and never a 0 or a 1 that it is not.
export function percent(share) {
  if (share > 0.9995 && share < 1) return "> 99.9 %";
  if (share < 0.0005 && share > 0) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

// A bar of a share in [0, 1], with a line at a threshold if there is one.
export function level(share, threshold = null) {
  const fill = el("i");
  fill.style.width = `${100 * share}%`;
  const bar = el("span", { class: "level", "aria-hidden": "true" }, fill);
  if (threshold !== null) {
    const line = el("b");
    line.style.left = `${100 * threshold}%`;
    bar.append(line);
  }
  return bar;
}
