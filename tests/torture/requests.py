"""Hostile requests to a real server: each gets an answer, none breaks it, none opens a file or a connection.

With strace, every connection and every file that the server and its decoders open are checked: after the start, only
packages of Python, the system's own files and training images may be among them.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import topwork
from tests.data import zoo
from tests.serving.client import Server, multipart, serving
from tests.torture.calls import Tally
from tests.torture.mutants import mutate
from tests.torture.trainings import QUICK

THREADS = 4
GROWTH = 100 << 20  # bytes that the processes may grow by from the first quarter on
WORDS = [
    "../../etc/passwd", "/etc/shadow", "CANARY", "file:///CANARY", "http://127.0.0.2:1/x", "a\0b", "x" * 5000,
    "\xe9\udcff", "",
]  # fmt: skip
PATHS = [
    "/predict", "/predict", "/predict", "/explain", "/explain", "/model", "/training/0", "/metrics", "/", "/page.css",
    "/openapi.json", "/healthz",
]  # fmt: skip
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]
TRACED = "connect,open,openat,openat2,creat,execve,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"


FAULT = """
from topwork.serving import service
whole = service.Service.pixels
async def pixels(self, upload):
    try:
        open(upload.name).close()
    except (OSError, ValueError):
        pass
    return await whole(self, upload)
service.Service.pixels = pixels
"""


def torment(photos: Path, folder: Path, count: int, seed: int = 0, watched: bool = False, fault: bool = False) -> Tally:
    """Send ``count`` requests; see the module. ``fault``: the server opens what a request names, as a planted error."""
    sets = ("mlp.epochs=2", *QUICK)
    run = topwork.train(
        str(photos), "mlp", out=folder / f"served-{seed}-{watched}-{fault}", img_size=32, sets=sets, quiet=True
    )
    canary, log = folder / "CANARY", folder / f"trace-{seed}"
    canary.write_text("nobody reads this")
    strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={TRACED}", "-o", str(log)] if watched else []
    images = [data for name, data, what in zoo.files() if what is not zoo.ASIDE and not name.startswith("huge")]
    tally = Tally(tried=count)
    limits = {"idle_timeout": 5.0, "max_body_bytes": 4 << 20}
    environment = {
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }  # in vain
    with serving(
        run.path, environment, under=strace, before=FAULT if fault else "", engine="torch", quiet=True, limits=limits
    ) as server:
        good = next(photos.rglob("*.png")).read_bytes()
        expected = server.post("/predict", [("x", good)]).body
        begun = len(log.read_text("utf-8", "replace").splitlines()) if watched else 0
        memory: list[int] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for quarter in range(4):
                numbers = range(quarter * count // 4, (quarter + 1) * count // 4)
                for number, problem in zip(
                    numbers, pool.map(partial(_one, server, images, str(canary), seed), numbers), strict=True
                ):
                    tally.hit += problem is not None
                    if problem:
                        tally.wrong.append(f"request {number}: {problem}")
                memory.append(sum(map(_resident, [server.process.pid, *server.children()])))
        if server.post("/predict", [("x", good)]).body != expected:
            tally.wrong.append("the last answer is not the first")
        print(f"       memory after each quarter: {', '.join(f'{size >> 20} MiB' for size in memory)}", flush=True)
        if memory[-1] - memory[0] > GROWTH:
            tally.wrong.append(f"memory grew from {memory[0]:,} to {memory[-1]:,} bytes")
        if server.process.poll() is not None:
            tally.wrong.append("the server has ended")
        if watched:
            lines = log.read_text("utf-8", "replace").splitlines()[begun:]
            tally.wrong += _opened(lines, photos)
            print(f"       {len(lines):,} opened files and connections were checked", flush=True)
    tally.wrong += [line for line in server.errors if "Traceback" in line]
    return tally


def _one(server: Server, images: list[bytes], canary: str, seed: int, number: int) -> str | None:
    """One request: empty if all is well, None if it needed no answer, or what was wrong."""
    rng = random.Random(f"{seed} {number}")
    word = rng.choice(WORDS).replace("CANARY", canary)
    try:
        if rng.random() < 0.15:
            return _raw(server, rng)
        if rng.random() < 0.6:
            files = []
            for _ in range(rng.choice((1, 1, 1, 2, 9))):
                data = rng.choice(images)
                files.append((_printable(word), mutate(data, rng) if rng.random() < 0.6 else data))
            fields = [("class", rng.choice(["class0", _printable(word)]))] if rng.random() < 0.5 else []
            body, kind = multipart(files, fields)
            body = mutate(body, rng) if rng.random() < 0.3 else body
        else:
            body, kind = (
                rng.randbytes(rng.randrange(300)),
                rng.choice(["multipart/form-data; boundary=x", "text/plain", ""]),
            )
        path = rng.choice(PATHS) if rng.random() < 0.85 else f"/{_quoted(word)}"
        query = f"?top={rng.choice(['0', '-1', '5', _quoted(word)])}&neighbours={rng.randrange(60)}"
        headers = {"Content-Type": kind, "Accept": rng.choice(["*/*", "image/png", "text/html"])}
        if rng.random() < 0.2:
            headers[rng.choice(["Origin", "Authorization", "X-Forwarded-For", "Range"])] = _printable(word)
        answer = server.ask("POST" if rng.random() < 0.7 else rng.choice(METHODS), path + query, body, headers)
    except TimeoutError:
        return "no answer within 60 s"
    except (ConnectionError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return f"status {answer.status}" if answer.status >= 500 and answer.status != 503 else ""


def _raw(server: Server, rng: random.Random) -> str | None:
    """Bytes that are no complete request, and a client that leaves."""
    body, kind = multipart([("a", rng.randbytes(3000))])
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    data = mutate(head.encode() + body, rng)[: rng.randrange(1, 3500)]
    with server.connect() as line, contextlib.suppress(ConnectionError):
        line.sendall(data)
        if rng.random() < 0.5:
            return None
        line.shutdown(socket.SHUT_WR)
        answer = line.recv(65536)
        return "status 500" if answer.startswith(b"HTTP/1.1 500") else ""
    return None


def _printable(word: str) -> str:
    return "".join(letter for letter in word if " " <= letter < "\x7f")


def _quoted(word: str) -> str:
    return "".join(f"%{byte:02x}" for byte in word.encode("utf-8", "surrogateescape")[:200])


def _resident(process: int) -> int:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
    return 0


def _opened(lines: list[str], photos: Path) -> list[str]:
    """What was opened or reached that should not be."""
    system = (
        "/proc/",
        "/sys/",
        "/dev/null",
        "/dev/urandom",
        "/usr/lib",
        "/lib",
        "/etc/ld.so",
        "/etc/localtime",
        "/usr/share/zoneinfo",
    )
    allowed = (
        *system,
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_paths()["stdlib"],
        str(Path(topwork.__file__).parent),
        str(photos),
    )
    problems = []
    for line in lines:
        if "connect(" in line and "AF_UNIX" not in line:
            problems.append(line)
        found = re.search(r'"((?:[^"\\]|\\.)*)"', line)
        if found and "connect(" not in line and not found[1].startswith(allowed):
            problems.append(line)
    return problems
