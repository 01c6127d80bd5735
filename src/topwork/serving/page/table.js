// The table of many photos: filters, predictions and the selected photo.
import { byId, count, el, level, percent } from "./elements.js";
import { photos, statusOf } from "./photos.js";

const PAGE = 200; // rows that are added at a time
const FILTERS = {
  all: () => true,
  unsure: (photo) => Boolean(photo.row?.abstain),
  unlike: (photo) => Boolean(photo.row?.out_of_distribution),
  bad: (photo) => statusOf(photo) === "bad" || statusOf(photo) === "failed",
};
const FILTER_LABELS = { all: "All", unsure: "Unsure", unlike: "Unlike training", bad: "Unreadable" };

let filter = "all";
let rowLimit = PAGE;
let open = () => {};
export let selected = null;

export function init(act) {
  open = act;
  byId("more").addEventListener("click", () => {
    rowLimit += PAGE;
    update();
  });
  byId("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) choose(row.photo, true);
  });
  byId("rows").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = [...byId("rows").rows];
    const at = rows.indexOf(event.target.closest("tr")) + step;
    const row = rows[Math.min(Math.max(at, 0), rows.length - 1)];
    row.querySelector("button").focus();
    choose(row.photo, false);
  });
}

export function reset() {
  selected = null;
  filter = "all";
  rowLimit = PAGE;
  byId("rows").replaceChildren();
}

// Selects a photo; asked: by click or Enter, not by the arrow keys.
export function choose(photo, asked) {
  selected = photo;
  for (const row of byId("rows").rows) row.setAttribute("aria-current", row.photo === photo);
  open(photo, asked);
}

export function update() {
  const known = new Map([...byId("rows").rows].map((row) => [row.photo, row]));
  const wanted = photos.filter(FILTERS[filter]);
  const rows = wanted.slice(0, rowLimit).map((photo) => updateRow(known.get(photo) ?? rowOf(photo)));
  const there = [...byId("rows").rows];
  if (rows.length !== there.length || rows.some((row, i) => row !== there[i])) byId("rows").replaceChildren(...rows);
  byId("more").hidden = wanted.length <= rowLimit;
  byId("more").textContent = `Show more (${count(wanted.length - rowLimit, "photo")} left)`;
  filters();
  summary();
}

function rowOf(photo) {
  const image = el("img", { src: photo.url, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "no-thumb" })));
  const name = el("button", { type: "button", class: "link" }, el("bdi", {}, photo.name));
  const row = el(
    "tr",
    { "aria-current": "false" },
    el("th", { scope: "row" }, el("div", { class: "photo-cell" }, image, name)),
    el("td", { class: "class" }),
    el("td"),
  );
  row.photo = photo;
  return row;
}

function updateRow(row) {
  const { photo } = row;
  const state = statusOf(photo);
  row.setAttribute("aria-current", photo === selected);
  if (row.state === state) return row;
  row.state = state;
  const [, what, sure] = row.cells;
  const mark = (text) => el("span", { class: "mark" }, text);
  if (state === "waiting") what.replaceChildren(el("span", { class: "waiting" }, "waiting"));
  else if (state === "failed") what.replaceChildren(mark("not sent"));
  else if (state === "bad") what.replaceChildren(mark("not usable"), " ", el("small", {}, photo.row.error));
  else {
    const marks = [photo.row.out_of_distribution && mark("unlike training"), photo.row.abstain && mark("unsure")];
    const said = marks.filter(Boolean);
    what.replaceChildren(el("bdi", {}, photo.row.label), ...(said.length ? [el("br"), ...said] : []));
    sure.replaceChildren(percent(photo.row.probability), level(photo.row.probability));
  }
  return row;
}

function filters() {
  const place = byId("filter");
  const numbers = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, photos.filter(FILTERS[name]).length]));
  const made = place.querySelectorAll("label").length;
  if (!made)
    for (const name of Object.keys(FILTERS)) {
      const input = el("input", { type: "radio", name: "filter", value: name });
      input.addEventListener("change", () => {
        filter = name;
        rowLimit = PAGE;
        update();
      });
      place.append(el("label", {}, input, el("span")));
    }
  for (const label of place.querySelectorAll("label")) {
    const [input, span] = label.children;
    span.textContent = `${FILTER_LABELS[input.value]} ${numbers[input.value].toLocaleString("en")}`;
    input.checked = input.value === filter;
    label.hidden = input.value !== "all" && !numbers[input.value] && input.value !== filter;
  }
}

function summary() {
  const done = photos.filter((photo) => photo.status === "done").length;
  const failed = photos.filter((photo) => photo.status === "failed").length;
  byId("count").textContent =
    done < photos.length ? `${done.toLocaleString("en")} of ${count(photos.length, "photo")}` : count(done, "photo");
  byId("progress").hidden = done + failed >= photos.length;
  byId("progress").value = done / Math.max(photos.length, 1);
  byId("csv").disabled = !done;
}
