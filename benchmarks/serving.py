"""Requests per second and their times, of ``topwork serve`` against inference one by one: python benchmarks/serving.py.

Args: ``[RUN]`` (an svm on made-up images is trained if there is none), ``--photos FOLDER``, ``--clients 16``,
``--rounds 5``, ``--seconds 4``. Clients, one keep-alive connection each, run on the same cores as the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

import topwork
from checking import made_up

OURS = "import sys, topwork; topwork.serve(sys.argv[1], port=int(sys.argv[2]), quiet=True)"
SINGLE = (  # the same server and engine, but every pass has one image
    "import os, sys, topwork\nfrom topwork.serving import SLEEPING_THREADS\nos.environ.update(SLEEPING_THREADS)\n"
    "from topwork.serving import inference_thread\ninference_thread.candidate_batch_sizes = lambda model: (1,)\n"
    "topwork.serve(sys.argv[1], port=int(sys.argv[2]), quiet=True)"
)
BASELINE = """
import io, sys, threading
import numpy as np, torch, uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image, ImageOps
from topwork.bundle.network import load_network
from topwork.inference.locate import locate_bundle

network, bundle = load_network(locate_bundle(sys.argv[1]).bundle)
spec, app, one = bundle.input_spec, FastAPI(), threading.Lock()
mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))

@app.post("/predict")
def predict(files: UploadFile):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(files.file.read()))).convert("RGB")
    image = image.resize((spec.size, spec.size), Image.Resampling.BICUBIC)
    x = (torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - mean) / std
    with one, torch.inference_mode():
        scores = network(x[None])[0]
    best = int(scores.argmax())
    return {"label": bundle.classes[best], "score": float(scores[best])}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""
OWN = "topwork serve"
SERVERS = {OWN: OURS, "the same, one image a pass": SINGLE, "the usual: eager float32, one by one": BASELINE}


@contextlib.contextmanager
def running(code: str, run: str) -> Iterator[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", code, run, str(port)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if line.recv(20).startswith(b"HTTP/1.1 "):
                    break
            time.sleep(0.2)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def core_seconds(process: int) -> float:
    """That a process and those that decode for it have used (Linux)."""
    total = 0.0
    for place in (place for place in Path("/proc").iterdir() if place.name.isdecimal()):
        with contextlib.suppress(OSError):
            words = (place / "stat").read_text().rpartition(")")[2].split()
            if place.name == str(process) or words[1] == str(process):
                total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def request(photo: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = head + photo + b"\r\n--x--\r\n"
    start = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return start.encode() + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + body


async def client(port: int, requests: Iterator[bytes], end: float, taken: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (start := time.monotonic()) < end:
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        taken.append(time.monotonic() - start)
    writer.close()


def load(port: int, photos: list[bytes], clients: int, seconds: float) -> tuple[float, np.ndarray]:
    """Requests per second, and the seconds of each."""

    async def all_clients() -> list[float]:
        requests, end, taken = cycle([request(photo) for photo in photos]), time.monotonic() + seconds, []
        await asyncio.gather(*(client(port, requests, end, taken) for _ in range(clients)))
        return taken

    start = time.monotonic()
    taken = asyncio.run(all_clients())
    return len(taken) / (time.monotonic() - start), np.array(taken)


def jpegs(folder: Path, number: int = 200) -> None:
    for i in range(number):
        place = folder / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        made_up(i % 50).rotate(i // 50).save(place / f"{i}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ.setdefault("TOPWORK_CACHE", f"{place}/cache")
        folder = args.photos or Path(place) / "photos"
        if not args.photos:
            jpegs(folder)
        run = args.run or str(topwork.train(str(folder), "svm", out=Path(place) / "run", quiet=True).path)
        photos = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:200]]
        size = sum(map(len, photos)) / len(photos) / 1000
        print(f"{len(photos)} images of {size:.0f} kB; {args.seconds:g} s each", flush=True)
        with contextlib.ExitStack() as stack:
            servers = {name: stack.enter_context(running(code, run)) for name, code in SERVERS.items()}
            for clients in (args.clients, 1):
                compare(servers, photos, clients, args.rounds, args.seconds)


def compare(
    servers: dict[str, tuple[int, int]], photos: list[bytes], clients: int, rounds: int, seconds: float
) -> None:
    """All servers in turn, so that other work meets all of them; the median of the rounds is printed."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for round in range(rounds + 1):
        for name, (port, process) in servers.items():
            before = core_seconds(process)
            rate, taken = load(port, photos, clients, seconds if round else 2)
            cost = 1000 * (core_seconds(process) - before) / len(taken)
            if round:  # the one before warms up
                found[name].append((rate, *1000 * np.quantile(taken, [0.5, 0.99]), cost))
    middle = {name: np.median(rows, axis=0) for name, rows in found.items()}
    ratios = {
        name: np.median([a[0] / b[0] for a, b in zip(found[OWN], rows, strict=True)]) for name, rows in found.items()
    }
    for name, (rate, p50, p99, cost) in middle.items():
        print(
            f"{name}, {clients} clients: {rate:.1f} per second, p50 {p50:.0f} ms, p99 {p99:.0f} ms, {cost:.1f} core-ms "
            f"per request; {OWN}: {ratios[name]:.2f} times as many, for {middle[OWN][3] / cost:.2f} of the core time",
            flush=True,
        )


if __name__ == "__main__":
    main()
