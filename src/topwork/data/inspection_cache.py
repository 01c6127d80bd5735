"""What was found out about the images of one data folder, on disk: a second look decodes and reads nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import PIL

from topwork.core import storage
from topwork.core.errors import CorruptFile, StorageError
from topwork.data.fingerprints import VERSION
from topwork.data.inspection import Inspection
from topwork.data.locations import Stamp
from topwork.data.remote import is_address

_FORMAT = 2


def memory_file(cache: Path, root: Path, reading: str) -> Path:
    """Where what was found in a data folder is kept.

    Args:
        cache: Folder of all such files.
        root: The data folder.
        reading: What was read from it, and how.
    """
    return cache / f"{_prefix(root)}{_short(reading)}.json"


def forget(cache: Path, root: Path) -> None:
    """Remove what was found in a data folder that is there no more."""
    for path in cache.glob(f"{_prefix(root)}*.json"):
        path.unlink(missing_ok=True)


def _prefix(root: Path) -> str:
    return f"images-{_short(str(root if is_address(str(root)) else root.resolve()))}-"


def _short(text: str) -> str:
    return storage.sha256_bytes(text.encode("utf-8", "surrogateescape"))[:16]


@dataclass
class Memory:
    """Verdicts by content and suffix, contents by file stamp, near pairs of contents: one JSON file per data folder.

    Losing it costs time only, so whatever is wrong with the file, it is simply made anew.

    Attributes:
        path: Of the file.
        verdicts: By content and suffix.
        contents: Image id to the stamp of its file, empty where it may not be trusted, and its content.
        pairs: A hash of all contents, and the near pairs that were found among them.
    """

    path: Path
    verdicts: dict[str, Inspection] = field(default_factory=dict)
    contents: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    pairs: tuple[str, list[tuple[str, str]]] = ("", [])

    @property
    def key(self) -> list[Any]:
        """What else decides verdicts."""
        return [_FORMAT, VERSION, PIL.__version__]

    def load(self) -> None:
        """Read the file, if it is whole and of this key."""
        with suppress(OSError, CorruptFile, AttributeError, KeyError, TypeError, ValueError):
            value = storage.read_json(self.path)
            if value["key"] == self.key:
                verdicts = {name: Inspection(*entry) for name, entry in value["verdicts"].items()}
                contents = {
                    name: ([int(n) for n in stamp], str(sha)) for name, (stamp, sha) in value["contents"].items()
                }
                pairs = (str(value["pairs"][0]), [(str(a), str(b)) for a, b in value["pairs"][1]])
                self.verdicts, self.contents, self.pairs = verdicts, contents, pairs

    def save(self) -> None:
        """Write the file; a cache that cannot be written costs time only."""
        value = {
            "key": self.key,
            "verdicts": {name: astuple(verdict) for name, verdict in sorted(self.verdicts.items())},
            "contents": dict(sorted(self.contents.items())),
            "pairs": self.pairs,
        }
        with suppress(StorageError):
            storage.write_text(self.path, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
