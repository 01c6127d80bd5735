// The strip of photos that follows the reader, and what the strategies say about the chosen one.
const isRight = (photo, i) =>
  photo.label !== null && photo.guesses[i]?.length > 0 && photo.guesses[i][0].label === photo.label;
const hasVerdict = (photo, i) => photo.label !== null && photo.guesses[i]?.length > 0;

function verdict(photo, i) {
  const right = isRight(photo, i);
  const text = `${right ? "\u2713" : "\u2717"}\u00a0${D.strategies[i].name}`;
  return el(
    "span",
    { class: right ? "right" : "wrong", title: right ? "right" : "wrong" },
    text,
    el("span", { class: "unseen" }, right ? " right" : " wrong"),
  );
}

function mountPicker() {
  const node = document.getElementById("picker");
  if (!node || D.photos.length < 2) return node?.remove();
  const cards = D.photos.map((photo, i) => {
    const input = el("input", { type: "radio", name: "photo", value: i, on: { change: () => set({ photo: i }) } });
    const marks = D.strategies.map((_, s) => (hasVerdict(photo, s) ? verdict(photo, s) : null));
    const head = photo.label === null ? name(photo.name) : name(className(photo.label));
    const words = el(
      "span",
      { class: "words" },
      el("b", {}, head),
      el("small", {}, name(photo.why)),
      el("small", { class: "marks" }, marks),
    );
    return el(
      "label",
      { class: "card" },
      input,
      el("span", { class: "face" }, el("img", { src: photo.src, alt: "", width: 56, height: 56 }), words),
    );
  });
  node.append(el("fieldset", { class: "photos" }, el("legend", { class: "unseen" }, "Photo"), cards));
  const update = () => {
    const chosen = node.querySelectorAll("input")[state.photo];
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
  watch(["photo"], update);
  update();
}

function guessRow(guess, share, label) {
  const right = label !== null && guess.label === label;
  const value = known(guess.probability) ? pct(guess.probability, 1) : num(guess.score);
  const title = known(guess.probability) ? `score ${num(guess.score)}` : null;
  return el(
    "div",
    { class: "guess" },
    el("span", { class: "class" }, name(className(guess.label)), right ? el("small", {}, " true") : null),
    el(
      "span",
      { class: "level", "aria-hidden": "true" },
      el("i", { style: `left:${100 * share.left}%;width:${100 * share.width}%` }),
    ),
    el("span", { class: "value", title }, value),
  );
}

// Probabilities are bars from 0 to 1; scores are bars from 0 within the range of those shown.
function shares(guesses) {
  if (guesses.every((guess) => known(guess.probability)))
    return guesses.map((guess) => ({ left: 0, width: guess.probability }));
  const low = Math.min(0, ...guesses.map((guess) => guess.score));
  const span = Math.max(0, ...guesses.map((guess) => guess.score)) - low || 1;
  return guesses.map(({ score }) => ({ left: (Math.min(score, 0) - low) / span, width: Math.abs(score) / span }));
}

function guessList(photo, i) {
  const guesses = photo.guesses[i];
  const strategy = D.strategies[i];
  const sure = guesses.every((guess) => known(guess.probability));
  const bars = shares(guesses);
  const unit = sure ? "probability" : strategy.scores;
  const mark = hasVerdict(photo, i)
    ? el("small", { class: isRight(photo, i) ? "right" : "wrong" }, isRight(photo, i) ? "\u2713 right" : "\u2717 wrong")
    : null;
  return el(
    "div",
    { class: "column" },
    title(strategy.name, strategyColour(i), mark),
    el(
      "div",
      { class: "guesses" },
      guesses.map((guess, g) => guessRow(guess, bars[g], photo.label)),
    ),
    el("p", { class: "fine" }, unit, known(strategy.accuracy) ? `; accuracy on test ${pct(strategy.accuracy, 1)}` : ""),
  );
}

function mountPhoto() {
  const node = mount("photo");
  if (!node) return;
  const update = () => {
    const photo = photoOf();
    const words = el(
      "figcaption",
      {},
      photo.label === null ? null : ["True class: ", el("b", {}, name(className(photo.label))), el("br")],
      name(photo.name, { class: "id" }),
      name(photo.why),
    );
    const figure = el(
      "figure",
      {},
      el("img", { src: photo.src, alt: `The photo ${photo.name}`, width: 224, height: 224 }),
      words,
    );
    const lists = D.strategies.map((_, i) => (photo.guesses[i]?.length ? guessList(photo, i) : null));
    const columns = lists.some(Boolean)
      ? el("div", { class: "columns" }, lists)
      : el("p", { class: "aside" }, "This network has no classes: it gives features, not answers.");
    node.replaceChildren(el("div", { class: "photo" }, figure, columns));
  };
  watch(["photo"], update);
  update();
}
