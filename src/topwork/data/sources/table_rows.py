"""From the rows of a table to images: each path is looked up in the tree, each label, split and box is checked."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from topwork.core.commands import as_argument, command, data_command
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.core.image_ref import Box, ImageRef, box_suffix, is_url, names_member
from topwork.data.file_index import HOW, Match
from topwork.data.labels import UNLABELED, joined_labels, label_text, sets_of_labels
from topwork.data.sources.label_column import command_with, texts_of_one, words_of
from topwork.data.sources.run_lengths import refuse_run_lengths
from topwork.data.sources.table_columns import Columns, find_columns
from topwork.data.sources.table_of_folders import IMAGE
from topwork.data.sources.table_places import Entry, Places, relative_id
from topwork.data.sources.table_splits import split_of_cells, splits_of_rows
from topwork.data.split_units import list_first
from topwork.data.tables import WINDOWS, Table, is_western

_TAGS = {"tag", "tags", "keywords", "attribute", "attributes"}


class AmbiguousFiles(UsageError):
    """A name in a table may mean several files."""


class SeveralBoxes(DataError):
    """A table of a detection data set."""


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
    rows: dict[str, Entry] = field(default_factory=dict)
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
        splits = self.columns.splits
        split = f", splits: column{'s' * (len(splits) > 1)} {', '.join(splits)}" if splits else ""
        if splits and (named := split_of_cells(self.table, splits)).keys() == set("012"):
            split += f" ({', '.join(f'{number}: {name}' for number, name in named.items())})"
        weights = f", weights: column {roles['weight']}" if "weight" in roles else ""
        encoding = f" ({self.table.encoding})" if self.table.encoding else ""
        where = (
            f"images from column {roles['path']}{how}" if roles["path"] != IMAGE else "images in the folders it names"
        )
        return f"table {self.table.name}{encoding}: {where}, labels from {labels}{split}{weights}"


def list_rows(table: Table, places: Places, config: DataConfig, labels_needed: bool = True) -> Listing:
    """The images of a table.

    Raises:
        UsageError: Columns or paths may be read in several ways.
        DataError: A row is not valid, or most name no file.
    """
    refuse_run_lengths(table, config)
    columns = find_columns(table, places.find, config, places.folder_label)
    if labels_needed and not ("label" in columns.roles or columns.one_hot):
        raise UsageError(_no_label(table, config))
    if config.crop_to_box and not columns.has_boxes:
        raise UsageError(
            f"{table.name} has no column box (left, top, width, height) and no columns xmin, ymin, xmax, ymax. Add "
            "them, or omit --crop-to-box."
        )
    reader = RowReader(table, columns, places, config)
    listing, rows = reader.listing, reader.listing.rows
    is_labeled = "label" in columns.roles or bool(columns.one_hot)
    others: set[str] = set()
    for number, (line, _) in enumerate(table.rows):
        entry = reader.read(number)
        if is_labeled and not entry.label:
            listing.ignored[f"{table.name}:{line}"] = UNLABELED
            continue
        before = rows.setdefault(entry.id, entry)
        if before is not entry:
            if before.label != entry.label:
                others.add(entry.id)
                _refuse_repeats(table, line, before, entry, columns, len(others) > 0.05 * len(table.rows) + 1, config)
            listing.ignored[f"{table.name}:{line}"] = "the image is in an earlier row"
    repeated = len(table.rows) - len(rows) - len(listing.missing)
    if not config.crop_to_box and columns.has_boxes and (table.is_detection or repeated > 0.02 * len(table.rows) + 1):
        raise SeveralBoxes(_detection(table, config))
    if not listing.rows:
        column = repr(columns.roles["label"]) if "label" in columns.roles else ", ".join(map(repr, columns.one_hot[:3]))
        raise DataError(
            f"No row of {table.name} has a label in column {column}. Fill it in, or select another column with "
            "--label-column."
        )
    _check_found(listing, places, config)
    strange = sorted({row.label for row in listing.rows.values() if not row.label.isascii()})
    if table.encoding == WINDOWS and strange:
        listing.remarks.append(f"Labels that are not UTF-8 are read as Windows-1252: {list_first(strange)}.")
    if table.encoding == WINDOWS and not is_western("".join(strange)):
        raise DataError(
            f"{table.name} is in an unknown encoding: as Windows-1252, its labels read {list_first(strange)}. Save it "
            "as UTF-8 (spreadsheet programs call it CSV UTF-8)."
        )
    counts = Counter(row.label for row in listing.rows.values())
    if is_labeled and 1 < len(counts) == len(listing.rows) and UNLABELED in listing.ignored.values():
        empty = list(listing.ignored.values()).count(UNLABELED)
        raise DataError(
            f"{table.name} has each label once, and {empty:,} rows without one, as a spreadsheet with "
            "merged cells is saved. Fill in the label in each row."
        )
    are_tags = not _TAGS.isdisjoint(words_of(columns.roles.get("label", "")))
    joined = joined_labels(listing.rows.values()) or sets_of_labels(counts, are_tags)
    if len(joined) > 1:
        labels = ", ".join(map(repr, sorted(joined, key=lambda label: -counts[label])[:4]))
        raise DataError(
            f"{table.name} has several labels per image, such as {labels}. topwork learns one label per image. Keep "
            "only the rows with one label, or join the labels of each combination by _ to make it a class of its own."
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
        table, roles = self.table, self.columns.roles
        self.listing = Listing(table, self.columns, remarks=[*self.columns.remarks])
        nothing = [""] * len(table.rows)
        places = self.places
        self._paths, self._groups, self._weights = (
            table.texts(roles[role]) if role in roles else nothing for role in ("path", "group", "weight")
        )
        splits = self.columns.splits
        self._splits = splits_of_rows(table, splits) if splits else nothing
        self._names = nothing
        if places.tree:
            self._names, self.listing.matches = places.index.find_plain(self._paths, places.base)
        self._split_of = {"": ""} | (split_of_cells(table, splits) if splits else {})
        self._labels = table.values(roles["label"]) if "label" in roles else nothing
        if self.columns.one_hot:
            self._labels = _marked(table, self.columns.one_hot)
        self._texts: dict[str, str] = {"": ""}
        self._boxes = table.values(roles["box"]) if "box" in roles else None
        self._corners = [table.texts(name) for name in self.columns.corners]

    def read(self, number: int) -> Entry:
        """The image of a row, whose label may be empty; notes how its file was found."""
        path, cell = self._paths[number], self._labels[number]
        if not path:
            raise DataError(f"{self._where(number)} has no path. Fill it in, or remove the row.")
        label = self._texts.get(cell) if type(cell) is str else None
        if label is None:
            label = label_text(cell, self._where(number))
            if type(cell) is str:
                self._texts[cell] = label
        try:
            split = self._split(text) if (text := self._splits[number]) else ""
            weight = _weight(text) if (text := self._weights[number]) else 1.0
            box = self._box(number) if self.config.crop_to_box else None
            name, ref = self._names[number], None
            if not name:
                name, ref = self._find(path, split, label, number)
            if box:
                ref = replace(ref or self.places.ref(name), box=box)
            image_id = name + box_suffix(ref.box) if ref else name
        except ValueError as error:
            raise DataError(f"{self._where(number)} is not valid: {error}. Correct the row.") from error
        if not (math.isfinite(weight) and weight > 0):
            where = self._where(number)
            raise DataError(f"{where}: weight is {weight:g}; it must be above 0. To exclude the image, remove the row.")
        return Entry(image_id, name, label, split or self.places.split, self._groups[number], weight, ref)

    def _where(self, number: int) -> str:
        return f"{self.table.name}:{self.table.rows[number][0]}"

    def _split(self, text: str) -> str:
        if text.lower() not in self._split_of:
            raise ValueError(f"split is {text!r}; allowed are train, val and test; rename a column that is no split")
        return self._split_of[text.lower()]

    def _box(self, number: int) -> Box | None:
        if self._corners and any(texts[number] for texts in self._corners):
            left, top, right, bottom = (float(texts[number]) for texts in self._corners)
            if max(right, bottom) <= 1:
                raise ValueError(
                    f"the box {left:g}, {top:g}, {right:g}, {bottom:g} is relative to the image, not in pixels"
                )
            return round(left), round(top), max(1, round(right - left)), max(1, round(bottom - top))
        return _box(self._boxes[number]) if self._boxes else None

    def _find(self, path: str, split: str, label: str, number: int) -> tuple[str, ImageRef | None]:
        """The name of a file, and where it is if that is not simply the file of this name."""
        places = self.places
        if "/" in path and names_member(path) and places.allows(path.partition("#xywh=")[0]):
            self.listing.matches[Match.EXACT] += 1
            member = relative_id(path.partition("#xywh=")[0], places.root, places.base)
            return member, ImageRef.parse(places.root / places.base / path)
        hit = places.find(path, split, label)
        if not hit.paths and self.table.encoding == WINDOWS:  # the name of a file in the bytes of the table
            hit = places.find(os.fsdecode(path.encode("cp1252", "ignore")), split, label)
        box = ImageRef.parse(path).box if "#xywh=" in path else None
        if len(hit.paths) == 1:
            self.listing.matches[hit.match] += 1
            (name,) = hit.paths
            return name, replace(places.ref(name), box=box) if box else None
        line = self.table.rows[number][0]
        if is_url(path):
            raise DataError(
                f"{self._where(number)}: {path[:80]!r} is a URL; only local files are read. Download the images, and "
                "write their paths into the table."
            )
        if not hit.paths and places.names_other_file(path):
            raise DataError(
                f"{self._where(number)} names the file {path}, which is not in {places.root}. A table in a data folder "
                "may only name files in that folder. If the table is yours, pass the table itself: "
                + command("check", as_argument(os.path.join(places.root, self.table.name)))
            )
        if hit.paths:
            self.listing.ambiguous.append((line, path, hit.paths))
        else:
            self.listing.missing.append((line, path))
        name = relative_id(path.partition("#xywh=")[0], places.root, places.base)
        return name, ImageRef(str(places.root), name, box)


def _marked(table: Table, columns: Sequence[str]) -> list[str]:
    """The first of some columns that is 1 in each row; empty where none is."""
    labels = [""] * len(table.rows)
    for name in reversed(columns):
        texts = table.texts(name)
        ones = texts_of_one(set(texts))
        labels = [name if text in ones else label for text, label in zip(texts, labels, strict=True)]
    return labels


def _weight(text: str) -> float:
    """A weight as a number."""
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(
            f"weight is {text!r}, no number. The column weight says how much an image counts in training; if it "
            "measures something else, rename it"
        ) from error


def _box(value: Any) -> Box | None:
    """A box from a JSON list or from text such as ``12, 30, 200, 150``; None if the cell is empty."""
    if value is None or value == "":
        return None
    cells = value if isinstance(value, list | tuple) else str(value).strip("[]() ").replace(";", ",").split(",")
    if len(cells) != 4:
        raise ValueError(f"box is {value!r}, not left, top, width, height")
    sides = [float(cell) for cell in cells]
    if max(sides) <= 1 and any(not side.is_integer() for side in sides):
        raise ValueError(f"box is {value!r}, relative to the image, not in pixels")
    left, top, width, height = map(round, sides)
    return left, top, width, height


def _no_label(table: Table, config: DataConfig) -> str:
    columns = ", ".join(table.columns[:12]) + (", ..." if len(table.columns) > 12 else "")
    name = command_with(config, "--label-column", table.columns[-1])
    return (
        f"No column of {table.name} looks like labels. Its columns are {columns}. Labels occur for several images "
        f"each, and are neither ids nor measurements. If one column has the labels, name it, for example: {name}"
    )


def _detection(table: Table, config: DataConfig) -> str:
    return (
        f"{table.name} has boxes around things in images: it is a data set for object detection, but topwork "
        "classifies whole images. To train on the inside of each box as an image of its own, run: "
        f"{data_command(config, config.path, ['--crop-to-box'])}"
    )


def _refuse_repeats(
    table: Table, line: int, before: Entry, row: Entry, columns: Columns, several: bool, config: DataConfig
) -> None:
    """Raise if two rows give one image two labels."""
    if columns.has_boxes and not config.crop_to_box:
        raise SeveralBoxes(_detection(table, config))
    if several or len(table.rows) < 40:
        raise DataError(
            f"{table.name}:{line} gives {row.id!r} the label {row.label!r}, but an earlier row gives it "
            f"{before.label!r}. Several labels per image are not supported. Remove one of the rows."
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
            f"{table.name}:{line}: {name!r} may be any of {', '.join(paths[:4])}{more}. Run the command with the right "
            f"folder:{ways}"
        )
    if len(listing.missing) <= 0.5 * len(table.rows) or not len(places.index):
        return
    line, name = listing.missing[0]
    some = f"{len(listing.missing):,} of {len(table.rows):,} rows of {table.name} name no file"
    found = {row.name for row in listing.rows.values()} & places.index.paths.keys()
    if len(found) >= 0.9 * len(places.index):  # a sample of the data set
        listing.remarks.append(f"{some}, the first {name!r} in line {line}; they are ignored.")
        listing.ignored |= {f"{table.name}:{number}": "no such file" for number, _ in listing.missing}
        listing.rows = {row.id: row for row in listing.rows.values() if row.name in found}
        return
    raise DataError(
        f"{some} in {places.root}. The first is {name!r} (line {line}, column {column!r}); the most similar file is "
        f"{places.index.similar_name(name)}. Write the file names into the column, or pass the folder that holds the "
        "images as FOLDER: " + data_command(config, "FOLDER", ["--table", config.table or config.path])
    )
