"""The tables of one data set, one for each split or one for all, and what their images are labeled by."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from topwork.core.commands import data_command
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.data.sources.counters import texts_of
from topwork.data.sources.label_column import HEAD, command_with
from topwork.data.sources.table_places import Entry, Places
from topwork.data.sources.table_rows import Listing
from topwork.data.split_words import are_parts, common_splits, split_in, split_name, split_of
from topwork.data.tables import Table

NUMBER = re.compile(r"\d+(\.0*)?")
_MAX_COMMANDS = 3
_COUNTER = re.compile(r"[ _.-]*\d+|(?:^|(?<=/))[a-z][.)_ -]+")  # train_1.csv, a. Training labels.csv
_TRUTH = re.compile(r"[ _.-]*(?:labels?|gt|ground[ _-]?truth|solutions?|answers?|annotations?)(?=[ _.-]|$)")
_NUMBERED = re.compile(r"(.*[^\W\d_])[ _.-]*\(?\d+\)?\.[a-z]+", re.IGNORECASE)

Key = tuple[str, tuple[str, ...], bool]
"""What tables of one data set share: the path without its split, the columns, and whether one of them has labels."""


class OtherLabels(DataError):
    """The tables of the splits have different labels."""


@dataclass
class Candidate:
    """A table that names images of the tree."""

    path: str
    listing: Listing
    split: str
    key: str

    @property
    def strength(self) -> int:
        """How sure its labels are, as ``Columns.strength``; 2 if they are those of class folders."""
        return self.listing.columns.strength


@dataclass
class TableGroup:
    """Tables of one data set, one for each split or one for all."""

    tables: list[Candidate]
    rows: dict[str, Entry] = field(default_factory=dict)
    how: str = ""
    unlisted: tuple[str, ...] = ()
    names_from: str = ""

    @property
    def name(self) -> str:
        """Its files."""
        return ", ".join(table.path for table in self.tables)

    @property
    def labels(self) -> dict[str, str]:
        """File to label."""
        return {row.name: row.label for row in self.rows.values()}


def with_numbered(found: Mapping[Key, list[Candidate]]) -> list[list[Candidate]]:
    """Tables of one data set together, also those that a counter or a word for labels alone keeps apart.

    As train_1.csv and test.csv, or train.csv and test_labels.csv beside a test.csv of names.
    """
    kept, merged = list[list[Candidate]](), dict[Key, list[list[Candidate]]]()
    for (key, columns, is_labeled), tables in found.items():
        merged.setdefault((_TRUTH.sub("", _COUNTER.sub("", key)), columns, is_labeled), []).append(tables)
    for groups in merged.values():
        kept += [[table for tables in groups for table in tables]] if _are_splits(groups) else groups
    return _with_other_names(kept)


def _with_other_names(groups: list[list[Candidate]]) -> list[list[Candidate]]:
    """The groups; those of one folder as one that have the same columns and different splits, of different images."""
    by_shape: dict[tuple[str, tuple[str, ...]], list[list[Candidate]]] = {}
    for tables in groups:
        shape = os.path.dirname(tables[0].path), tables[0].listing.table.columns
        by_shape.setdefault(shape, []).append(tables)
    kept = []
    for found in by_shape.values():
        rows = [table.listing.rows.keys() for tables in found for table in tables]
        disjoint = len(set[str]().union(*rows)) == sum(map(len, rows))
        labeled = all(table.listing.table.has_header and _is_labeled(table) for tables in found for table in tables)
        joined = len(found) > 1 and disjoint and labeled and _are_splits(found)
        kept += [[table for tables in found for table in tables]] if joined else found
    return kept


def _are_splits(groups: Sequence[Sequence[Candidate]]) -> bool:
    """Whether each table is of another split, and one is for training."""
    splits = [table.split for tables in groups for table in tables]
    return all(splits) and "train" in splits and len(set(splits)) == len(splits)


def _is_labeled(table: Candidate) -> bool:
    columns = table.listing.columns
    return "label" in columns.roles or bool(columns.one_hot)


def make_group(tables: list[Candidate], places: Places, config: DataConfig) -> TableGroup:
    """The rows of tables of one data set.

    Raises:
        OtherLabels: The splits have different labels.
        UsageError: Some images have neither a label nor a class folder.
    """
    if any(not _has_trainval(table) for table in tables if table.split == "train"):
        tables = [table for table in tables if not _has_trainval(table)]
    group = TableGroup([])
    splits: set[str] = set()
    for table in tables:
        if table.split in splits:
            group.unlisted += (table.path,)
            continue
        splits.add(table.split)
        group.tables.append(table)
        for row in table.listing.rows.values():
            group.rows.setdefault(row.id, row)
    if len(splits) == 1 and not any(t.listing.columns.splits for t in group.tables):
        group.rows = {name: row._replace(split="") if row.split else row for name, row in group.rows.items()}
    labeled = group.names_from = _with_names(group, places)
    named = _with_splits_of_folders(group) or _with_splits_of_names(group)
    if not labeled:
        _refuse_other_labels(group.tables, config)
    group.how = "; ".join(_how(table, len(splits) > 1, labeled) for table in group.tables)
    group.how += named
    if not all(row.label for row in group.rows.values()):
        table = group.tables[0].listing.table
        raise UsageError(
            f"No column of {table.name} looks like labels. Its columns are {', '.join(table.columns[:12])}. If one of "
            f"them has the labels, name it: {' or '.join(_named(table, config))}"
        )
    return group


def _named(table: Table, config: DataConfig) -> list[str]:
    """The commands that take a column of which values repeat as the label, or the last column."""
    counts = {name: len(set(table.texts(name)) - {""}) for name in table.columns}
    names = [name for name, count in counts.items() if 1 < count <= len(table.rows) / 2] or [table.columns[-1]]
    return [command_with(config, "--label-column", name) for name in names[:_MAX_COMMANDS]]


def _with_names(group: TableGroup, places: Places) -> str:
    """Take the names of class folders where tables have no labels, or numbers for the same classes; and say so."""
    labels = {row.label for row in group.rows.values()}
    if labels != {""} and not all(map(NUMBER.fullmatch, labels)):
        return ""
    for kind, name_of in (("class folders", places.folder_label), ("file names", _prefix)):
        head = islice(group.rows.values(), HEAD)
        if labels != {""} and not all(name_of(row.name) for row in head):
            continue
        names = {name: name_of(row.name) for name, row in group.rows.items()}
        if labels == {""} and kind == "class folders":
            names = _paths_of_classes(group) or names
        distinct = set(names.values())
        if len(distinct) < 2 or "" in distinct or texts_of(distinct) or are_parts(distinct):
            continue
        pairs = {(row.label, names[name]) for name, row in group.rows.items()}
        if (labels == {""} and kind == "class folders") or len(pairs) == len(labels) == len(distinct):
            group.rows = {name: row._replace(label=names[name]) for name, row in group.rows.items()}
            return kind
    return ""


def _paths_of_classes(group: TableGroup) -> dict[str, str]:
    """The paths of the class folders if they are not all of one level, as church/indoor beside abbey; else none."""
    folders = {row.name.rpartition("/")[0] for row in group.rows.values()}
    if len({folder.count("/") for folder in folders}) < 2:
        return {}
    common = len(os.path.commonpath([f"/{folder}" for folder in folders]).split("/")) - 1
    inner = {folder: [part for part in folder.split("/")[common:] if not split_in(part)] for folder in folders}
    lengths = set(map(len, inner.values()))
    if len(lengths) < 2 or 0 in lengths:
        return {}
    return {name: "/".join(inner[row.name.rpartition("/")[0]]) for name, row in group.rows.items()}


def _with_splits_of_folders(group: TableGroup) -> str:
    """Take the splits of the folders in which the images lie, if the tables say none; and say so."""
    if any(row.split for row in group.rows.values()) or any(table.listing.columns.splits for table in group.tables):
        return ""
    folders = {row.name.rpartition("/")[0] for row in group.rows.values()}
    named = {folder: next(filter(None, map(split_name, folder.split("/"))), "") for folder in folders}
    splits = dict(zip(named, common_splits(named.values()), strict=True))
    if not any(splits.values()):
        return ""
    group.rows = {name: row._replace(split=splits[row.name.rpartition("/")[0]]) for name, row in group.rows.items()}
    return ", splits from folders"


def _with_splits_of_names(group: TableGroup) -> str:
    """Take the splits that the names of all images begin with (``train_00001.jpg``), if nothing else says any."""
    folders = {row.name.rpartition("/")[0] for row in group.rows.values()}
    if any(row.split for row in group.rows.values()) or any(map(split_in, folders)):
        return ""
    words = {row.id: row.name.rpartition("/")[2].partition("_")[0] for row in group.rows.values()}
    splits = split_of(set(words.values())) if len(set(words.values())) < 4 else {}
    if len(splits) < len(set(words.values())) or "train" not in splits.values() or len(splits) < 2:
        return ""
    group.rows = {name: row._replace(split=splits[words[name]]) for name, row in group.rows.items()}
    return ", splits from the names of the images"


def _refuse_other_labels(tables: Sequence[Candidate], config: DataConfig) -> None:
    """Raise if one of the tables has no label of that for training, as numbers for names."""
    labels = {table.path: {row.label for row in table.listing.rows.values()} - {""} for table in tables}
    train = next((table.path for table in tables if table.split == "train"), "")
    for path, own in labels.items():
        if train and own and labels[train] and not own & labels[train]:
            raise OtherLabels(
                f"{path} has the labels {', '.join(sorted(own)[:4])}, none of which is in {train} "
                f"({', '.join(sorted(labels[train])[:4])}). Write the same labels into both tables. To use {train} "
                f"alone, run: {data_command(config, config.path, ['--table', os.path.join(config.path, train)])}"
            )


def _has_trainval(table: Candidate) -> bool:
    return "trainval" in table.path.lower()


def _prefix(path: str) -> str:
    """The name of a file without the number at its end: ``american_bulldog_12.jpg`` is an american_bulldog."""
    found = _NUMBERED.fullmatch(path.rpartition("/")[2])
    return found[1] if found else ""


def _how(table: Candidate, with_split: bool, labeled: str) -> str:
    text = table.listing.describe()
    if labeled:
        text = text.rpartition(", labels from ")[0] + f", labels from {labeled}"
    return f"{text} ({table.split})" if with_split and table.split else text
