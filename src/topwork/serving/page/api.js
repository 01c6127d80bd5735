// Requests to the server that this page came from. The token, if required, stays in this tab.
const KEY = "topwork-token";

export class RequestRejected extends Error {
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

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Sends a request, again while the server is busy. Throws RequestRejected, or TypeError if there is no response.
async function request(path, options = {}) {
  for (;;) {
    const answer = await fetch(path, { ...options, headers: headers(), cache: "default" });
    if (answer.ok) return answer;
    const retryAfter = Number(answer.headers.get("Retry-After"));
    if (answer.status === 503 && retryAfter) {
      await sleep(retryAfter);
      continue;
    }
    const said = await answer.json().catch(() => ({}));
    throw new RequestRejected(answer.status, said.error ?? `The server answered ${answer.status}.`);
  }
}

export const openapi = async () => URL.createObjectURL(await (await request("openapi.json")).blob());

export const model = async () => (await request("model")).json();

export async function predict(files, { top, neighbours, signal }) {
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  const answer = await request(`predict?top=${top}&neighbours=${neighbours}`, { method: "POST", body, signal });
  return (await answer.json()).predictions;
}

export async function explain(file, labels) {
  const body = new FormData();
  for (const label of labels) body.append("class", label);
  body.append("files", file, file.name);
  return (await request("explain", { method: "POST", body })).json();
}

// Thumbnails of training images, each fetched once; an <img> could not send the token.
const thumbnails = new Map();
export function thumbnail(path) {
  if (!thumbnails.has(path)) {
    const made = request(path.replace(/^\//, "")).then(async (answer) => URL.createObjectURL(await answer.blob()));
    thumbnails.set(path, made);
    made.catch(() => thumbnails.delete(path));
  }
  return thumbnails.get(path);
}
