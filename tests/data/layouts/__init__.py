"""Data sets as people publish them, drawn by code with their names, quirks and folders, each with its right reading.

A file per theme; each layout is a short function that names its data set. ``LAYOUTS`` has them all by name.
"""

from __future__ import annotations

import csv
import importlib
import io
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

Rows = dict[str, tuple[str, str]]
"""Path below the root of the layout, to label and split (empty if the data name none)."""
Content = bytes | str | Callable[[], bytes] | None
"""Of a file; None draws an image."""

THEMES = (
    "folders", "nested_folders", "strange_folders", "tables", "tables_as_written", "lists", "annotations", "file_names",
    "archives", "refusals", "medical", "more_medical", "nature", "people_and_signs", "scenes_and_things",
    "own_photographs", "more_tables", "pairs_and_samples", "annotation_tables",
    "samples_and_masks", "archives_of_science",
)  # fmt: skip


@dataclass(frozen=True)
class Read:
    """The images of a layout as they must be listed.

    Attributes:
        rows: Of all images that have a label.
        counts: Instead of rows, for images that are no files: label and split to number.
        names: Labels to what else they may be called, if a file of the data set names them.
        ignored: What must be named among the ignored files, the reasons or the remarks.
    """

    rows: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A layout that must not be read without more settings, or at all.

    Attributes:
        must_say: Words and paths in the message, in any case.
        reading_after: One of them is what a printed command lists; empty: there is no such command.
    """

    must_say: tuple[str, ...]
    reading_after: tuple[Read, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A data set.

    Attributes:
        files: Path below a root to content.
        right: The reading, or several of which each is right.
        data: What a user passes to topwork, below the root.
        options: Settings of the data that the user adds.
        needs: A package without which it cannot be drawn or read.
        name: That of its function.
    """

    files: Mapping[str, Content]
    right: Read | Refused | tuple[Read | Refused, ...]
    data: str = "."
    options: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    name: str = ""

    @property
    def allowed(self) -> tuple[Read | Refused, ...]:
        return self.right if isinstance(self.right, tuple) else (self.right,)

    @property
    def readings(self) -> list[Read]:
        """All readings that are right, at once or after a question."""
        return [r for right in self.allowed for r in (right.reading_after if isinstance(right, Refused) else [right])]

    def draw(self, root: Path) -> Path:
        """Write all files below the root; the path of the data."""
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(name, content))
        return root / self.data


LAYOUTS: dict[str, Layout] = {}


def layout(function: Callable[[], Layout]) -> Callable[[], Layout]:
    """Register the layout that a function describes, under its name."""
    LAYOUTS[function.__name__] = replace(function(), name=function.__name__)
    return function


def asks(right: Read, *must_say: str) -> tuple[Read | Refused, ...]:
    """This reading, or a question with the command for it."""
    return right, Refused(must_say, (right,))


def encode(name: str, content: Content = None) -> bytes:
    """The bytes of a file; an image in the format of its name, unlike that of every other name."""
    if callable(content):
        return content()
    if content is None:
        return _image(zlib.crc32(name.encode()), name.rpartition(".")[2].lower())
    return content.encode() if isinstance(content, str) else content


@cache
def _image(seed: int, suffix: str) -> bytes:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    kind = {"png": "PNG", "tif": "TIFF", "tiff": "TIFF", "ppm": "PPM", "bmp": "BMP"}.get(suffix, "JPEG")
    image.save(buffer, kind)
    return buffer.getvalue()


def classes(at: str, labels: Iterable[str], split: str = "", name: str = "{n:04}.jpg", each: int = 3) -> Rows:
    """Images in class folders; ``name`` is made of the number {n} and the label {label}."""
    return {
        f"{at}/{label}/{name.format(n=n, label=label)}".lstrip("/"): (label, split)
        for label in labels
        for n in range(1, each + 1)
    }


def loose(at: str, names: Iterable[str]) -> dict[str, None]:
    """Images without a label."""
    return {f"{at}/{name}".lstrip("/"): None for name in names}


def blank(paths: Iterable[str]) -> dict[str, Content]:
    """Image files at these paths."""
    return dict.fromkeys(paths)


def table(
    header: Sequence[str] | None, rows: Iterable[Sequence[object]], sep: str = ",", encoding: str = "utf-8"
) -> bytes:
    """The bytes of a CSV file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=sep, lineterminator="\n")
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode(encoding)


def lines(rows: Iterable[Sequence[object] | str], sep: str = " ") -> str:
    """The text of a list, a line per row."""
    return "".join((row if isinstance(row, str) else sep.join(map(str, row))) + "\n" for row in rows)


for theme in THEMES:
    importlib.import_module(f"{__name__}.{theme}")
