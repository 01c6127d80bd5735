"""Archives that tests write themselves, and a server that gives ranges of files as object stores do."""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def write_shard(path: Path, files: Iterable[tuple[str, bytes]], kind: int = tarfile.USTAR_FORMAT) -> Path:
    """A shard with files of these names and contents, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as shard:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    """A zip archive with files of these names and contents, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path


def samples_of(folder: Path) -> list[tuple[str, bytes]]:
    """The images of a folder of class folders as samples of an image and a .cls, in order of name."""
    files = []
    for image in sorted(folder.rglob("*.png")):
        name = image.relative_to(folder).as_posix()
        files += [(name, image.read_bytes()), (f"{name.removesuffix('.png')}.cls", image.parent.name.encode())]
    return files


class _Ranges(BaseHTTPRequestHandler):
    root: Path
    asked: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, whole: bool) -> None:
        path = self.root / self.path.lstrip("/")
        if not path.is_file():
            return self.send_error(404)
        data = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(found[1]), min(int(found[2] or len(data)), len(data) - 1)) if found else (0, len(data) - 1)
        self.asked.append((self.command, self.headers.get("Range", "")))
        self.send_response(206 if found else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{len(data)}-{hash(data)}"')
        self.send_header("Content-Length", str(end + 1 - start))
        if found:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.end_headers()
        if whole:
            with contextlib.suppress(OSError):  # a client that has seen enough
                self.wfile.write(data[start : end + 1])
        return None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve_ranges(folder: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The address of a folder on a server of this machine, and the requests that it has had."""
    handler = type("Handler", (_Ranges,), {"root": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
