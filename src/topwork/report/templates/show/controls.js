// Controls that keep their focus when the rest of the page is redrawn.
let controls = 0;

// A choice among options {value, text, small}: buttons in a row, or a drop-down list for many options.
function choice(label, onPick, maxButtons = 6) {
  const node = el("div", { class: "control" });
  const group = `choice-${controls++}`;
  let shown = "";
  function fill(options) {
    const focused = node.contains(document.activeElement);
    const letters = options.reduce((sum, { text, small }) => sum + Math.max(text.length, small?.length ?? 0), 0);
    node.replaceChildren(options.length > maxButtons || letters > 110 ? dropDown(options) : buttons(options));
    if (focused) node.querySelector("select, input")?.focus();
  }
  function dropDown(options) {
    const items = options.map(({ value, text, small }) =>
      el("option", { value }, small ? `${text} \u2014 ${small}` : text),
    );
    const select = el("select", { on: { change: (event) => onPick(event.target.value) } }, items);
    return el("label", { class: "field" }, el("span", { class: "legend" }, label), select);
  }
  function buttons(options) {
    const items = options.map(({ value, text, small }) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: group, value, on: { change: () => onPick(value) } }),
        el("span", {}, name(text), small ? el("small", {}, small) : null),
      ),
    );
    return el(
      "fieldset",
      { class: "segments" },
      el("legend", { class: "legend" }, label),
      el("div", { class: "row" }, items),
    );
  }
  return {
    node,
    update(options, value) {
      const key = JSON.stringify(options);
      if (key !== shown) fill(options);
      shown = key;
      node.hidden = options.length < 2;
      const select = node.querySelector("select");
      if (select) select.value = value;
      for (const input of node.querySelectorAll("input")) input.checked = input.value === String(value);
    },
  };
}

// A choice among fixed options that is stored in the state.
function stateChoice(key, label, options) {
  const control = choice(label, (value) => setState({ [key]: value }));
  const update = () => control.update(options, state[key]);
  update();
  onChange([key], update);
  return control.node;
}

function slider(key, label, { min, max, step, unit }) {
  const out = el("output", {});
  const input = el("input", {
    type: "range",
    min,
    max,
    step,
    on: { input: () => setState({ [key]: Number(input.value) }) },
  });
  const update = () => {
    input.value = state[key];
    out.textContent = `${state[key]}${NARROW}${unit}`;
  };
  update();
  onChange([key], update);
  return el(
    "label",
    { class: "control field" },
    el("span", { class: "legend" }, label),
    el("span", { class: "row" }, input, out),
  );
}

// The value if it is one of the options, else the default.
const available = (value, options, otherwise) =>
  options.map(String).includes(String(value)) ? String(value) : String(otherwise);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// A line for screen readers only.
function announcer() {
  return el("p", { class: "visually-hidden", "aria-live": "polite" });
}

function table(caption, head, rows) {
  const scope = (cells) =>
    el(
      "tr",
      {},
      cells.map((cell) => el("th", { scope: "col" }, cell)),
    );
  const line = ([first, ...rest]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      rest.map((cell) => el("td", {}, cell)),
    );
  return el(
    "div",
    { class: "scroll", role: "region", tabindex: 0, "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, scope(head)), el("tbody", {}, rows.map(line))),
  );
}

// Filled when it is opened, so that long tables cost nothing before.
function collapsible(summary, fill) {
  const node = el("details", {}, el("summary", {}, summary));
  node.addEventListener("toggle", () => {
    if (node.open && node.children.length === 1) node.append(...[fill()].flat());
  });
  return node;
}

// Redraw when the width changes; after the frame, because drawing may change sizes.
function whenResized(node, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (node.clientWidth === width) return;
    width = node.clientWidth;
    requestAnimationFrame(draw);
  }).observe(node);
}
