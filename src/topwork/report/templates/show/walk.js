// What the networks answer at the chosen layer, channel by channel.
let walking = 0;

function mountLayers() {
  const node = mount("layers");
  if (!node) return;
  const list = layerList();
  const head = el("div", { class: "layer-head", "aria-live": "polite" });
  const columns = el("div", { class: "columns" });
  const more = el("div");
  const views = [
    { value: 0, text: "alone" },
    { value: 1, text: "over the photo" },
  ];
  const look = el(
    "div",
    { class: "controls quiet" },
    stateChoice("over", "Maps", views),
    stateChoice("fine", "Values", [
      { value: 1, text: "smooth" },
      { value: 0, text: "cells" },
    ]),
    stateChoice("scale", "Scale", [
      { value: "own", text: "each its own" },
      { value: "one", text: "one for all" },
    ]),
  );
  node.append(
    el(
      "div",
      { class: "explorer" },
      list.node,
      el("div", { class: "answers" }, head, D.walk.length ? look : "", columns, more),
    ),
  );

  function show() {
    const entry = chosenEntry();
    const pictures = walkOf(entry, state.photo);
    head.replaceChildren(...layerHead(entry));
    look.hidden = !pictures.length;
    columns.replaceChildren(
      ...(pictures.length ? D.networks.map((_, i) => walkColumn(entry, i, pictures)) : [noPictures(entry)]),
    );
    more.replaceChildren(...(entry.attention ? [] : layerFindings(entry.layer)));
    draw();
  }
  async function draw() {
    const turn = ++walking;
    const pictures = walkOf(chosenEntry(), state.photo);
    if (!pictures.length) return;
    const image = await picture(photoOf().src);
    const limit = commonLimit(pictures);
    for (const canvas of columns.querySelectorAll("canvas")) {
      const maps = pictures.find((one) => one.network === Number(canvas.dataset.network)).maps;
      const grid = await sheetGrid(maps, Number(canvas.dataset.tile));
      if (turn !== walking) return;
      drawMap(canvas, grid, limit ?? grid.limit, image, walkLook());
    }
  }
  watch(["photo", "layer"], show);
  watch(["over", "fine"], draw);
  watch(["scale"], show);
  watch(["zoom", "photo", "layer"], showZoom);
  list.filter();
  show();
  showZoom();
}

const walkLook = () => ({
  under: Number(state.over) === 1 ? "grey" : "none",
  smooth: Number(state.fine) === 1,
  strength: 65,
});
const commonLimit = (pictures) =>
  state.scale === "one" ? Math.max(...pictures.flatMap((one) => one.maps.limits)) : null;

function layerHead(entry) {
  const first = entry.of.find(Boolean);
  const facts = entry.attention
    ? ["maps of attention heads"]
    : [first.kind, shape(first.shape), first.field && `sees ${shape(first.field)}`, first.note].filter(Boolean);
  return [el("h3", { class: "path" }, name(entry.key)), el("p", { class: "fine" }, facts.join(" \u00b7 "))];
}

function noPictures(entry) {
  const first = entry.of.find(Boolean);
  const flat = first && !/ x .* x /.test(first.shape) && !first.field;
  return el(
    "p",
    { class: "absent" },
    D.photos.length === 0
      ? "There is no photo on this page."
      : flat
        ? "What this layer gives has no place in the photo, so there are no maps of it."
        : [
            "No pictures of this layer are on this page. This makes them: ",
            el("code", {}, `topwork show \u2026 --layer ${entry.layer}`),
          ],
  );
}

function walkColumn(entry, i, pictures) {
  const network = D.networks[i];
  const one = pictures.find((each) => each.network === i);
  const head = [
    title(network.name, networkColour(i)),
    network.words === network.name ? null : el("p", { class: "fine" }, network.words),
  ];
  if (!one) return el("div", { class: "column" }, head, el("p", { class: "absent" }, "No pictures of this layer."));
  const dead = entry.of[i]?.dead;
  const what = entry.attention ? "attention heads" : "channels";
  const facts = [
    `${one.maps.sheet.count} of ${one.channels} ${what}`,
    entry.attention ? "" : `${pct(one.silent)} silent on this photo`,
    !entry.attention && known(dead) ? `${pct(dead)} dead` : "",
  ].filter(Boolean);
  const limit = commonLimit(pictures);
  const buttons = one.maps.names.map((text, t) => channelButton(one, t, text));
  return el(
    "div",
    { class: "column" },
    head,
    el("p", { class: "fine" }, facts.join(" \u00b7 ")),
    el("div", { class: "channels", style: `--across:${Math.ceil(Math.sqrt(buttons.length))}` }, buttons),
    colourBar(one.maps.signed, limit ?? "peak").node,
  );
}

function channelButton(one, t, text) {
  const side = Math.max(one.maps.sheet.width, 96);
  const short = text.replace(/^channel /, "");
  const peak = (one.maps.signed ? "\u00b1" : "") + num(one.maps.limits[t]);
  return el(
    "button",
    {
      type: "button",
      class: "tile",
      "aria-label": `${text}, peak ${peak}. Enlarge.`,
      title: text,
      on: { click: () => set({ zoom: `${one.network}.${t}` }) },
    },
    el("canvas", { width: side, height: side, "data-network": one.network, "data-tile": t, "aria-hidden": "true" }),
    el("span", {}, el("b", {}, short), el("small", {}, peak)),
  );
}
