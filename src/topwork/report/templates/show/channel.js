// One channel enlarged in a dialog, with its values. The URL holds it as network.tile.
let dialog = null;

function zoomed() {
  const [network, t] = state.zoom.split(".").map(Number);
  const one = state.zoom ? mapsOfEntry(chosenEntry(), state.image).find((each) => each.network === network) : null;
  return one && t >= 0 && t < one.maps.names.length ? { one, t } : null;
}

function showZoom() {
  if (!zoomed()) return dialog?.node.close();
  dialog ??= channelDialog();
  dialog.update();
  if (!dialog.node.open) dialog.node.showModal();
}

function channelDialog() {
  const view = new MapView("The channel", read);
  const head = el("h3", { id: "channel-name" });
  const facts = el("p", { class: "fine" });
  const bar = el("div");
  const numbers = el("div");
  let scale = null;
  const step = (by) => {
    const { one, t } = zoomed();
    const count = one.maps.names.length;
    setState({ zoom: `${one.network}.${(t + by + count) % count}` });
  };
  const button = (text, act) => el("button", { type: "button", on: { click: act } }, text);
  const node = el(
    "dialog",
    { "aria-labelledby": "channel-name" },
    el(
      "div",
      { class: "dialog-head" },
      head,
      button("Close", () => node.close()),
    ),
    facts,
    view.canvas,
    bar,
    view.out,
    el(
      "div",
      { class: "row" },
      button("\u2190 previous", () => step(-1)),
      button("next \u2192", () => step(1)),
    ),
    numbers,
  );
  view.canvas.autofocus = true;
  node.addEventListener("click", (event) => event.target === node && node.close());
  node.addEventListener("close", () => setState({ zoom: "" }));
  document.body.append(node);

  function read(position) {
    view.read(position);
    scale?.point(position ? cellAt(view.grid, position).value : null);
  }
  async function update() {
    const { one, t } = zoomed();
    const requested = state.zoom;
    const grid = await sheetGrid(one.maps, t);
    const image = await loadImage(data.images[one.image].src);
    if (state.zoom !== requested) return;
    const network = data.networks[one.network];
    head.replaceChildren(swatch(networkColor(one.network)), one.maps.names[t]);
    const size = `${grid.rows} \u00d7 ${grid.columns} values`;
    const rank = `${t + 1} of the ${one.maps.names.length} shown`;
    facts.textContent = [network.name, one.layer, rank, size].join(" \u00b7 ");
    const limit = commonLimit(mapsOfEntry(chosenEntry(), state.image)) ?? grid.limit;
    scale = colorBar(grid.signed, limit);
    bar.replaceChildren(scale.node);
    numbers.replaceChildren(collapsible("Numbers", () => valuesTable(`Values of ${one.maps.names[t]}`, grid)));
    view.show(grid, limit, image, channelStyle());
    read(view.position);
  }
  return { node, update };
}
