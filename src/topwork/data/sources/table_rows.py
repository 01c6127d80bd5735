"""From the rows of a table to images: each path is looked up in the tree, each label, split and box is checked."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from topwork.core.artifacts import ImageRow
from topwork.core.commands import data_command
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.core.image_ref import Box, ImageRef, box_suffix, is_url, names_member
from topwork.data.file_index import HOW, FileIndex, Found, Match
from topwork.data.file_tree import FileTree
from topwork.data.labels import UNLABELED, joined_labels, label_text
from topwork.data.sources.label_column import cell_text, command_with
from topwork.data.sources.table_columns import Columns, find_columns, split_of_cells
from topwork.data.split_units import list_first
from topwork.data.tables import WINDOWS, Table

_MASKS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "trimaps",
    "groundtruth", "ground_truth", "thumbnails", "depth", "heatmaps",
})  # fmt: skip
_NO_CLASS = _MASKS | {
    "", "images", "image", "img", "imgs", "jpegimages", "data", "pictures", "photos", "jpg", "jpeg", "png",
}  # fmt: skip


class AmbiguousFiles(UsageError):
    """A name in a table may mean several files."""


class SeveralBoxes(DataError):
    """A table of a detection data set."""


@dataclass(frozen=True)
class Places:
    """Where the images of a table may be.

    Attributes:
        root: Folder that ids are relative to.
        base: Folder of the table in it, empty for itself.
        tree: Its content; None if all paths of the table exist as they are written.
        index: The images of the tree.
        split: The split whose folders count where a name is in several ones; may be empty.
        split_of: A folder's name to the split that it names, or empty.
    """

    root: Path
    base: str = ""
    tree: FileTree | None = None
    index: FileIndex = field(default_factory=lambda: FileIndex(()))
    split: str = ""
    split_of: Callable[[str], str] = lambda name: ""

    def find(self, text: str, split: str = "", label: str = "") -> Found:
        """The images that a text may mean, fewer if the folders of a split, a class or of masks decide."""
        found = self.index.find(text, self.base) if self.tree else Found()
        if not found.paths and (place := self._on_disk(text)):
            return Found((place,))
        if len(found.paths) < 2:
            return found
        paths = [path for path in found.paths if not _MASKS & set(path.lower().split("/")[:-1])] or list(found.paths)
        expected = split or self.split
        if expected:
            paths = [path for path in paths if expected in map(self.split_of, path.split("/")[:-1])] or paths
        if self.base and len(paths) > 1:
            paths = [path for path in paths if path.startswith(self.base + "/")] or paths
        if label and len(paths) > 1:
            paths = [path for path in paths if label in path.split("/")[:-1]] or paths
        return Found(tuple(paths), found.match)

    def _on_disk(self, text: str) -> str:
        """The id of a file outside the tree, or of one that exists as it is written; empty if there is none."""
        if "://" in text or "\0" in text or len(text) > 4096 or (self.tree and not os.path.isdir(self.tree.store)):
            return ""
        name = text.partition("#xywh=")[0]
        if not name.strip() or not os.path.isfile(os.path.join(self.root, self.base, name)):
            return ""
        return relative_id(name, self.root, self.base)

    def folder_label(self, path: str) -> str:
        """The folder above an image that may be its class: the last one that is no split and not called images."""
        return _class_of_folder(path.rpartition("/")[0], self.split_of)


@lru_cache(maxsize=2**16)
def _class_of_folder(folder: str, split_of: Callable[[str], str]) -> str:
    name = next((name for name in reversed(folder.split("/")) if name.lower() not in _NO_CLASS), "")
    return "" if split_of(name) else name


@dataclass
class Listing:
    """The images of one table.

    Attributes:
        rows: By id.
        ignored: Line to reason.
        missing: Lines and names that no file has.
        ambiguous: Lines, names and the files that they may mean.
        matches: How names were found, and how often.
        remarks: What was decided, one sentence each.
    """

    table: Table
    columns: Columns
    rows: dict[str, ImageRow] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    missing: list[tuple[int, str]] = field(default_factory=list)
    ambiguous: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    matches: Counter[Match] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    @property
    def named(self) -> int:
        """Rows that name an image that exists."""
        return sum(self.matches.values())

    def describe(self) -> str:
        """Where paths, labels and splits come from."""
        roles = self.columns.roles
        found = max(self.matches, default=Match.EXACT, key=lambda match: (self.matches[match], match))
        how = f", found {HOW[found]}" if found in HOW else ""
        labels = f"columns {self.columns.one_hot[0]} to {self.columns.one_hot[-1]}" if self.columns.one_hot else (
            f"column {roles['label']}" if "label" in roles else "class folders"
        )  # fmt: skip
        split = f", splits: column {roles['split']}" if "split" in roles else ""
        encoding = f" ({self.table.encoding})" if self.table.encoding else ""
        return (
            f"table {self.table.name}{encoding}: images from column {roles['path']}{how}, labels from {labels}{split}"
        )


def list_rows(table: Table, places: Places, config: DataConfig, labels_needed: bool = True) -> Listing:
    """The images of a table.

    Raises:
        UsageError: Columns or paths may be read in several ways.
        DataError: A row is not valid, or most name no file.
    """
    columns = find_columns(table, places.find, config, places.folder_label)
    if labels_needed and not ("label" in columns.roles or columns.one_hot):
        raise UsageError(_no_label(table, config))
    if config.crop_to_box and not columns.has_boxes:
        raise UsageError(
            f"{table.name} has no column 'box' (left, top, width, height) nor xmin, ymin, xmax, ymax. "
            "Omit --crop-to-box."
        )
    reader = RowReader(table, columns, places, config)
    listing = reader.listing
    others: set[str] = set()
    for line, cells in table.rows:
        row = reader.read(line, cells)
        if not row.label and "label" not in columns.roles and not columns.one_hot:
            pass
        elif not row.label:
            listing.ignored[f"{table.name}:{line}"] = UNLABELED
            continue
        before = listing.rows.setdefault(row.id, row)
        if before.label != row.label:
            others.add(row.id)
            _refuse_repeats(table, line, before, row, columns, len(others) > 0.05 * len(table.rows) + 1, config)
        if before is not row:
            listing.ignored[f"{table.name}:{line}"] = "the image is in an earlier row"
    repeated = len(table.rows) - len(listing.rows) - len(listing.missing)
    if not config.crop_to_box and columns.has_boxes and (table.is_detection or repeated > 0.02 * len(table.rows) + 1):
        raise SeveralBoxes(_detection(table, config))
    if not listing.rows:
        column = repr(columns.roles["label"]) if "label" in columns.roles else ", ".join(map(repr, columns.one_hot[:3]))
        raise DataError(f"No row of {table.name} has a label, in column {column}. Complete the rows.")
    _check_found(listing, places, config)
    strange = sorted({row.label for row in listing.rows.values() if not row.label.isascii()})
    if table.encoding == WINDOWS and strange:
        listing.remarks.append(f"Labels that are not UTF-8 are read as Windows-1252: {list_first(strange)}.")
    joined = joined_labels(listing.rows.values())
    if len(joined) > 1:
        labels = ", ".join(map(repr, sorted(joined, key=lambda label: -len(joined[label]))[:4]))
        raise DataError(
            f"{table.name} has several labels per image: {labels} beside each of them alone. topwork "
            "trains one label per image. Keep the rows with one label, or make one class of each combination with "
            "another separator."
        )
    return listing


@dataclass
class RowReader:
    """Reads the cells of one row after the other."""

    table: Table
    columns: Columns
    places: Places
    config: DataConfig

    def __post_init__(self) -> None:
        self.listing = Listing(self.table, self.columns, remarks=[*self.columns.remarks])
        number = {name: place for place, name in enumerate(self.table.columns)}
        self._at = {role: number[name] for role, name in self.columns.roles.items()}
        self._one_hot = [(name, number[name]) for name in self.columns.one_hot]
        split = self.columns.roles.get("split")
        self._splits = {"": ""} | (split_of_cells(self.table, split) if split else {})
        self._root = str(self.places.root)
        self._corners = [number[name] for name in self.columns.corners]

    def read(self, line: int, cells: Sequence[Any]) -> ImageRow:
        """The image of a line, whose label may be empty; notes how its file was found."""
        where = f"{self.table.name}:{line}"
        values = {role: cells[place] if place < len(cells) else None for role, place in self._at.items()}
        path, group = cell_text(values.get("path")), cell_text(values.get("group"))
        if not path:
            raise DataError(f"{where} has no path. Complete the row or remove it.")
        label = label_text(values.get("label"), where)
        if self._one_hot:
            label = next((name for name, place in self._one_hot if float(_binary(cells[place])) == 1), "")
        try:
            split = self._split(cell_text(values.get("split")))
            weight = float(cell_text(values.get("weight")) or 1)
            box = self._box(values, cells) if self.config.crop_to_box else None
            ref, name = self._ref(path, split, label, line)
            if box:
                ref = replace(ref, box=box)
            image_id = name + box_suffix(ref.box)
        except ValueError as error:
            raise DataError(f"{where} is not valid: {error}. Correct the row.") from error
        if not (math.isfinite(weight) and weight > 0):
            raise DataError(f"{where}: weight is {weight:g}; it must be above 0. To exclude the image, remove the row.")
        return ImageRow(image_id, label, split=split or self.places.split, group=group, weight=weight, ref=ref)

    def _split(self, text: str) -> str:
        if text.lower() not in self._splits:
            raise ValueError(f"split is {text!r}; allowed are train, val and test")
        return self._splits[text.lower()]

    def _box(self, values: dict[str, Any], cells: Sequence[Any]) -> Box | None:
        if self._corners:
            left, top, right, bottom = (float(cells[place]) for place in self._corners)
            return round(left), round(top), max(1, round(right - left)), max(1, round(bottom - top))
        return _box(values.get("box"))

    def _ref(self, path: str, split: str, label: str, line: int) -> tuple[ImageRef, str]:
        """Where an image is, and its id without a box."""
        places = self.places
        if names_member(path):
            found = ImageRef.parse(places.root / places.base / path)
            self.listing.matches[Match.EXACT] += 1
            return found, relative_id(path.partition("#xywh=")[0], places.root, places.base)
        hit = places.find(path, split, label)
        if not hit.paths and self.table.encoding == WINDOWS:  # the name of a file in the bytes of the table
            hit = places.find(os.fsdecode(path.encode("cp1252", "ignore")), split, label)
        box = ImageRef.parse(path).box if "#xywh=" in path else None
        if len(hit.paths) == 1:
            self.listing.matches[hit.match] += 1
            name = hit.paths[0]
            ref = places.tree.ref(name) if places.tree and name in places.index else ImageRef(self._root, name)
            return (replace(ref, box=box) if box else ref), name
        if is_url(path):
            raise DataError(f"{self.table.name}:{line}: {path[:80]!r} is a URL; only local files are read.")
        if hit.paths:
            self.listing.ambiguous.append((line, path, hit.paths))
        else:
            self.listing.missing.append((line, path))
        name = relative_id(path.partition("#xywh=")[0], places.root, places.base)
        return ImageRef(self._root, name, box), name


def _binary(cell: Any) -> str:
    text = cell_text(cell).lower()
    return {"true": "1", "false": "0", "": "0"}.get(text, text)


def relative_id(path: str, root: Path, base: str = "") -> str:
    """The path relative to the root if it is in it, with forward slashes; else the absolute path."""
    absolute = os.path.normpath(os.path.join(root, base, path))
    relative = os.path.relpath(absolute, root) if os.path.splitdrive(absolute)[0] == os.path.splitdrive(root)[0] else ""
    inside = relative and not relative.startswith("..")
    return Path(relative if inside else absolute).as_posix()


def _box(value: Any) -> Box | None:
    """A box from a JSON list or from text such as ``12, 30, 200, 150``; None if the cell is empty."""
    if value is None or value == "":
        return None
    cells = value if isinstance(value, list | tuple) else str(value).strip("[]() ").replace(";", ",").split(",")
    if len(cells) != 4:
        raise ValueError(f"box is {value!r}, not left, top, width, height")
    left, top, width, height = (round(float(cell)) for cell in cells)
    return left, top, width, height


def _no_label(table: Table, config: DataConfig) -> str:
    columns = ", ".join(table.columns[:12]) + (", ..." if len(table.columns) > 12 else "")
    name = command_with(config, "--label-column", table.columns[-1])
    return (
        f"No column of {table.name} looks like the label of each image; it has {columns}. Labels repeat, and are "
        f"neither ids nor measured numbers. Name the column, such as: {name}"
    )


def _detection(table: Table, config: DataConfig) -> str:
    return (
        f"{table.name} has boxes around things in images: a detection data set. topwork classifies whole images; it "
        "can train on the boxes, each cut out as an image with its class: "
        + data_command(config, config.path, ["--crop-to-box"])
    )


def _refuse_repeats(
    table: Table, line: int, before: ImageRow, row: ImageRow, columns: Columns, several: bool, config: DataConfig
) -> None:
    """Raise if two rows give one image two labels."""
    if columns.has_boxes and not config.crop_to_box:
        raise SeveralBoxes(_detection(table, config))
    if several or len(table.rows) < 40:
        raise DataError(
            f"{table.name}:{line} names {row.id!r} as {row.label!r}, an earlier row as {before.label!r}. "
            "Several labels per image are not supported. Remove one of them."
        )


def _check_found(listing: Listing, places: Places, config: DataConfig) -> None:
    """Raise if names may mean several files, or if most mean none although there are images."""
    table, column = listing.table, listing.columns.roles["path"]
    if listing.ambiguous:
        line, name, paths = listing.ambiguous[0]
        folders = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
        more = f" ({len(listing.ambiguous):,} such rows)" if len(listing.ambiguous) > 1 else ""
        file = os.path.join(places.root, places.base, os.path.basename(table.name))
        ways = "".join(
            "\n  " + data_command(config, os.path.join(places.root, folder), ["--table", file])
            for folder in folders[:4]
        )
        raise AmbiguousFiles(
            f"{table.name}:{line}: {name!r} may be any of {', '.join(paths[:4])}{more}. Name the folder of its images:"
            f"{ways}"
        )
    if len(listing.missing) <= 0.5 * len(table.rows) or not len(places.index):
        return
    line, name = listing.missing[0]
    some = f"{len(listing.missing):,} of {len(table.rows):,} rows of {table.name} name no file"
    found = {row.ref.name for row in listing.rows.values()} & places.index.paths.keys()
    if len(found) >= 0.9 * len(places.index):  # a sample of the data set
        listing.remarks.append(f"{some}, the first {name!r} in line {line}; they are ignored.")
        listing.ignored |= {f"{table.name}:{number}": "no such file" for number, _ in listing.missing}
        listing.rows = {row.id: row for row in listing.rows.values() if row.ref.name in found}
        return
    raise DataError(
        f"{some} in {places.root}; the first, in column {column!r} of line {line}, is {name!r}, and the most similar "
        f"file is {places.index.similar_name(name)}. Write the names of the files into the column, or give the "
        "folder that holds the images: " + data_command(config, "FOLDER", ["--table", config.table or config.path])
    )
