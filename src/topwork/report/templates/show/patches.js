// Image patches and feature visualizations of the channels of a layer, and the filters of the first layer.
function patchText(patches, i) {
  const label = patches.labels[i];
  return [
    el("b", {}, num(patches.activations[i])),
    ` ${i + 1}. `,
    label === null ? null : name(className(label)),
    " ",
    name(patches.ids[i] ?? "", { class: "id" }),
  ].filter(Boolean);
}

function patchCard(patches) {
  const range = `${num(patches.activations.at(-1))} to ${num(patches.activations[0])}`;
  const start = ["activations ", el("b", {}, range)];
  const node = tiles(patches.sheet, {
    columns: 3,
    side: 72,
    label: `Patches with the highest activation of channel ${patches.channel}`,
    read: (i) => patchText(patches, i),
    start: "",
  });
  node.querySelector("output").replaceChildren(...start);
  return el(
    "div",
    { class: "patches" },
    el("h4", {}, `channel ${patches.channel}`),
    patches.top_class ? el("p", { class: "fine" }, "highest for class ", name(patches.top_class)) : null,
    node,
  );
}

function patchTable(layer) {
  const rows = data.networks.flatMap((network) =>
    network.patches
      .filter((one) => one.layer === layer)
      .flatMap((one) =>
        one.activations.map((value, i) => [
          network.name,
          String(one.channel),
          String(i + 1),
          num(value),
          one.labels[i] === null ? "\u2013" : name(className(one.labels[i])),
          name(one.ids[i] ?? ""),
        ]),
      ),
  );
  return table("Highest activations", ["network", "channel", "rank", "activation", "class", "image"], rows);
}

function layerFindings(layer) {
  const found = [];
  if (data.networks.some((network) => network.patches.some((one) => one.layer === layer))) {
    found.push(
      el("h3", { class: "part" }, "What the channels respond to"),
      el("p", { class: "fine" }, "Image patches with the highest activation, highest first."),
      perNetwork((network) => {
        const cards = network.patches.filter((one) => one.layer === layer).map(patchCard);
        return cards.length ? el("div", { class: "cards" }, cards) : null;
      }),
      collapsible("As a table", () => patchTable(layer)),
    );
  }
  if (data.networks.some((network) => network.visualizations.some((one) => one.layer === layer))) {
    found.push(
      el("h3", { class: "part" }, "Feature visualizations"),
      perNetwork((network) =>
        network.visualizations.filter((one) => one.layer === layer).map((one) => tileBlock(one, 3, 128, false)),
      ),
    );
  }
  return found;
}

function perNetwork(make) {
  return el(
    "div",
    { class: "columns" },
    data.networks.map((network, i) => {
      const inside = make(network);
      const some = Array.isArray(inside) ? inside.length : inside;
      return el(
        "div",
        { class: "column" },
        title(network.name, networkColor(i)),
        some ? inside : el("p", { class: "absent" }, "None on this page."),
      );
    }),
  );
}

function tileBlock(block, columns, side, crisp) {
  return el(
    "div",
    {},
    tiles(block.sheet, {
      columns: Math.min(columns, block.sheet.count),
      side,
      crisp,
      label: `Channels of ${block.layer}`,
      read: (i) => `channel ${block.channels[i]}`,
      start: `${block.sheet.count} channels`,
    }),
    el("p", { class: "fine" }, block.description),
  );
}

function mountFilters() {
  const node = mount("filters");
  if (!node) return;
  const first = data.networks.map((network) => network.filters).find(Boolean);
  node.append(
    el(
      "p",
      { class: "fine" },
      el("code", {}, first.layer),
      ` \u00b7 ${first.sheet.width} \u00d7 ${first.sheet.height} pixels each`,
    ),
    perNetwork((network) => network.filters && tileBlock(network.filters, 8, 72, true)),
  );
}
