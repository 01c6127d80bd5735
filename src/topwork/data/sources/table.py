"""A table of images: CSV, TSV or JSON Lines with a path and a label in each row."""

from __future__ import annotations

import codecs
import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.core.image_ref import Box, ImageRef, box_suffix, is_url, names_member
from topwork.data.images import SUFFIXES
from topwork.data.labels import UNLABELED, label_text, readable
from topwork.data.sources.base import SPLIT_NAMES, DataArgument
from topwork.data.sources.reading import Evidence, Reading

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
# What columns may be called, in any case; the first that exists counts.
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "labels")
SPLIT_COLUMNS = ("split", "part", "subset", "set", "partition")
BOX_COLUMNS = ("box", "bbox")

Cells = Mapping[str, Any]  # of a row, by column


class TableSource:
    """A file with a row per image; paths are relative to its folder.

    Columns: path and label; optionally split, group, weight, and box (left, top, width, height).
    """

    name = "table"
    supported_options = frozenset({"crop_to_box"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A file with the suffix of a table."""
        if data.is_explicit(self.name) or (data.path.lower().endswith(TABLES) and os.path.isfile(data.path)):
            how = f"the rows of {os.path.basename(data.path)}"
            yield Reading(how, Evidence.CERTAIN, [data.path], partial(self._list, data.config))

    def _list(self, config: DataConfig) -> Manifest:
        """All rows, whether the files exist or not; an error names the line of a row that is not valid."""
        path = Path(config.path)
        if not path.is_file():
            raise UsageError(f"{path} does not exist or is not a file. Pass a table with columns path and label.")
        root = path.absolute().parent
        lines = list(_rows(path))
        if not lines:
            raise DataError(f"{path} has no rows. It needs a header and a row per image.")
        columns = _columns(path, _names(lines), config)
        rows: dict[str, ImageRow] = {}
        ignored: dict[str, str] = {}
        for line, cells in lines:
            row = _image_row(f"{path}:{line}", cells, columns, root)
            if not row.label:
                ignored[f"{path.name}:{line}"] = UNLABELED
                continue
            before = rows.setdefault(row.id, row)
            if before.label != row.label:
                raise DataError(
                    f"{path}:{line} names {row.id!r} as {row.label!r}, an earlier row as {before.label!r}. "
                    "Remove one of them."
                )
            if before is not row:
                ignored[f"{path.name}:{line}"] = "the image is in an earlier row"
        if not rows:
            raise DataError(f"No row of {path} has a label, in column {columns['label']!r}. Complete the rows.")
        return Manifest(root, tuple(rows.values()), path.stem, ignored)


def images_in_table(path: str, crop_to_box: bool = False) -> Iterator[ImageRef]:
    """The images in the path column of a table, as ``TableSource`` reads it, else in column ``name`` or its first one.

    Args:
        path: Of the table.
        crop_to_box: Whether a row with a box is that part of its image.

    Raises:
        DataError: It cannot be read, or has no rows.
    """
    names = _names(_rows(Path(path)))
    if not names:
        raise DataError(f"{path} has no rows. It needs a header with a column `path`, and a row per image.")
    column = _column(names, (*PATH_COLUMNS, "name")) or next(iter(names))
    boxes = _column(names, BOX_COLUMNS) if crop_to_box else None
    for line, cells in _rows(Path(path)):  # read twice, so that a long table is never in memory
        name = _text(cells.get(column))
        if name:
            ref = ImageRef.parse(name if is_url(name) else _existing(os.path.dirname(path), name))
            try:
                box = _box(cells.get(boxes)) if boxes else None
                box_suffix(box)
            except ValueError as error:
                raise DataError(f"{path}:{line} is not valid: {error}. Correct the row.") from error
            yield replace(ref, box=box or ref.box)


def _names(lines: Iterable[tuple[int, Cells]]) -> dict[str, None]:
    """The columns of all rows, in order: the first object of JSON Lines may not have all of them."""
    return {name: None for _, cells in lines for name in cells}


def _column(cells: Iterable[str], allowed: tuple[str, ...]) -> str | None:
    names = {str(name).strip().lower(): str(name) for name in cells}
    return next((names[name] for name in allowed if name in names), None)


def _columns(table: Path, first: Iterable[str], config: DataConfig) -> dict[str, str]:
    """The columns that are used: what they hold to their names."""
    allowed = {"path": PATH_COLUMNS, "label": LABEL_COLUMNS, "split": SPLIT_COLUMNS, "weight": ("weight",)}
    allowed |= {"group": (config.group_by.lower() or "group",)} | ({"box": BOX_COLUMNS} if config.crop_to_box else {})
    columns = {what: column for what, names in allowed.items() if (column := _column(first, names)) is not None}
    for what, (name, *others) in (("path", PATH_COLUMNS), ("label", LABEL_COLUMNS)):
        if what not in columns:
            others = ", ".join(others[:4])
            raise DataError(f"{table} has no column {name!r} (or {others}), but {', '.join(first)}. Rename one.")
    if config.crop_to_box and "box" not in columns:
        raise UsageError(f"{table} has no column 'box' (left, top, width, height). Omit --crop-to-box.")
    return columns


def _image_row(where: str, cells: Cells, columns: dict[str, str], root: Path) -> ImageRow:
    """The image of a line, whose label may be empty; ``where`` names the line."""
    values = {what: cells.get(column) for what, column in columns.items()}
    path, split, group = (_text(values.get(what)) for what in ("path", "split", "group"))
    label = label_text(values.get("label"), where)
    if not path:
        raise DataError(f"{where} has no path. Complete the row or remove it.")
    if "://" in path:
        raise DataError(f"{where}: {path[:80]!r} is a URL; only local files are read.")
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: split is {split!r}; allowed are train, val and test.")
    try:
        weight = float(_text(values.get("weight")) or 1)
        box = _box(values.get("box"))
        name = _id(path, root)
        image_id = name + box_suffix(box)
        ref = _ref(root, name, box)
    except ValueError as error:
        raise DataError(f"{where} is not valid: {error}. Correct the row.") from error
    if not (math.isfinite(weight) and weight > 0):
        raise DataError(f"{where}: weight is {weight:g}; it must be above 0. To exclude the image, remove the row.")
    split = SPLIT_NAMES.get(split.lower(), "")
    return ImageRow(image_id, label, split=split, group=group, weight=weight, ref=ref)


def _ref(root: Path, name: str, box: Box | None) -> ImageRef:
    """A row may name a file, a member of a shard, or a box in either."""
    if names_member(name) or (box is None and "#xywh=" in name):
        found = ImageRef.parse(root / name)
        return ImageRef(found.store, found.name, box or found.box)
    return ImageRef(str(root), name, box)


def _rows(table: Path) -> Iterator[tuple[int, Cells]]:
    """Line number and content of every row."""
    try:
        with open(table, "rb") as start:
            encoding = "utf-16" if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        with open(table, encoding=encoding, errors="surrogateescape", newline="") as file:
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
            path = next((number for number, name in enumerate(names) if _is_image(name)), None)
            if path is not None:  # no header: a path, and the column after it, else that before it, is the label
                label = path + 1 if path + 1 < len(names) else path - 1
                first, names = names, [{path: "path", label: "label"}.get(i, str(i)) for i in range(len(names))]
                yield 1, dict(zip(names, first, strict=True))
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


def _existing(folder: str | Path, path: str) -> str:
    """The path in a folder by its bytes in the table or, if nothing is there, by what they mean."""
    found = os.path.join(folder, path)
    return found if os.path.lexists(found) else os.path.join(folder, readable(path))


def _id(path: str, root: Path) -> str:
    """The path relative to the table's folder if it is in it, with forward slashes; else the absolute path."""
    absolute = os.path.normpath(_existing(root, path))
    relative = os.path.relpath(absolute, root) if os.path.splitdrive(absolute)[0] == os.path.splitdrive(root)[0] else ""
    inside = relative and not relative.startswith("..")
    return Path(relative if inside else absolute).as_posix()
