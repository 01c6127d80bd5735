// The strip of photos at the top, and the predictions for the selected photo.
const isRight = (image, i) =>
  image.label !== null && image.predictions[i]?.length > 0 && image.predictions[i][0].label === image.label;
const isLabeled = (image, i) => image.label !== null && image.predictions[i]?.length > 0;

function resultMark(image, i) {
  const right = isRight(image, i);
  const text = `${right ? "\u2713" : "\u2717"}\u00a0${data.strategies[i].name}`;
  return el(
    "span",
    { class: right ? "right" : "wrong", title: right ? "right" : "wrong" },
    text,
    el("span", { class: "visually-hidden" }, right ? " right" : " wrong"),
  );
}

function mountPicker() {
  const node = document.getElementById("picker");
  if (!node || data.images.length < 2) return node?.remove();
  const cards = data.images.map((image, i) => {
    const input = el("input", { type: "radio", name: "image", value: i, on: { change: () => setState({ image: i }) } });
    const marks = data.strategies.map((_, s) => (isLabeled(image, s) ? resultMark(image, s) : null));
    const head = image.label === null ? name(image.name) : name(className(image.label));
    const words = el(
      "span",
      { class: "words" },
      el("b", {}, head),
      el("small", {}, name(image.reason)),
      el("small", { class: "marks" }, marks),
    );
    return el(
      "label",
      { class: "card" },
      input,
      el("span", { class: "face" }, el("img", { src: image.src, alt: "", width: 56, height: 56 }), words),
    );
  });
  node.append(el("fieldset", { class: "photos" }, el("legend", { class: "visually-hidden" }, "Photo"), cards));
  const update = () => {
    const chosen = node.querySelectorAll("input")[state.image];
    chosen.checked = true;
    const strip = node.firstChild;
    const card = chosen.parentElement;
    if (
      card.offsetLeft < strip.scrollLeft ||
      card.offsetLeft + card.offsetWidth > strip.scrollLeft + strip.clientWidth
    ) {
      strip.scrollLeft = card.offsetLeft - 16;
    }
  };
  onChange(["image"], update);
  update();
}

function predictionRow(prediction, bar, label) {
  const right = label !== null && prediction.label === label;
  const value = isNumber(prediction.probability) ? pct(prediction.probability, 1) : num(prediction.score);
  const title = isNumber(prediction.probability) ? `score ${num(prediction.score)}` : null;
  return el(
    "div",
    { class: "prediction" },
    el("span", { class: "class" }, name(className(prediction.label)), right ? el("small", {}, " true") : null),
    el(
      "span",
      { class: "level", "aria-hidden": "true" },
      el("i", { style: `left:${100 * bar.left}%;width:${100 * bar.width}%` }),
    ),
    el("span", { class: "value", title }, value),
  );
}

// Probabilities are bars from 0 to 1; scores are bars from 0 within the range shown.
function barsOf(predictions) {
  if (predictions.every((prediction) => isNumber(prediction.probability)))
    return predictions.map((prediction) => ({ left: 0, width: prediction.probability }));
  const low = Math.min(0, ...predictions.map((prediction) => prediction.score));
  const span = Math.max(0, ...predictions.map((prediction) => prediction.score)) - low || 1;
  return predictions.map(({ score }) => ({ left: (Math.min(score, 0) - low) / span, width: Math.abs(score) / span }));
}

function predictionList(image, i) {
  const predictions = image.predictions[i];
  const strategy = data.strategies[i];
  const calibrated = predictions.every((prediction) => isNumber(prediction.probability));
  const bars = barsOf(predictions);
  const unit = calibrated ? "probability" : strategy.score_type;
  const mark = isLabeled(image, i)
    ? el("small", { class: isRight(image, i) ? "right" : "wrong" }, isRight(image, i) ? "\u2713 right" : "\u2717 wrong")
    : null;
  return el(
    "div",
    { class: "column" },
    title(strategy.name, strategyColor(i), mark),
    el(
      "div",
      { class: "predictions" },
      predictions.map((prediction, p) => predictionRow(prediction, bars[p], image.label)),
    ),
    el("p", { class: "fine" }, unit, isNumber(strategy.accuracy) ? `; test accuracy ${pct(strategy.accuracy, 1)}` : ""),
  );
}

function mountImage() {
  const node = mount("image");
  if (!node) return;
  const update = () => {
    const image = currentImage();
    const words = el(
      "figcaption",
      {},
      image.label === null ? null : ["True class: ", el("b", {}, name(className(image.label))), el("br")],
      name(image.name, { class: "id" }),
      name(image.reason),
    );
    const figure = el(
      "figure",
      {},
      el("img", { src: image.src, alt: `The photo ${image.name}`, width: 224, height: 224 }),
      words,
    );
    const lists = data.strategies.map((_, i) => (image.predictions[i]?.length ? predictionList(image, i) : null));
    const columns = lists.some(Boolean)
      ? el("div", { class: "columns" }, lists)
      : el("p", { class: "aside" }, "This network has no classifier; it outputs features only.");
    node.replaceChildren(el("div", { class: "image" }, figure, columns));
  };
  onChange(["image"], update);
  update();
}
