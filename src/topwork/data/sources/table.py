"""A table of images: CSV, TSV or JSON Lines with a path and a label in each row."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from topwork.core.errors import DataError, UsageError
from topwork.data.images import SUFFIXES, file_of
from topwork.data.sources.base import FoundImage, Listing, Reading, boxed

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
# What columns may be called, whatever the case; the first that is there counts.
PATH = ("path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img")
LABEL = ("label", "class", "category", "target", "class_name", "labels")
SPLIT = ("split", "part", "subset", "set", "partition")
BOX = ("box", "bbox")
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
          "test": "test", "testing": "test", "": ""}  # fmt: skip

Row = Mapping[str, Any]


class TableSource:
    """A file with a row per image; paths are relative to its folder.

    Columns: path and label; optionally split, group, weight, and box (left, top, width, height).
    """

    name = "table"
    knows = frozenset({"crop_to_box"})

    def recognises(self, path: Path) -> bool:
        """A file with a suffix of such tables."""
        return path.suffix.lower() in TABLES and path.is_file()

    def list(self, path: Path, reading: Reading) -> Listing:
        """All rows, whether the files are there or not.

        Raises:
            UsageError: There is no such file, or no box column to crop by.
            DataError: It cannot be read, a column is missing, or a row does not fit; the message names its line.
        """
        if not path.is_file():
            raise UsageError(f"{path} does not exist or is no file. Give a table with columns path and label.")
        root = path.absolute().parent
        rows = list(_rows(path))
        if not rows:
            raise DataError(f"{path} has no rows. It needs a header and a row for each image.")
        columns = _Columns(path, rows[0][1], reading)
        images: dict[str, FoundImage] = {}
        ignored: dict[str, str] = {}
        for line, row in rows:
            image = columns.image(line, row, root)
            before = images.setdefault(image.id, image)
            if before.label != image.label:
                raise DataError(
                    f"{path}:{line} names {image.id!r} as {image.label!r}, an earlier row as {before.label!r}. "
                    "Leave one of them."
                )
            if before is not image:
                ignored[f"{path.name}:{line}"] = "the image stands in an earlier row"
        return Listing(root, path.stem, tuple(images.values()), ignored, grouped=columns.grouped)


class _Columns:
    """Which column says what."""

    def __init__(self, table: Path, first: Row, reading: Reading) -> None:
        self._table = table
        names = {str(name).strip().lower(): str(name) for name in first}

        def find(allowed: tuple[str, ...]) -> str | None:
            return next((names[name] for name in allowed if name in names), None)

        self._path, self._label, self._split = find(PATH), find(LABEL), find(SPLIT)
        self._weight, self._box = find(("weight",)), find(BOX) if reading.crop_to_box else None
        asked = names.get(reading.group_by.lower()) if reading.group_by else None
        self._group = asked or find(("group",))
        self.grouped = bool(asked) or (not reading.group_by and bool(self._group))
        for column, what in ((self._path, PATH), (self._label, LABEL)):
            if column is None:
                raise DataError(
                    f"{table} has no column {what[0]!r} (or {', '.join(what[1:5])}), but {', '.join(first)}. "
                    "Rename one."
                )
        if reading.crop_to_box and self._box is None:
            raise UsageError(
                f"{table} has no column 'box' (left, top, width, height) to crop by. Leave --crop-to-box out."
            )

    def image(self, line: int, row: Row, root: Path) -> FoundImage:
        """The image of a row."""
        where = f"{self._table}:{line}"
        path, label = _text(row.get(self._path or "")), _text(row.get(self._label or ""))
        if not path or not label:
            raise DataError(f"{where} has no {'path' if not path else 'label'}. Complete the row or remove it.")
        if "://" in path:
            raise DataError(f"{where}: {path[:80]!r} is an address; only files on this machine are read.")
        split = _SPLITS.get(_text(row.get(self._split)).lower()) if self._split else ""
        if split is None:
            raise DataError(f"{where}: split is {row[self._split or '']!r}; allowed are train, val and test.")
        try:
            weight = float(_text(row.get(self._weight)) or 1) if self._weight else 1.0
            box = _numbers(row.get(self._box)) if self._box else None
            name = _id(path, root)
            name = boxed(name, box) if box else name
        except ValueError as error:
            raise DataError(f"{where} does not fit: {error}. Correct the row.") from error
        if not (math.isfinite(weight) and weight > 0):
            raise DataError(
                f"{where}: weight is {weight:g}; it must be above 0. To leave the image out, remove the row."
            )
        group = _text(row.get(self._group)) if self._group else ""
        return FoundImage(name, root / name, label, split, label, group, weight)


def _rows(table: Path) -> Iterator[tuple[int, Row]]:
    """Line number and content of every row."""
    try:
        with open(table, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if table.suffix.lower() in (".jsonl", ".ndjson"):
                for line, text in enumerate(file, 1):
                    if text.strip():
                        value = json.loads(text)
                        if not isinstance(value, dict):
                            raise ValueError(f"line {line} is no object")
                        yield line, value
                return
            head = file.readline()
            file.seek(0)
            tab = table.suffix.lower() == ".tsv" or ("\t" in head and "," not in head)
            mark = "\t" if tab else ";" if head.count(";") > head.count(",") else ","
            reader = csv.reader(file, delimiter=mark)
            names = next(reader, [])
            if _is_image(names[0] if names else ""):  # no header: path and label, in that order
                yield 1, dict(zip(("path", "label"), names, strict=False))
                names = ["path", "label"]
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, dict(zip(names, cells, strict=False))
    except (OSError, csv.Error, ValueError) as error:
        raise DataError(f"{table} cannot be read: {error}. Give a CSV, TSV or JSON Lines file.") from error


def _is_image(name: str) -> bool:
    return Path(file_of(name.strip())).suffix.lower() in SUFFIXES


def _text(value: Any) -> str:
    """A cell as text; whole numbers of JSON as people write them."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _numbers(value: Any) -> tuple[int, int, int, int] | None:
    """A box from a JSON list or from text such as ``12, 30, 200, 150``; None if the cell is empty."""
    if value is None or value == "":
        return None
    cells = value if isinstance(value, list) else str(value).strip("[]() ").replace(";", ",").split(",")
    if len(cells) != 4:
        raise ValueError(f"box is {value!r}, not left, top, width, height")
    left, top, width, height = (round(float(cell)) for cell in cells)
    return left, top, width, height


def _id(path: str, root: Path) -> str:
    """The path below the table's folder if it lies there, with forward slashes; else as it is."""
    absolute = os.path.normpath(os.path.join(root, path))
    relative = os.path.relpath(absolute, root) if os.path.splitdrive(absolute)[0] == os.path.splitdrive(root)[0] else ""
    inside = relative and not relative.startswith("..")
    return Path(relative if inside else absolute).as_posix()
