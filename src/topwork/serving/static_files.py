"""The static files of the page at ``/``, read once when the server starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}  # fmt: skip


@dataclass(frozen=True)
class StaticFile:
    """Content and media type of a file."""

    data: bytes
    type: str


def read_static_files() -> dict[str, StaticFile]:
    """The files by URL path."""
    found = {f"/{path.name}": StaticFile(path.read_bytes(), _TYPES[path.suffix]) for path in sorted(FOLDER.iterdir())}
    return {"/": found.pop("/index.html"), **found}
