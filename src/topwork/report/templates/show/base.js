// What the page is made from, what of it is shown (kept in the address), and small helpers for text and elements.
const D = JSON.parse(document.getElementById("data").textContent);

const DEFAULTS = {
  section: "",
  photo: 0,
  label: "",
  depth: "",
  method: "",
  under: "grey",
  smooth: 1,
  strength: 70,
  at: "",
  layer: "",
  stages: 1,
  find: "",
  over: 0,
  fine: 1,
  scale: "own",
  zoom: "",
  hue: "class",
  only: "",
  point: "",
};
const state = { ...DEFAULTS };
const watchers = [];

function watch(keys, update) {
  watchers.push({ keys, update });
}

function set(patch) {
  const changed = Object.keys(patch).filter((key) => String(state[key]) !== String(patch[key]));
  if (!changed.length) return;
  Object.assign(state, patch);
  remember();
  for (const { keys, update } of watchers) if (keys.some((key) => changed.includes(key))) update();
}

let waiting = 0;
function remember() {
  clearTimeout(waiting); // browsers refuse many changes of the address in a short time
  waiting = setTimeout(() => {
    const words = new URLSearchParams();
    for (const [key, value] of Object.entries(state))
      if (String(value) !== String(DEFAULTS[key])) words.set(key, value);
    const hash = `#${words}`;
    try {
      history.replaceState(null, "", hash);
    } catch {
      location.replace(hash); // where the page has no address of its own
    }
  }, 200);
}

function recall() {
  const hash = location.hash.slice(1);
  const found = { ...DEFAULTS };
  if (hash && !hash.includes("=")) found.section = hash;
  for (const [key, value] of new URLSearchParams(hash)) {
    if (!(key in DEFAULTS)) continue;
    found[key] = typeof DEFAULTS[key] === "number" ? Math.round(Number(value)) || 0 : value;
  }
  found.photo = Math.min(Math.max(found.photo, 0), Math.max(D.photos.length - 1, 0));
  found.strength = Math.min(Math.max(found.strength, 0), 100);
  return found;
}

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function el(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

const MINUS = "\u2212";
const NARROW = "\u202f";
const known = (value) => typeof value === "number" && Number.isFinite(value);

// Three significant digits.
function num(value, plus = false) {
  if (!known(value)) return "\u2013";
  const size = Math.abs(value);
  let text = String(Number(size.toPrecision(3)));
  if (size >= 1e6 || (size > 0 && size < 1e-3))
    text = size.toExponential(2).replace("e+", "e").replace("e-", `e${MINUS}`);
  else if (size >= 1000) text = String(Math.round(size));
  return (value < 0 ? MINUS : plus && value > 0 ? "+" : "") + text;
}

function pct(value, digits = 0) {
  return known(value) ? `${(100 * value).toFixed(digits).replace("-", MINUS)}${NARROW}%` : "\u2013";
}

const shape = (text) => text.replaceAll(" x ", " \u00d7 ");
const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
const className = (label) =>
  label === null || label === undefined ? "unknown" : (D.classes[label] ?? `class ${label}`);
const name = (text, attributes = {}) => el("bdi", { title: text, ...attributes }, text);
const mount = (id) => document.querySelector(`#${id} .mount`);
const photoOf = () => D.photos[state.photo];

const strategyColour = (i) => `var(--series-${i % 6})`;
// A network has the colour of the strategy that trained it; the pretrained one has a colour of its own.
function networkColour(i) {
  const same = D.strategies.findIndex((strategy) => strategy.name === D.networks[i].name);
  return strategyColour(same >= 0 ? same : D.strategies.length + i);
}
const swatch = (colour) => el("span", { class: "swatch", style: `background:${colour}`, "aria-hidden": "true" });
const title = (text, colour, ...more) => el("h3", { class: "name" }, swatch(colour), name(text), ...more);

// Layers of all networks in the order of the first one that has them.
const layerNames = [...new Set(D.networks.flatMap((network) => network.layers.map((layer) => layer.name)))];
const depthOf = new Map(layerNames.map((layer, i) => [layer, i]));
const depthIn = (layer) => (layer === "input" ? -1 : (depthOf.get(layer) ?? 1e9));
const byDepth = (a, b) => depthIn(a) - depthIn(b);
const isStage = (layer) => D.networks.some((network) => network.layers.some((one) => one.name === layer && one.stage));
