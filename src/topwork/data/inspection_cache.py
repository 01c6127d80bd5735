"""The inspections of the images of one data set, on disk: a second inspection decodes and reads nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import PIL

from topwork.core import storage
from topwork.core.errors import CorruptFile, StorageError
from topwork.core.image_ref import is_url
from topwork.data.fingerprints import VERSION
from topwork.data.inspection import Inspection
from topwork.data.locations import Stamp

_FORMAT = 3


def cache_file(cache: Path, root: Path, source: str) -> Path:
    """The cache file of a data set.

    Args:
        cache: Folder of all such files.
        root: The data folder.
        source: The data argument and the options of the source.
    """
    return cache / f"{_prefix(root)}{_short(source)}.json"


def clear(cache: Path, root: Path) -> None:
    """Remove the inspections of a data folder that does not exist any more."""
    for path in cache.glob(f"{_prefix(root)}*.json"):
        path.unlink(missing_ok=True)


def _prefix(root: Path) -> str:
    return f"images-{_short(str(root if is_url(str(root)) else root.resolve()))}-"


def _short(text: str) -> str:
    return storage.sha256_bytes(text.encode("utf-8", "surrogateescape"))[:16]


@dataclass
class InspectionCache:
    """One JSON file per data set. Losing it costs time only: if anything is wrong with it, it is made again.

    Attributes:
        path: Of the file.
        inspections: By content and suffix.
        contents: Image id to the stamp of its file, empty where it cannot be trusted, and its content.
        pairs: A hash of all contents, and the near duplicates among them.
    """

    path: Path
    inspections: dict[str, Inspection] = field(default_factory=dict)
    contents: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    pairs: tuple[str, list[tuple[str, str]]] = ("", [])

    @property
    def key(self) -> list[Any]:
        """What else determines inspections."""
        return [_FORMAT, VERSION, PIL.__version__]

    def load(self) -> None:
        """Read the file, if it is intact and of this key."""
        with suppress(OSError, CorruptFile, AttributeError, KeyError, TypeError, ValueError):
            value = storage.read_json(self.path)
            if value["key"] == self.key:
                inspections = {name: Inspection(*entry) for name, entry in value["inspections"].items()}
                contents = {
                    name: ([int(n) for n in stamp], str(sha)) for name, (stamp, sha) in value["contents"].items()
                }
                pairs = (str(value["pairs"][0]), [(str(a), str(b)) for a, b in value["pairs"][1]])
                self.inspections, self.contents, self.pairs = inspections, contents, pairs

    def save(self) -> None:
        """Write the file; a cache that cannot be written costs time only."""
        value = {
            "key": self.key,
            "inspections": {name: astuple(inspection) for name, inspection in sorted(self.inspections.items())},
            "contents": dict(sorted(self.contents.items())),
            "pairs": self.pairs,
        }
        with suppress(StorageError):
            storage.write_text(self.path, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
