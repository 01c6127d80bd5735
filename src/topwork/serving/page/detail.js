// One photo: predicted class, probabilities, heatmap and similar training photos.
import { explain, thumbnail } from "./api.js";
import { el, level, percent } from "./elements.js";
import { draw } from "./map.js";

let model = null;
let selectedClass = ""; // class whose map is shown; empty: none
let number = 0;

export function setModel(value) {
  model = value;
}

// Shows a photo in a place; what was there before goes.
export function show(place, photo) {
  number += 1;
  const { row } = photo;
  if (!row) {
    place.replaceChildren(el("p", { class: "waiting" }, `${photo.name}: predicting …`));
    return;
  }
  const frame = picturePart(photo);
  selectedClass = photo.chosen ?? row.top[0]?.label ?? "";
  const words = el("div", {}, heading(photo), ...warnings(row));
  const left = el("figure", {}, frame);
  if (!row.error) {
    const caption = el("figcaption", { "aria-live": "polite" });
    left.append(caption);
    const update = () => showMap(photo, frame, caption);
    words.append(classChoices(photo, update), nearest(row));
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
    say("Unlike the training photos.", "No similar photo was used for training, so this prediction is unreliable.");
  if (row.abstain) {
    const below = percent(model.decision.confidence_threshold);
    say("Unsure.", `The best class has only ${percent(row.probability)}; predictions below ${below} were too often wrong on validation photos.`);
  }
  return found;
}

function classChoices(photo, update) {
  const { row } = photo;
  number += 1;
  const choice = (value, ...children) => {
    const input = el("input", { type: "radio", name: `class-${number}`, value, checked: value === selectedClass });
    input.addEventListener("change", () => {
      selectedClass = photo.chosen = value;
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
        level(guess.probability, i === 0 ? model.decision.confidence_threshold : null),
      ),
    ),
  );
  const below = model.decision.confidence_threshold;
  const line = below === null ? "" : ` (below ${percent(below)}: unsure)`;
  const words = `Probabilities${line}. Select a class to see its heatmap.`;
  const legend = el("legend", { class: "fine" }, words);
  const none = el("label", { class: "guess none" }, choice("", "Only the photo, no heatmap"));
  return el("fieldset", { class: "guesses" }, legend, ...rows, none);
}

async function showMap(photo, frame, caption) {
  const label = selectedClass;
  frame.classList.toggle("plain", !label);
  if (!label) {
    caption.replaceChildren("The photo as it was sent.");
    return;
  }
  if (!photo.maps.has(label)) caption.replaceChildren("Computing heatmap …");
  try {
    const { map, region } = await mapOf(photo, label);
    if (label !== selectedClass || !frame.isConnected) return;
    if (!map) {
      caption.replaceChildren("No heatmap is available for this model.");
      frame.classList.add("plain");
      return;
    }
    paint(frame, map, region);
    caption.replaceChildren(...legend(map, region));
  } catch (error) {
    if (label === selectedClass) caption.replaceChildren(`No heatmap: ${error.message}`);
  }
}

// The maps of all listed classes are requested together.
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
  canvas.setAttribute("aria-label", `Heatmap of ${map.label}`);
  draw(canvas, map.values, region);
  frame.dataset.shown = map.label;
}

function legend(map, region) {
  const how = map.exact
    ? "Exact: the values add up to the score."
    : `${map.method} at ${map.layer}, an approximation.`;
  return [
    el("span", { class: "key for" }),
    "raises the score, ",
    el("span", { class: "key against" }),
    `lowers it. ${how}`,
    region[2] < 1 ? " Only the area inside the frame is used." : "",
  ];
}

function nearest(row) {
  const near = row.neighbours ?? [];
  if (!near.length) return "";
  const shown = near.some((one) => one.thumbnail_url);
  const items = near.map((one) => {
    const same = one.label === row.label;
    const words = el("small", { title: one.image }, el("bdi", { class: same ? null : "other" }, one.label));
    if (!shown) return el("li", {}, el("small", {}, el("bdi", {}, one.image), " · ", el("bdi", {}, one.label)));
    const image = el("img", { alt: `Training photo of ${one.label}`, loading: "lazy" });
    if (one.thumbnail_url) thumbnail(one.thumbnail_url).then((url) => image.setAttribute("src", url), () => {});
    return el("li", {}, image, words);
  });
  const title = shown ? "Most similar training photos" : "Most similar training photos (not available on this computer)";
  return el("div", {}, el("h3", {}, title), el("ul", { class: shown ? "near" : "near names" }, ...items));
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) target.update?.();
});
function observe(frame, update) {
  frame.update = update;
  sizes.observe(frame);
}
