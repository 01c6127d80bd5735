// The list of all layers. An entry is a layer or its attention heads.
const attentionKey = (layer) => `attention of ${layer}`;

function layerEntries() {
  const entries = layerNames.map((layer) => ({
    key: layer,
    layer,
    attention: false,
    of: data.networks.map((network) => network.layers.find((one) => one.name === layer)),
  }));
  for (const layer of unique(data.layer_maps.filter((one) => one.attention).map((one) => one.layer))) {
    const after = entries.findLastIndex((entry) => entry.layer === layer || entry.layer.startsWith(`${layer}.`));
    const entry = { key: attentionKey(layer), layer, attention: true, of: after >= 0 ? entries[after].of : [] };
    entries.splice(after < 0 ? entries.length : after + 1, 0, entry);
  }
  return entries;
}
const ENTRIES = layerEntries();
const mapsOfEntry = (entry, image) =>
  data.layer_maps.filter((one) => one.image === image && one.layer === entry.layer && one.attention === entry.attention);
const WITH_MAPS = new Set(data.layer_maps.map((one) => (one.attention ? attentionKey(one.layer) : one.layer)));

function chosenEntry() {
  const wanted = ENTRIES.find((entry) => entry.key === state.layer);
  if (wanted) return wanted;
  const drawn = ENTRIES.filter((entry) => WITH_MAPS.has(entry.key) && !entry.attention);
  const stages = drawn.filter((entry) => isStage(entry.layer));
  const from = stages.length ? stages : drawn.length ? drawn : ENTRIES;
  return from[Math.floor((from.length - 1) / 2)];
}

function entriesShown() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const stagesOnly = Number(state.stagesOnly) === 1 && ENTRIES.some((entry) => isStage(entry.layer));
  return ENTRIES.filter((entry) => {
    const first = entry.of.find(Boolean);
    const text = `${entry.key} ${first?.kind ?? ""}`.toLowerCase();
    return (!stagesOnly || entry.attention || isStage(entry.layer)) && words.every((word) => text.includes(word));
  });
}

function deadText(entry) {
  const shares = entry.of.map((one) => one?.inactive_share);
  return !entry.attention && shares.some(isNumber)
    ? `dead ${shares.map((share) => (isNumber(share) ? pct(share) : "\u2013")).join(" / ")}`
    : "";
}

function layerRow(entry, i) {
  const first = entry.of.find(Boolean);
  const stage = isStage(entry.layer) && !entry.attention;
  const facts = entry.attention
    ? ["attention heads"]
    : [first.kind, first.receptive_field && `receptive field ${shape(first.receptive_field)}`].filter(Boolean);
  return el(
    "div",
    { role: "option", id: `layer-${i}`, "data-key": entry.key, class: stage ? "option stage" : "option" },
    el(
      "span",
      { class: "top" },
      name(entry.key, { class: "path" }),
      WITH_MAPS.has(entry.key)
        ? el("span", { class: "drawn" }, "\u25a3", el("span", { class: "visually-hidden" }, "has maps"))
        : null,
      el("span", { class: "shape" }, entry.attention ? "" : shape(first.shape)),
    ),
    el("small", {}, el("span", {}, facts.join(" \u00b7 ")), el("span", {}, deadText(entry))),
  );
}

function layerList() {
  const rows = ENTRIES.map(layerRow);
  const box = el("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": "Layers" }, rows);
  const count = el("p", { class: "fine", "aria-live": "polite" });
  const search = el("input", {
    type: "search",
    placeholder: "name or type",
    on: { input: () => setState({ search: search.value }) },
  });
  const stages = ENTRIES.some((entry) => isStage(entry.layer)) && ENTRIES.some((entry) => !isStage(entry.layer));
  const which = stages
    ? stateChoice("stagesOnly", "Layers", [
        { value: 1, text: "stages" },
        { value: 0, text: "all" },
      ])
    : null;
  const key = el(
    "p",
    { class: "fine" },
    data.layer_maps.length ? "\u25a3: maps on this page. " : "",
    "Bold: end of a stage.",
    ENTRIES.some(deadText) && data.networks.length > 1
      ? ` Dead: ${data.networks.map((network) => network.name).join(" / ")}.`
      : "",
  );

  function filter() {
    const shown = new Set(entriesShown());
    ENTRIES.forEach((entry, i) => (rows[i].hidden = !shown.has(entry)));
    count.textContent = `${shown.size} of ${ENTRIES.length} layers`;
    if (search.value !== state.search) search.value = state.search;
    select();
  }
  function select() {
    const chosen = chosenEntry();
    box.removeAttribute("aria-activedescendant");
    rows.forEach((row, i) => {
      const on = ENTRIES[i] === chosen;
      row.setAttribute("aria-selected", String(on));
      if (!on || row.hidden) return;
      box.setAttribute("aria-activedescendant", row.id);
      if (row.offsetTop < box.scrollTop) box.scrollTop = row.offsetTop;
      const hidden = row.offsetTop + row.offsetHeight - box.scrollTop - box.clientHeight;
      if (hidden > 0) box.scrollTop += hidden;
    });
  }
  function step(event) {
    const shown = entriesShown();
    const at = shown.indexOf(chosenEntry());
    const steps = {
      ArrowDown: at + 1,
      ArrowUp: at < 0 ? 0 : at - 1,
      Home: 0,
      End: shown.length - 1,
      PageDown: at + 10,
      PageUp: at - 10,
    };
    if (!(event.key in steps) || !shown.length) return;
    event.preventDefault();
    setState({ layer: shown[Math.min(Math.max(steps[event.key], 0), shown.length - 1)].key });
  }
  box.addEventListener("keydown", step);
  box.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) setState({ layer: row.dataset.key });
  });
  onChange(["search", "stagesOnly"], filter);
  onChange(["layer"], select);
  const node = el(
    "div",
    { class: "browser" },
    el(
      "div",
      { class: "controls" },
      which,
      el("label", { class: "control field" }, el("span", { class: "legend" }, "Search"), search),
    ),
    count,
    box,
    key,
  );
  return { node, filter };
}
