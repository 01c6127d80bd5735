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
from topwork.core.image_ref import Box, ImageRef, box_suffix, is_url
from topwork.data.images import SUFFIXES
from topwork.data.sources.base import SPLIT_NAMES, ImageListing, ListedImage, SourceOptions

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
# What columns may be called, in any case; the first that exists counts.
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "labels")
SPLIT_COLUMNS = ("split", "part", "subset", "set", "partition")
BOX_COLUMNS = ("box", "bbox")

Row = Mapping[str, Any]


class TableSource:
    """A file with a row per image; paths are relative to its folder.

    Columns: path and label; optionally split, group, weight, and box (left, top, width, height).
    """

    name = "table"
    supported_options = frozenset({"crop_to_box"})

    def matches(self, data: str) -> bool:
        """A file with the suffix of a table."""
        return data.lower().endswith(TABLES) and os.path.isfile(data)

    def list(self, data: str, options: SourceOptions) -> ImageListing:
        """All rows, whether the files exist or not.

        Raises:
            UsageError: There is no such file, or no box column to crop by.
            DataError: It cannot be read, a column is missing, or a row is not valid; the message names its line.
        """
        path = Path(data)
        if not path.is_file():
            raise UsageError(f"{path} does not exist or is not a file. Pass a table with columns path and label.")
        root = path.absolute().parent
        rows = list(_rows(path))
        if not rows:
            raise DataError(f"{path} has no rows. It needs a header and a row per image.")
        columns = _Columns(path, rows[0][1], options)
        images: dict[str, ListedImage] = {}
        ignored: dict[str, str] = {}
        for line, row in rows:
            image = columns.image(line, row, root)
            before = images.setdefault(image.id, image)
            if before.label != image.label:
                raise DataError(
                    f"{path}:{line} names {image.id!r} as {image.label!r}, an earlier row as {before.label!r}. "
                    "Remove one of them."
                )
            if before is not image:
                ignored[f"{path.name}:{line}"] = "the image is in an earlier row"
        return ImageListing(root, path.stem, tuple(images.values()), ignored, has_groups=columns.has_groups)


def images_in_table(path: str) -> Iterator[ImageRef]:
    """The images in the path column of a table, else in its first column; relative to the table's folder.

    Raises:
        DataError: It cannot be read, or has no rows.
    """
    column = None
    for _, row in _rows(Path(path)):
        column = column or _column(row, ("image", *PATH_COLUMNS, "name")) or next(iter(row), "")
        name = _text(row.get(column))
        if name:
            yield ImageRef.parse(name if is_url(name) else os.path.join(os.path.dirname(path), name))
    if column is None:
        raise DataError(f"{path} has no rows. It needs a header with a column `path`, and a row per image.")


def _column(row: Row, allowed: tuple[str, ...]) -> str | None:
    names = {str(name).strip().lower(): str(name) for name in row}
    return next((names[name] for name in allowed if name in names), None)


class _Columns:
    """Which column holds what."""

    def __init__(self, table: Path, first: Row, options: SourceOptions) -> None:
        self._table = table
        self._path, self._label = _column(first, PATH_COLUMNS), _column(first, LABEL_COLUMNS)
        self._split, self._weight = _column(first, SPLIT_COLUMNS), _column(first, ("weight",))
        self._box = _column(first, BOX_COLUMNS) if options.crop_to_box else None
        requested = _column(first, (options.group_by.lower(),)) if options.group_by else None
        self._group = requested or _column(first, ("group",))
        self.has_groups = bool(requested) or (not options.group_by and bool(self._group))
        for column, names in ((self._path, PATH_COLUMNS), (self._label, LABEL_COLUMNS)):
            if column is None:
                raise DataError(
                    f"{table} has no column {names[0]!r} (or {', '.join(names[1:5])}), but {', '.join(first)}. "
                    "Rename one."
                )
        if options.crop_to_box and self._box is None:
            raise UsageError(f"{table} has no column 'box' (left, top, width, height). Omit --crop-to-box.")

    def image(self, line: int, row: Row, root: Path) -> ListedImage:
        """The image of a row."""
        where = f"{self._table}:{line}"
        path, label = _text(row.get(self._path or "")), _text(row.get(self._label or ""))
        if not path or not label:
            raise DataError(f"{where} has no {'path' if not path else 'label'}. Complete the row or remove it.")
        if "://" in path:
            raise DataError(f"{where}: {path[:80]!r} is a URL; only local files are read.")
        split = _text(row.get(self._split)).lower() if self._split else ""
        if split and split not in SPLIT_NAMES:
            raise DataError(f"{where}: split is {row[self._split or '']!r}; allowed are train, val and test.")
        try:
            weight = float(_text(row.get(self._weight)) or 1) if self._weight else 1.0
            box = _box(row.get(self._box)) if self._box else None
            name = _id(path, root)
            image_id = name + box_suffix(box)
            ref = _ref(root, name, box)
        except ValueError as error:
            raise DataError(f"{where} is not valid: {error}. Correct the row.") from error
        if not (math.isfinite(weight) and weight > 0):
            raise DataError(f"{where}: weight is {weight:g}; it must be above 0. To exclude the image, remove the row.")
        group = _text(row.get(self._group)) if self._group else ""
        return ListedImage(image_id, ref, label, SPLIT_NAMES.get(split, ""), label, group, weight)


def _ref(root: Path, name: str, box: Box | None) -> ImageRef:
    """A row may name a file, a member of a shard, or a box in either."""
    if ".tar/" in name.lower() or (box is None and "#xywh=" in name):
        found = ImageRef.parse(root / name)
        return ImageRef(found.store, found.name, box or found.box)
    return ImageRef(str(root), name, box)


def _rows(table: Path) -> Iterator[tuple[int, Row]]:
    """Line number and content of every row."""
    try:
        with open(table, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if table.suffix.lower() in (".jsonl", ".ndjson"):
                for line, text in enumerate(file, 1):
                    if text.strip():
                        value = json.loads(text)
                        if not isinstance(value, dict):
                            raise ValueError(f"line {line} is not an object")
                        yield line, value
                return
            head = file.readline()
            file.seek(0)
            tab = table.suffix.lower() == ".tsv" or ("\t" in head and "," not in head)
            delimiter = "\t" if tab else ";" if head.count(";") > head.count(",") else ","
            reader = csv.reader(file, delimiter=delimiter)
            names = next(reader, [])
            if _is_image(names[0] if names else ""):  # no header: path and label, in that order
                yield 1, dict(zip(("path", "label"), names, strict=False))
                names = ["path", "label"]
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, dict(zip(names, cells, strict=False))
    except (OSError, csv.Error, ValueError) as error:
        raise DataError(f"{table} cannot be read: {error}. Pass a CSV, TSV or JSON Lines file.") from error


def _is_image(name: str) -> bool:
    return ImageRef.parse(name.strip()).suffix in SUFFIXES


def _text(value: Any) -> str:
    """A cell as text; whole numbers of JSON as people write them."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _box(value: Any) -> Box | None:
    """A box from a JSON list or from text such as ``12, 30, 200, 150``; None if the cell is empty."""
    if value is None or value == "":
        return None
    cells = value if isinstance(value, list) else str(value).strip("[]() ").replace(";", ",").split(",")
    if len(cells) != 4:
        raise ValueError(f"box is {value!r}, not left, top, width, height")
    left, top, width, height = (round(float(cell)) for cell in cells)
    return left, top, width, height


def _id(path: str, root: Path) -> str:
    """The path relative to the table's folder if it is in it, with forward slashes; else the absolute path."""
    absolute = os.path.normpath(os.path.join(root, path))
    relative = os.path.relpath(absolute, root) if os.path.splitdrive(absolute)[0] == os.path.splitdrive(root)[0] else ""
    inside = relative and not relative.startswith("..")
    return Path(relative if inside else absolute).as_posix()
