// "Why this class": maps of one class at one layer by one method, the strategies side by side, read together.
const classViews = [];
const [EXACT, CAM] = ["exact", "Grad-CAM"]; // heads that are not linear have no exact map

const mapsOf = (photo) => D.class_maps.filter((map) => map.photo === photo);
const unique = (values) => [...new Set(values)];

// What is shown of what is there for this photo: {label, depth, method} and what can be chosen.
function classChoice() {
  const maps = mapsOf(state.photo);
  const photo = photoOf();
  const labels = unique(maps.map((map) => map.label)).sort((a, b) => a - b);
  const best = D.strategies
    .map((strategy, i) => ({ i, accuracy: strategy.accuracy ?? 0 }))
    .sort((a, b) => b.accuracy - a.accuracy);
  const predicted = best.map(({ i }) => photo.guesses[i]?.[0]?.label).find((label) => labels.includes(label));
  const label = Number(available(state.label, labels, predicted ?? labels[0]));
  const ofClass = maps.filter((map) => map.label === label);
  const depths = unique(ofClass.map((map) => map.layer)).sort(byDepth);
  const depth = available(state.depth, depths, depths.at(-1));
  const methods = unique(ofClass.filter((map) => map.layer === depth).map((map) => map.method));
  const method = available(state.method, methods, methods[0]);
  const here = ofClass.filter((map) => map.layer === depth);
  const shown = D.strategies.flatMap((_, i) => {
    const own = here.filter((map) => map.strategy === i);
    return own.find((map) => map.method === method) ?? (method === EXACT && own.find((map) => map.method === CAM)) ?? [];
  });
  return { labels, label, depths, depth, methods, method, shown, photo, maps: ofClass };
}

function labelOptions({ labels, photo }) {
  return labels.map((label) => {
    const by = D.strategies.filter((_, i) => photo.guesses[i]?.[0]?.label === label).map((strategy) => strategy.name);
    const words = [
      label === photo.label ? "true" : "",
      by.length ? `predicted by ${by.length === D.strategies.length && by.length > 2 ? "all" : listed(by)}` : "",
    ];
    return { value: String(label), text: className(label), small: words.filter(Boolean).join("; ") };
  });
}

function depthOptions({ depths, maps }) {
  return depths.map((layer) => {
    const map = maps.find((one) => one.layer === layer);
    return { value: layer, text: layer, small: `${map.height} \u00d7 ${map.width}` };
  });
}

function mountClasses() {
  const node = mount("classes");
  if (!node) return;
  const label = choice("Class", (value) => set({ label: value }), 4);
  const depth = choice("Layer", (value) => set({ depth: value }), 4);
  const method = choice("Method", (value) => set({ method: value }), 4);
  const says = announcer();
  const grid = el("div", { class: "columns maps" });
  for (let i = 0; i < D.strategies.length; i++) classViews.push(new MapView(`Map of ${D.strategies[i].name}`, read));
  for (const view of classViews) view.out.setAttribute("aria-live", "off"); // one line for all of them is announced
  const look = el(
    "div",
    { class: "controls quiet" },
    stateChoice("under", "Below the map", [
      { value: "grey", text: "grey photo" },
      { value: "colour", text: "photo" },
      { value: "none", text: "nothing" },
    ]),
    stateChoice("smooth", "Values", [
      { value: 1, text: "smooth" },
      { value: 0, text: "cells" },
    ]),
    slider("strength", "Strength of the map", { min: 0, max: 100, step: 5, unit: "%" }),
  );
  node.append(el("div", { class: "controls" }, label.node, depth.node, method.node), look, says, grid);

  function read(place) {
    set({ at: place ? placeText(place) : "" });
  }
  function mark() {
    const place = placeOf(state.at);
    const values = classViews.map((view) => {
      const value = view.canvas.isConnected ? view.read(place) : null;
      view.bar?.point(value);
      return value;
    });
    says.textContent = place ? D.strategies.map((one, i) => `${one.name} ${num(values[i], true)}`).join("; ") : "";
  }
  function choose() {
    const chosen = classChoice();
    label.update(labelOptions(chosen), chosen.label);
    depth.update(depthOptions(chosen), chosen.depth);
    method.update(
      chosen.methods.map((text) => ({ value: text, text, small: text === EXACT ? `else ${CAM}` : "" })),
      chosen.method,
    );
    const focused = classViews.findIndex((view) => view.canvas === document.activeElement);
    grid.replaceChildren(...D.strategies.map((_, i) => classColumn(i, chosen)));
    if (focused >= 0) classViews[focused].canvas.focus({ preventScroll: true });
    draw();
  }
  async function draw() {
    const image = await picture(photoOf().src);
    const options = { under: state.under, smooth: Number(state.smooth) === 1, strength: state.strength };
    for (const view of classViews)
      if (view.grid && view.canvas.isConnected) view.show(view.grid, view.grid.limit, image, options);
    mark();
  }
  watch(["photo", "label", "depth", "method"], choose);
  watch(["under", "smooth", "strength"], draw);
  watch(["at"], mark);
  choose();
}

function classColumn(i, { shown, label }) {
  const strategy = D.strategies[i];
  const view = classViews[i];
  const map = shown.find((one) => one.strategy === i);
  const head = title(strategy.name, strategyColour(i));
  if (!map) {
    view.grid = null;
    return el("div", { class: "column" }, head, el("p", { class: "absent" }, "No map of this class at this layer."));
  }
  view.grid = classGrid(map);
  view.bar = colourBar(true, map.limit);
  const exact = map.exact
    ? "Exact: the values sum to the score but for a constant."
    : `${map.method}: the values compare places; they do not sum to the score.`;
  return el(
    "div",
    { class: "column" },
    head,
    el(
      "p",
      { class: "fine" },
      `${strategy.scores} of `,
      name(className(label)),
      ": ",
      el("b", {}, num(map.score, true)),
    ),
    view.canvas,
    view.bar.node,
    view.out,
    el("p", { class: "fine" }, exact),
    faithfulness(map),
    folded("Numbers", () => [
      valuesTable(`Values of ${strategy.name}`, view.grid),
      map.fractions.length ? faithfulTable(map) : "",
    ]),
  );
}
