// The data, the state of the page (stored in the URL), and helpers for text and elements.
const data = JSON.parse(document.getElementById("data").textContent);

const DEFAULTS = {
  section: "",
  image: 0,
  label: "",
  mapLayer: "",
  method: "",
  background: "gray",
  smooth: 1,
  opacity: 70,
  position: "",
  layer: "",
  stagesOnly: 1,
  search: "",
  overlay: 0,
  smoothChannels: 1,
  scale: "channel",
  zoom: "",
  colorBy: "class",
  highlight: "",
  point: "",
};
const state = { ...DEFAULTS };
const listeners = [];

function onChange(keys, callback) {
  listeners.push({ keys, callback });
}

function setState(patch) {
  const changed = Object.keys(patch).filter((key) => String(state[key]) !== String(patch[key]));
  if (!changed.length) return;
  Object.assign(state, patch);
  writeHash();
  for (const { keys, callback } of listeners) if (keys.some((key) => changed.includes(key))) callback();
}

let hashTimer = 0;
function writeHash() {
  clearTimeout(hashTimer); // browsers limit how often the URL may change
  hashTimer = setTimeout(() => {
    const parameters = new URLSearchParams();
    for (const [key, value] of Object.entries(state))
      if (String(value) !== String(DEFAULTS[key])) parameters.set(key, value);
    const hash = `#${parameters}`;
    try {
      history.replaceState(null, "", hash);
    } catch {
      location.replace(hash); // pages without a URL of their own
    }
  }, 200);
}

function readHash() {
  const hash = location.hash.slice(1);
  const found = { ...DEFAULTS };
  if (hash && !hash.includes("=")) found.section = hash;
  for (const [key, value] of new URLSearchParams(hash)) {
    if (!(key in DEFAULTS)) continue;
    found[key] = typeof DEFAULTS[key] === "number" ? Math.round(Number(value)) || 0 : value;
  }
  found.image = Math.min(Math.max(found.image, 0), Math.max(data.images.length - 1, 0));
  found.opacity = Math.min(Math.max(found.opacity, 0), 100);
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
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// Three significant digits.
function num(value, plus = false) {
  if (!isNumber(value)) return "\u2013";
  const size = Math.abs(value);
  let text = String(Number(size.toPrecision(3)));
  if (size >= 1e6 || (size > 0 && size < 1e-3))
    text = size.toExponential(2).replace("e+", "e").replace("e-", `e${MINUS}`);
  else if (size >= 1000) text = String(Math.round(size));
  return (value < 0 ? MINUS : plus && value > 0 ? "+" : "") + text;
}

function pct(value, digits = 0) {
  return isNumber(value) ? `${(100 * value).toFixed(digits).replace("-", MINUS)}${NARROW}%` : "\u2013";
}

const shape = (text) => text.replaceAll(" x ", " \u00d7 ");
const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
const className = (label) =>
  label === null || label === undefined ? "unknown" : (data.classes[label] ?? `class ${label}`);
const name = (text, attributes = {}) => el("bdi", { title: text, ...attributes }, text);
const mount = (id) => document.querySelector(`#${id} .mount`);
const currentImage = () => data.images[state.image];

const strategyColor = (i) => `var(--series-${i % 6})`;
// A network has the color of the strategy that trained it; the pretrained network has its own color.
function networkColor(i) {
  const same = data.strategies.findIndex((strategy) => strategy.name === data.networks[i].name);
  return strategyColor(same >= 0 ? same : data.strategies.length + i);
}
const swatch = (color) => el("span", { class: "swatch", style: `background:${color}`, "aria-hidden": "true" });
const title = (text, color, ...more) => el("h3", { class: "name" }, swatch(color), name(text), ...more);

// Layers of all networks, in the order of the first network that has them.
const layerNames = [...new Set(data.networks.flatMap((network) => network.layers.map((layer) => layer.name)))];
const depthOf = new Map(layerNames.map((layer, i) => [layer, i]));
const depthIn = (layer) => (layer === "input" ? -1 : (depthOf.get(layer) ?? 1e9));
const byDepth = (a, b) => depthIn(a) - depthIn(b);
const isStage = (layer) => data.networks.some((network) => network.layers.some((one) => one.name === layer && one.ends_stage));
