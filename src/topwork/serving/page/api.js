// Requests to the server that this page came from. Its token, if it wants one, stays in this tab.
const KEY = "topwork-token";

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export function useToken(token) {
  sessionStorage.setItem(KEY, token);
}

// The address that a server prints ends with #token=...; what follows # is never sent anywhere.
export function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  useToken(token);
  history.replaceState(null, "", location.pathname);
}

export const hasToken = () => Boolean(sessionStorage.getItem(KEY));

function headers() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Asks; where the server is busy, again when it says so. Throws Refused, or TypeError where nobody answers.
async function ask(path, options = {}) {
  for (;;) {
    const answer = await fetch(path, { ...options, headers: headers(), cache: "default" });
    if (answer.ok) return answer;
    const again = Number(answer.headers.get("Retry-After"));
    if (answer.status === 503 && again) {
      await pause(again);
      continue;
    }
    const said = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, said.error ?? `The server answered ${answer.status}.`);
  }
}

export const model = async () => (await ask("model")).json();

export async function predict(files, { top, neighbours, signal }) {
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  const answer = await ask(`predict?top=${top}&neighbours=${neighbours}`, { method: "POST", body, signal });
  return (await answer.json()).predictions;
}

export async function explain(file, labels) {
  const body = new FormData();
  for (const label of labels) body.append("class", label);
  body.append("files", file, file.name);
  return (await ask("explain", { method: "POST", body })).json();
}

// Small pictures of training images, each fetched once: an <img> could not bring the token.
const pictures = new Map();
export function picture(path) {
  if (!pictures.has(path)) {
    const made = ask(path.replace(/^\//, "")).then(async (answer) => URL.createObjectURL(await answer.blob()));
    pictures.set(path, made);
    made.catch(() => pictures.delete(path));
  }
  return pictures.get(path);
}
