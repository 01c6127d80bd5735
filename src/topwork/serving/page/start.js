// The page: takes photos by drop, paste or choice, and shows what the model says of them.
import * as api from "./api.js";
import { csv } from "./csv.js";
import * as detail from "./detail.js";
import { byId, count, el, percent } from "./elements.js";
import * as store from "./photos.js";
import * as table from "./table.js";

const narrow = matchMedia("(max-width: 60rem)");

async function start() {
  api.tokenFromAddress();
  byId("server-name").textContent = location.host;
  try {
    init(await api.model());
  } catch (error) {
    if (error.status === 401) signIn(init);
    else showError(`The server does not respond (${error.message}).`, start);
  }
}

// Asks for the token: at the start, and again if a restarted server has another one.
function signIn(go) {
  byId("sign-in").hidden = false;
  byId("token").focus();
  byId("sign-in").onsubmit = async (event) => {
    event.preventDefault();
    api.useToken(byId("token").value.trim());
    try {
      const model = await api.model();
      byId("sign-in").hidden = true;
      byId("wrong-token").textContent = "";
      go(model);
    } catch (error) {
      byId("wrong-token").textContent = error.status === 401 ? "Wrong token." : error.message;
    }
  };
}

function init(model) {
  document.title = `${model.name} · topwork`;
  byId("name").textContent = model.name;
  const accuracy = model.test?.accuracy;
  const right = accuracy
    ? ` Accuracy on ${count(model.test.images, "test photo")}: ${percent(accuracy.value)} (95 % interval ${(100 * accuracy.low).toFixed(1)} to ${percent(accuracy.high)}).`
    : "";
  byId("about").textContent =
    `${count(model.classes.length, "class", "classes")}, strategy ${model.strategy} on ${model.model}.${right}`;
  const { weights, data } = model.licenses;
  const licenses = [weights && `License of the weights: ${weights}.`, data && `License of the training photos: ${data}.`];
  byId("licenses").textContent = [`topwork ${model.topwork}.`, ...licenses].filter(Boolean).join(" ");
  const bearer = api.hasToken() ? ' -H "Authorization: Bearer TOKEN"' : "";
  byId("curl").textContent = `curl -F files=@photo.jpg${bearer} ${location.origin}/predict`;
  classes(model.classes, narrow.matches ? 16 : 40);
  detail.setModel(model);
  store.init(model.limits, changed);
  table.init(open);
  byId("openapi").onclick = async (event) => {
    event.preventDefault(); // a link could not send the token
    location.assign(await api.openapi());
  };
  byId("app").hidden = false;
  listen();
}

function classes(names, most) {
  const items = names.slice(0, most).map((name) => el("li", {}, el("bdi", {}, name)));
  const rest = names.length - items.length;
  const all = el("button", { type: "button", on: { click: () => classes(names, names.length) } }, `and ${rest} more`);
  byId("classes").replaceChildren(...items, ...(rest > 0 ? [el("li", {}, all)] : []));
}

function addFiles(files) {
  if (!files.length) return;
  byId("error-message").hidden = true;
  const before = store.photos.length;
  const ignored = store.add(files);
  byId("note").textContent = ignored ? `${count(ignored, "file")} ${ignored === 1 ? "is not an image and was" : "are not images and were"} ignored.` : "";
  if (store.photos.length === before) return;
  document.body.classList.add("used");
  if (!table.selected || store.photos.length - before === 1) table.choose(store.photos[before], false);
  update();
}

function changed(some) {
  const failed = some.find((photo) => photo.status === "failed");
  if (failed?.failure?.status === 401) signIn(store.retry);
  else if (failed) showError(`Some photos could not be processed: ${reason(failed.failure)}`, store.retry);
  if (some.includes(table.selected)) open(table.selected, false);
  update();
}

const reason = (error) => (error instanceof api.RequestRejected ? error.message : "the server does not respond. Is it still running?");

function update() {
  const several = store.photos.length > 1;
  byId("results").hidden = !store.photos.length;
  byId("results").classList.toggle("several", several);
  byId("many").hidden = !several;
  if (several) table.update();
  const done = store.photos.filter((photo) => photo.status === "done");
  if (done.length === store.photos.length && done.length === 1 && !done[0].row.error)
    byId("announcement").textContent = `${done[0].row.label}, ${percent(done[0].row.probability)}`;
}

// Beside the table where there is room, else in a sheet over it.
function open(photo, asked) {
  const several = store.photos.length > 1;
  if (!several || !narrow.matches) detail.show(byId("one"), photo);
  else if (asked || byId("sheet").open) sheet(photo);
}

function sheet(photo) {
  const place = byId("sheet");
  const body = el("div");
  const close = el("button", { type: "button", on: { click: () => place.close() } }, "Close");
  place.replaceChildren(el("div", { class: "sheet-head" }, el("span", { class: "file" }, photo.name), close), body);
  if (!place.open) place.showModal();
  detail.show(body, photo);
}

function showError(text, act) {
  const button = el("button", { type: "button" }, "Try again");
  button.addEventListener("click", () => {
    byId("error-message").hidden = true;
    act();
  });
  byId("error-message").replaceChildren(el("p", {}, text), el("p", {}, button));
  byId("error-message").hidden = false;
}

function clear() {
  store.clear();
  table.reset();
  byId("one").replaceChildren();
  byId("announcement").textContent = byId("note").textContent = "";
  byId("error-message").hidden = true;
  document.body.classList.remove("used");
  update();
  byId("choose").focus();
}

function downloadCsv() {
  const rows = store.photos.filter((photo) => photo.row).map((photo) => photo.row);
  const url = URL.createObjectURL(new Blob([csv(rows, store.TOP)], { type: "text/csv" }));
  el("a", { href: url, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function listen() {
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", () => {
      addFiles([...byId(input).files]);
      byId(input).value = "";
    });
  }
  byId("csv").addEventListener("click", downloadCsv);
  byId("clear").addEventListener("click", clear);
  addEventListener("paste", (event) => addFiles([...(event.clipboardData?.files ?? [])]));
  let depth = 0;
  const over = (change) => {
    depth = Math.max(0, depth + change);
    byId("drop-overlay").hidden = !depth;
  };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over(-Infinity);
    addFiles(await dropped(event.dataTransfer));
  });
  byId("sheet").addEventListener("click", (event) => {
    if (event.target === byId("sheet")) byId("sheet").close();
  });
  narrow.addEventListener("change", () => table.selected && open(table.selected, false));
}

// The files of a drop, those in folders too, in order of name.
async function dropped(data) {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...data.files];
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) {
    found.push(await new Promise((done, failed) => entry.file(done, failed)));
    return;
  }
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    inside.push(...some);
  }
  for (const one of inside.sort((a, b) => (a.name < b.name ? -1 : 1))) await walk(one, found);
}

start();
