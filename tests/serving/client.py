"""A real server in a process of its own, and requests to it over real sockets."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START = 120  # seconds
CODE = "\nimport sys, json, topwork; topwork.serve(sys.argv[1], port=0, **json.loads(sys.argv[2]))"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    token: str
    errors: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(
        self, path: str, files: Iterable[tuple[str, bytes]], fields: Iterable[tuple[str, str]] = (), **headers: str
    ) -> Answer:
        """Send files as a browser does."""
        body, kind = multipart(files, fields)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, {"Content-Type": kind, **given})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def children(self) -> list[int]:
        """The processes that decode."""
        found: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
                found += map(int, (task / "children").read_text().split())
        return found


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie that its parent has not looked after yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def unread_bytes(pid: int) -> int:
    """Bytes in the pipe to a process's standard input that it has not read."""
    with Path(f"/proc/{pid}/fd/0").open("rb", buffering=0) as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def multipart(
    files: Iterable[tuple[str, bytes]], fields: Iterable[tuple[str, str]] = (), boundary: str = "x-topwork-x"
) -> tuple[bytes, str]:
    """A body and its content type."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    for name, data in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextmanager
def serving(
    run: Path, environment: dict[str, str] | None = None, under: Sequence[str] = (), before: str = "", **options: Any
) -> Iterator[Server]:
    """Start a server with options of ``topwork.serve``; it is killed at the end if it has not ended by then.

    Args:
        run: What is served.
        environment: Further variables.
        under: The words of a program that runs it, such as strace.
        before: Python that is run first, to plant a fault.
        options: Of ``topwork.serve``.
    """
    command = [*under, sys.executable, "-c", before + CODE, str(run), json.dumps(options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(
        command, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}, start_new_session=True,
        **pipes,
    )  # fmt: skip
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    timer = threading.Timer(START, process.kill)
    timer.start()
    try:
        assert process.stdout
        line = process.stdout.readline()
        timer.cancel()
        found = re.fullmatch(r"Serving http://\S+?:(\d+)/(?:#token=(\S+))?\n", line)
        assert found, (line, errors)
        yield Server(process, int(found[1]), found[2] or "", errors)
    finally:
        timer.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        reader.join(timeout=30)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def wait_until(true: Any, seconds: float = 60) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
