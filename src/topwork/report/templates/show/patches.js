// What the channels of a layer look for in the training photos, dreams of them, and the filters of the first layer.
function patchWords(patches, i) {
  const label = patches.labels[i];
  return [
    el("b", {}, num(patches.values[i])),
    ` ${i + 1}. `,
    label === null ? null : name(className(label)),
    " ",
    name(patches.ids[i] ?? "", { class: "id" }),
  ].filter(Boolean);
}

function patchCard(patches) {
  const range = `${num(patches.values.at(-1))} to ${num(patches.values[0])}`;
  const start = [el("b", {}, range), " answers"];
  const node = tiles(patches.sheet, {
    columns: 3,
    side: 72,
    label: `What excites channel ${patches.channel} most`,
    read: (i) => patchWords(patches, i),
    start: "",
  });
  node.querySelector("output").replaceChildren(...start);
  return el(
    "div",
    { class: "patches" },
    el("h4", {}, `channel ${patches.channel}`),
    patches.favourite ? el("p", { class: "fine" }, "most for ", name(patches.favourite)) : null,
    node,
  );
}

function patchTable(layer) {
  const rows = D.networks.flatMap((network) =>
    network.patches
      .filter((one) => one.layer === layer)
      .flatMap((one) =>
        one.values.map((value, i) => [
          network.name,
          String(one.channel),
          String(i + 1),
          num(value),
          one.labels[i] === null ? "\u2013" : name(className(one.labels[i])),
          name(one.ids[i] ?? ""),
        ]),
      ),
  );
  return table("What excites the channels most", ["network", "channel", "rank", "answer", "class", "image"], rows);
}

function layerFindings(layer) {
  const found = [];
  if (D.networks.some((network) => network.patches.some((one) => one.layer === layer))) {
    found.push(
      el("h3", { class: "part" }, "What its channels look for"),
      el("p", { class: "fine" }, "The pieces of photographs that excite a channel most, the strongest first."),
      perNetwork((network) => {
        const cards = network.patches.filter((one) => one.layer === layer).map(patchCard);
        return cards.length ? el("div", { class: "cards" }, cards) : null;
      }),
      folded("As a table", () => patchTable(layer)),
    );
  }
  if (D.networks.some((network) => network.dreams.some((one) => one.layer === layer))) {
    found.push(
      el("h3", { class: "part" }, "Pictures made to excite them"),
      perNetwork((network) =>
        network.dreams.filter((one) => one.layer === layer).map((one) => tileBlock(one, 3, 128, false)),
      ),
    );
  }
  return found;
}

function perNetwork(make) {
  return el(
    "div",
    { class: "columns" },
    D.networks.map((network, i) => {
      const inside = make(network);
      const some = Array.isArray(inside) ? inside.length : inside;
      return el(
        "div",
        { class: "column" },
        title(network.name, networkColour(i)),
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
    el("p", { class: "fine" }, block.words),
  );
}

function mountFilters() {
  const node = mount("filters");
  if (!node) return;
  const first = D.networks.map((network) => network.filters).find(Boolean);
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
