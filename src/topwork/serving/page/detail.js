// One photo: what it is, how sure that is, where it shows, and what it is like.
import { explain, picture } from "./api.js";
import { el, level, percent } from "./elements.js";
import { draw } from "./map.js";

let facts = null;
let chosen = ""; // class whose map is shown; empty: none
let number = 0;

export function about(model) {
  facts = model;
}

// Shows a photo in a place; what was there before goes.
export function show(place, photo) {
  number += 1;
  const { row } = photo;
  if (!row) {
    place.replaceChildren(el("p", { class: "waiting" }, `${photo.name}: the answer is on its way.`));
    return;
  }
  const frame = picturePart(photo);
  chosen = photo.chosen ?? row.top[0]?.label ?? "";
  const words = el("div", {}, heading(photo), ...warnings(row));
  const left = el("figure", {}, frame);
  if (!row.error) {
    const caption = el("figcaption", { "aria-live": "polite" });
    left.append(caption);
    const update = () => showMap(photo, frame, caption);
    words.append(guesses(photo, update), nearest(row));
    observe(frame, update);
  }
  place.replaceChildren(el("div", { class: "detail" }, left, words));
}

function picturePart(photo) {
  const image = el("img", { src: photo.url, alt: photo.name });
  image.addEventListener("load", () => frame.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight));
  const frame = el("div", { class: "frame plain" }, image);
  image.addEventListener("error", () => {
    frame.classList.add("empty");
    frame.replaceChildren(el("p", {}, `This browser cannot show ${photo.name}.`));
  });
  return frame;
}

function heading(photo) {
  const { row } = photo;
  const file = el("p", { class: "file" }, el("bdi", {}, photo.name));
  if (row.error) return el("div", {}, el("h2", { class: "answer" }, "This file cannot be used"), file);
  return el(
    "div",
    {},
    el("h2", { class: "answer" }, el("bdi", {}, row.label)),
    el("p", { class: "sure" }, el("b", {}, percent(row.probability)), " probability"),
  );
}

function warnings(row) {
  const found = [];
  const say = (title, text) => found.push(el("p", { class: "alert" }, el("b", {}, title), ` ${text}`));
  if (row.error) say("Why:", `${row.error}.`);
  if (row.out_of_distribution)
    say("Unlike the training photos.", "Nothing like it was among them, so the class may well be wrong.");
  if (row.abstain) {
    const below = percent(facts.decision.confidence_threshold);
    say("Unsure.", `Its best guess has ${percent(row.probability)}; below ${below} it was wrong too often on held-out photos.`);
  }
  return found;
}

function guesses(photo, update) {
  const { row } = photo;
  number += 1;
  const choice = (value, ...children) => {
    const input = el("input", { type: "radio", name: `class-${number}`, value, checked: value === chosen });
    input.addEventListener("change", () => {
      chosen = photo.chosen = value;
      update();
    });
    return [input, ...children];
  };
  const rows = row.top.map((guess, i) =>
    el(
      "label",
      { class: "guess" },
      choice(
        guess.label,
        el("bdi", { class: "name" }, guess.label),
        el("span", { class: "value" }, percent(guess.probability)),
        level(guess.probability, i === 0 ? facts.decision.confidence_threshold : null),
      ),
    ),
  );
  const below = facts.decision.confidence_threshold;
  const line = below === null ? "" : ` Left of the line (${percent(below)}) it counts as unsure.`;
  const words = `Calibrated probabilities.${line} Choose a class to see where it shows.`;
  const legend = el("legend", { class: "fine" }, words);
  const none = el("label", { class: "guess none" }, choice("", "Only the photo, no class map"));
  return el("fieldset", { class: "guesses" }, legend, ...rows, none);
}

async function showMap(photo, frame, caption) {
  const label = chosen;
  frame.classList.toggle("plain", !label);
  if (!label) {
    caption.replaceChildren("The photo as it was sent.");
    return;
  }
  if (!photo.maps.has(label)) caption.replaceChildren("The class map is being made …");
  try {
    const { map, region } = await mapOf(photo, label);
    if (label !== chosen || !frame.isConnected) return;
    if (!map) {
      caption.replaceChildren("There is no class map for this model.");
      frame.classList.add("plain");
      return;
    }
    paint(frame, map, region);
    caption.replaceChildren(...legend(map, region));
  } catch (error) {
    if (label === chosen) caption.replaceChildren(`There is no class map: ${error.message}`);
  }
}

// The maps of all classes that are told are made at once; the first to ask waits for them.
async function mapOf(photo, label) {
  if (!photo.maps.has(label)) {
    const labels = photo.row.top.map((guess) => guess.label);
    const made = explain(photo.file, labels);
    for (const [i, name] of labels.entries())
      photo.maps.set(name, made.then((said) => ({ map: said.maps[i], region: said.region })));
    made.catch(() => photo.maps.clear());
  }
  return photo.maps.get(label);
}

function paint(frame, map, region) {
  let canvas = frame.querySelector("canvas");
  if (!canvas) frame.append((canvas = el("canvas", { role: "img" })));
  canvas.setAttribute("aria-label", `Class map of ${map.label}`);
  draw(canvas, map.values, region);
  frame.dataset.shown = map.label;
}

function legend(map, region) {
  const how = map.exact
    ? "Exact: the values of all places add up to the score."
    : `${map.method} at ${map.layer}, an approximation.`;
  return [
    el("span", { class: "key for" }),
    "speaks for it ",
    el("span", { class: "key against" }),
    `against it. ${how}`,
    region[2] < 1 ? " The network sees what is within the frame." : "",
  ];
}

function nearest(row) {
  const near = row.neighbours ?? [];
  if (!near.length) return "";
  const shown = near.some((one) => one.photo);
  const items = near.map((one) => {
    const same = one.label === row.label;
    const words = el("small", { title: one.image }, el("bdi", { class: same ? null : "other" }, one.label));
    if (!shown) return el("li", {}, el("small", {}, el("bdi", {}, one.image), " · ", el("bdi", {}, one.label)));
    const image = el("img", { alt: `Training photo of ${one.label}`, loading: "lazy" });
    if (one.photo) picture(one.photo).then((url) => image.setAttribute("src", url), () => {});
    return el("li", {}, image, words);
  });
  const title = shown ? "Most similar training photos" : "Most similar training photos (they are not on this machine)";
  return el("div", {}, el("h3", {}, title), el("ul", { class: shown ? "near" : "near names" }, ...items));
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) target.update?.();
});
function observe(frame, update) {
  frame.update = update;
  sizes.observe(frame);
}
