// The chosen photos in order, with their predictions. They are sent a few at a time.
import { predict, RequestRejected } from "./api.js";

export const TOP = 5;
export const NEIGHBOURS = 5;
const PHOTOS_PER_REQUEST = 8; // maximum
const PARALLEL_REQUESTS = 2; // maximum
const BYTES_PER_REQUEST = 24 * 2 ** 20; // maximum for several photos
const SUFFIXES = /\.(jpe?g|jpe|jfif|png|apng|webp|bmp|dib|gif|tiff?|p[pgbn]m|pfm|mpo|avif|hei[cf]|hif|dcm|dicom)$/i;

export const photos = [];
let limits = { max_body_bytes: 64 * 2 ** 20 };
let running = 0;
let aborted = new AbortController();
let changed = () => {};

export function init(bounds, onChange) {
  limits = bounds;
  changed = onChange;
}

// Adds files; returns the number that are not images and were ignored.
export function add(files) {
  const images = files.filter((file) => file.type.startsWith("image/") || SUFFIXES.test(file.name));
  for (const file of images) {
    const name = file.webkitRelativePath || file.name || "pasted photo";
    photos.push({ file, name, url: URL.createObjectURL(file), status: "waiting", row: null, maps: new Map() });
  }
  run();
  return files.length - images.length;
}

export function clear() {
  aborted.abort();
  aborted = new AbortController();
  for (const photo of photos) URL.revokeObjectURL(photo.url);
  photos.length = 0;
}

export function retry() {
  for (const photo of photos) if (photo.status === "failed") photo.status = "waiting";
  run();
}

export function statusOf(photo) {
  if (photo.status !== "done") return photo.status === "failed" ? "failed" : "waiting";
  if (photo.row.error) return "bad";
  if (photo.row.out_of_distribution) return "unlike";
  return photo.row.abstain ? "unsure" : "fine";
}

function next() {
  const chosen = [];
  let size = 0;
  for (const photo of photos) {
    if (photo.status !== "waiting") continue;
    size += photo.file.size;
    if (chosen.length && (chosen.length === PHOTOS_PER_REQUEST || size > Math.min(BYTES_PER_REQUEST, limits.max_body_bytes / 2))) break;
    chosen.push(photo);
  }
  return chosen;
}

function run() {
  while (running < PARALLEL_REQUESTS) {
    const chosen = next();
    if (!chosen.length) return;
    running += 1;
    for (const photo of chosen) photo.status = "sent";
    send(chosen, aborted.signal).finally(() => {
      running -= 1;
      changed(chosen);
      run();
    });
  }
}

async function send(chosen, signal) {
  try {
    const files = chosen.map((photo) => photo.file);
    const rows = await predict(files, { top: TOP, neighbours: NEIGHBOURS, signal });
    for (const [i, photo] of chosen.entries()) answered(photo, { ...rows[i], image: photo.name });
  } catch (error) {
    if (signal.aborted) return;
    const permanent = error instanceof RequestRejected && (error.status === 413 || error.status === 400);
    for (const photo of chosen) {
      if (permanent && chosen.length === 1) answered(photo, refused(photo, error.message));
      else photo.status = "failed";
      photo.failure = error;
    }
  }
}

function answered(photo, row) {
  photo.row = row;
  photo.status = "done";
}

function refused(photo, error) {
  const nothing = { label: null, probability: null, abstain: null, out_of_distribution: null, distance: null };
  return { image: photo.name, ...nothing, error, top: [] };
}
