// The strongest channels of the selected layer in each network.
let drawings = 0;

function mountLayers() {
  const node = mount("layers");
  if (!node) return;
  const list = layerList();
  const head = el("div", { class: "layer-head", "aria-live": "polite" });
  const columns = el("div", { class: "columns" });
  const more = el("div");
  const views = [
    { value: 0, text: "map only" },
    { value: 1, text: "overlay" },
  ];
  const style = el(
    "div",
    { class: "controls quiet" },
    stateChoice("overlay", "Maps", views),
    stateChoice("smoothChannels", "Interpolation", [
      { value: 1, text: "smooth" },
      { value: 0, text: "pixelated" },
    ]),
    stateChoice("scale", "Scale", [
      { value: "channel", text: "per channel" },
      { value: "common", text: "common" },
    ]),
  );
  node.append(
    el(
      "div",
      { class: "explorer" },
      list.node,
      el("div", { class: "activations" }, head, data.layer_maps.length ? style : "", columns, more),
    ),
  );

  function show() {
    const entry = chosenEntry();
    const found = mapsOfEntry(entry, state.image);
    head.replaceChildren(...layerHead(entry));
    style.hidden = !found.length;
    columns.replaceChildren(
      ...(found.length ? data.networks.map((_, i) => channelColumn(entry, i, found)) : [noMaps(entry)]),
    );
    more.replaceChildren(...(entry.attention ? [] : layerFindings(entry.layer)));
    draw();
  }
  async function draw() {
    const turn = ++drawings;
    const found = mapsOfEntry(chosenEntry(), state.image);
    if (!found.length) return;
    const image = await loadImage(currentImage().src);
    const limit = commonLimit(found);
    for (const canvas of columns.querySelectorAll("canvas")) {
      const maps = found.find((one) => one.network === Number(canvas.dataset.network)).maps;
      const grid = await sheetGrid(maps, Number(canvas.dataset.tile));
      if (turn !== drawings) return;
      drawMap(canvas, grid, limit ?? grid.limit, image, channelStyle());
    }
  }
  onChange(["image", "layer"], show);
  onChange(["overlay", "smoothChannels"], draw);
  onChange(["scale"], show);
  onChange(["zoom", "image", "layer"], showZoom);
  list.filter();
  show();
  showZoom();
}

const channelStyle = () => ({
  background: Number(state.overlay) === 1 ? "gray" : "none",
  smooth: Number(state.smoothChannels) === 1,
  opacity: 65,
});
const commonLimit = (found) =>
  state.scale === "common" ? Math.max(...found.flatMap((one) => one.maps.limits)) : null;

function layerHead(entry) {
  const first = entry.of.find(Boolean);
  const facts = entry.attention
    ? ["attention heads"]
    : [first.kind, shape(first.shape), first.receptive_field && `receptive field ${shape(first.receptive_field)}`, first.note].filter(Boolean);
  return [el("h3", { class: "path" }, name(entry.key)), el("p", { class: "fine" }, facts.join(" \u00b7 "))];
}

function noMaps(entry) {
  const first = entry.of.find(Boolean);
  const flat = first && !/ x .* x /.test(first.shape) && !first.receptive_field;
  return el(
    "p",
    { class: "absent" },
    data.images.length === 0
      ? "There is no photo on this page."
      : flat
        ? "The output of this layer has no spatial positions, so it has no maps."
        : [
            "This page has no maps of this layer. Create them with the option ",
            el("code", {}, `--layer ${entry.layer}`),
          ],
  );
}

function channelColumn(entry, i, found) {
  const network = data.networks[i];
  const one = found.find((each) => each.network === i);
  const head = [
    title(network.name, networkColor(i)),
    network.description === network.name ? null : el("p", { class: "fine" }, network.description),
  ];
  if (!one) return el("div", { class: "column" }, head, el("p", { class: "absent" }, "No maps of this layer."));
  const dead = entry.of[i]?.inactive_share;
  const what = entry.attention ? "attention heads" : "channels";
  const facts = [
    `${one.maps.names.length} of ${one.channels} ${what}`,
    entry.attention ? "" : `${pct(one.inactive_share)} inactive in this photo`,
    !entry.attention && isNumber(dead) ? `${pct(dead)} dead` : "",
  ].filter(Boolean);
  const limit = commonLimit(found);
  const buttons = one.maps.names.map((text, t) => channelButton(one, t, text));
  return el(
    "div",
    { class: "column" },
    head,
    el("p", { class: "fine" }, facts.join(" \u00b7 ")),
    el("div", { class: "channels", style: `--across:${Math.ceil(Math.sqrt(buttons.length))}` }, buttons),
    colorBar(one.maps.signed, limit ?? "maximum").node,
  );
}

function channelButton(one, t, text) {
  const side = Math.max(one.maps.width, 96);
  const short = text.replace(/^channel /, "");
  const maximum = (one.maps.signed ? "\u00b1" : "") + num(one.maps.limits[t]);
  return el(
    "button",
    {
      type: "button",
      class: "tile",
      "aria-label": `${text}, maximum ${maximum}. Enlarge.`,
      title: text,
      on: { click: () => setState({ zoom: `${one.network}.${t}` }) },
    },
    el("canvas", { width: side, height: side, "data-network": one.network, "data-tile": t, "aria-hidden": "true" }),
    el("span", {}, el("b", {}, short), el("small", {}, maximum)),
  );
}
