"""The tables in a folder that name its images, those for the splits of one data set together."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice, takewhile
from pathlib import Path

from topwork.core.commands import data_command
from topwork.core.config import DataConfig
from topwork.core.errors import TopworkError
from topwork.data.annotations import read_labels
from topwork.data.file_index import FileIndex, normal
from topwork.data.file_tree import FileTree, join, suffix_of
from topwork.data.known_lists import known_lists
from topwork.data.locations import NotReadable, read_bytes
from topwork.data.sources.counters import texts_of
from topwork.data.sources.label_column import HEAD, Measured, MissingColumn, SeveralColumns, SeveralNames, command_with
from topwork.data.sources.table_columns import find_path_column
from topwork.data.sources.table_places import Entry, Places
from topwork.data.sources.table_rows import AmbiguousFiles, Listing, SeveralBoxes, list_rows
from topwork.data.split_words import are_parts, common_splits, split_in, split_name, split_of, without_split
from topwork.data.tables import TABLES, Table, cell_text, has_image_suffix

_MAX_BYTES = 200 * 2**20  # of a table that is looked at
_MAX_FILES = 40  # of one suffix in a folder; more are annotations of one image each
_HEAD_BYTES = 2**16
_MAX_DEPTH = 2
_SUFFIXES = frozenset({*TABLES, ".xml"})
_NO_TABLE = re.compile(r"readme|licen[cs]e|requirements|submission|attribution|changelog|citation", re.IGNORECASE)
NUMBER = re.compile(r"\d+(\.0*)?")
_COUNTER = re.compile(r"[ _.-]*\d+|(?:^|(?<=/))[a-z][.)_ -]+")  # train_1.csv, a. Training labels.csv
_NUMBERED = re.compile(r"(.*[^\W\d_])[ _.-]*\(?\d+\)?\.[a-z]+", re.IGNORECASE)


_Key = tuple[str, tuple[str, ...], bool]
"""What tables of one data set share: the path without its split, the columns, and whether one of them has labels."""


@dataclass
class _Candidate:
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

    tables: list[_Candidate]
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


@dataclass
class TableFinder:
    """Looks for tables.

    Attributes:
        problems: Table to why it cannot be read; those that name images first.
        questions: Table to what is to be decided or corrected in it, for those that name and label half of the images.
        naming: Whether the first of them names images.
        certain: Whether one of them tells that the images are labeled by it, whatever the folders are called.
    """

    config: DataConfig
    tree: FileTree
    index: FileIndex
    problems: dict[str, str] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    naming: bool = False
    certain: bool = False

    def __post_init__(self) -> None:
        self._sizes = dict[str, int]()
        self.places = Places(Path(self.tree.store), "", self.tree, self.index, split_of=split_in, outside=False)

    def groups(self) -> list[TableGroup]:
        """All groups of tables that name images and have labels, or whose images are in class folders."""
        found: dict[_Key, list[_Candidate]] = defaultdict(list)
        others: dict[str, str] = {}
        incomplete = set[str]()
        for path, make in self._makers():
            try:
                candidate = make()
            except MissingColumn as error:
                others[path] = str(error)
                continue
            except TopworkError as error:
                self.problems[path] = str(error)
                self.certain |= isinstance(error, AmbiguousFiles | SeveralBoxes)
                if not isinstance(error, Measured):
                    incomplete.add(self._split_and_key(path)[1])
                    if 2 * self._sizes.get(path, 0) >= len(self.index):
                        self.questions[path] = str(error)
                continue
            if isinstance(candidate, str):
                others |= {path: candidate} if candidate else {}
            else:
                columns = candidate.listing.columns
                shape = candidate.listing.table.columns if candidate.split else (path,)
                found[candidate.key, shape, "label" in columns.roles or bool(columns.one_hot)].append(candidate)
        self.naming = bool(self.problems)
        self.problems |= others
        found = {key: tables for key, tables in found.items() if key[0] not in incomplete}
        return [group for tables in _with_numbered(found) if (group := self._group(tables))]

    def _makers(self) -> Iterator[tuple[str, Callable[[], _Candidate | str]]]:
        """What may be a table, and what reads it."""
        for path, table in known_lists(self.tree, lambda name: read_bytes(self.tree.ref(name), _MAX_BYTES)):
            places = replace(self.places, base=path.rpartition("/")[0])
            yield path, partial(self._known, path, table, places)
        for path in self._files():
            yield path, partial(self._candidate, path)

    def _known(self, path: str, table: Table, places: Places) -> _Candidate:
        return _Candidate(path, list_rows(table, places, self.config), "", path)

    def _files(self) -> Iterator[str]:
        """Files that may be tables, those nearest to the top first."""
        for folder in self.tree.top.walk():
            if folder.path and folder.path.count("/") + 1 > _MAX_DEPTH:
                return
            counts = Counter(map(suffix_of, folder.files))
            for name in folder.files:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() not in _SUFFIXES or counts[suffix.lower()] > _MAX_FILES or _NO_TABLE.search(name):
                    continue
                if suffix.lower() in (".txt", ".xml", ".json") and normal(stem) in self.index.by_stem:
                    continue  # what marks one image
                yield join(folder.path, name)

    def _candidate(self, path: str) -> _Candidate | str:
        """A table that names images; else why it is none, or an empty text for what is no table."""
        folder = path.rpartition("/")[0]
        split, key = self._split_and_key(path)
        places = replace(self.places, base=folder, split=split)

        def is_image(text: str) -> bool:
            return bool(places.find(text).paths) if 0 < len(text) < 1000 else False

        try:
            data = read_bytes(self.tree.ref(path), _MAX_BYTES)
            head = data if suffix_of(path) in (".json", ".xml") else _head(data)
            table = read_labels(head, path, is_image)
        except (OSError, NotReadable, TopworkError, ValueError):
            return ""
        try:
            column = find_path_column(table, places.find, self.config)
        except SeveralColumns:
            self._sizes[path] = len(read_labels(data, path, is_image).rows)
            raise
        except (MissingColumn, SeveralNames):
            raise
        except TopworkError:
            return self._several_files(table)
        texts = [text for text in map(cell_text, table.values(column, HEAD)) if text]
        if sum(map(is_image, texts)) < 0.1 * len(texts) or not texts:
            return self._unresolved(path, column, texts) or self._several_files(table)
        if head is not data:
            table = read_labels(data, path, is_image)
        self._sizes[path] = len(table.rows)
        listing = list_rows(table, places, self.config, labels_needed=False)
        return _Candidate(path, listing, split, key)

    def _split_and_key(self, path: str) -> tuple[str, str]:
        """The split that the name of a table or its folder says, and what the tables of all splits share."""
        folder, _, name = path.rpartition("/")
        if split := split_in(os.path.splitext(name)[0]):
            return split, without_split(path)
        if split := split_in(folder.rpartition("/")[2]):
            return split, without_split(folder) + "/" + name
        return "", path

    def _unresolved(self, path: str, column: str, texts: Sequence[str]) -> str:
        if not texts or not has_image_suffix(texts[0]):
            return ""
        return (
            f"{path} names no image in {self.tree.store}. The first name in column {column!r} is {texts[0]!r}; the "
            "most "
            f"similar file is {self.index.similar_name(texts[0])}. Write the file names into the table, or pass the "
            "folder that holds its images."
        )

    @cached_property
    def _stems(self) -> list[str]:
        return sorted(self.index.by_stem)

    def _several_files(self, table: Table) -> str:
        """What is to be done with a table of which each row names several files by how they begin; empty for others."""
        for column in table.columns[:8] if len(table.columns) > 1 else ():
            texts = list(dict.fromkeys(filter(None, map(cell_text, table.values(column, HEAD)))))
            named = [
                (text, [stem for stem in _beginning(self._stems, normal(text)) if stem != normal(text)])
                for text in texts
            ]
            several = [(text, found) for text, found in named if len(found) > 1]
            if len(texts) > 2 and min(map(len, texts)) > 2 and len(several) >= 0.8 * len(texts):
                text, found = several[0]
                run = data_command(self.config, "labels.csv", [])
                files = " and ".join(self.index.by_stem.get(stem)[0] for stem in found[:2])
                return (
                    f"{table.name} has one row for several images: {text!r} in column {column} begins the names of "
                    f"{files}. Write a table with the columns path and label and one row per image (a column group "
                    f"keeps the images of one row in one split), and run: {run}"
                )
        return ""

    def _group(self, tables: list[_Candidate]) -> TableGroup | None:
        """The rows of tables of one data set; None if some images have neither a label nor a class folder."""
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
        labeled = group.names_from = self._with_names(group)
        named = _with_splits_of_folders(group) or _with_splits_of_names(group)
        if problem := _other_labels(group.tables if not labeled else []):
            self.problems.setdefault(group.tables[0].path, problem)
            self.questions.setdefault(group.tables[0].path, problem)
            return None
        group.how = "; ".join(_how(table, len(splits) > 1, labeled) for table in group.tables)
        group.how += named
        if not all(row.label for row in group.rows.values()):
            table = group.tables[0].listing.table
            self.problems.setdefault(
                group.tables[0].path,
                f"No column of {table.name} looks like labels. Its columns are {', '.join(table.columns[:12])}. Pass "
                f"one as COLUMN: {command_with(self.config, '--label-column', 'COLUMN')}",
            )
            return None
        return group

    def _with_names(self, group: TableGroup) -> str:
        """Take the names of class folders where tables have no labels, or numbers for the same classes; and say so."""
        labels = {row.label for row in group.rows.values()}
        if labels != {""} and not all(map(NUMBER.fullmatch, labels)):
            return ""
        for kind, name_of in (("class folders", self.places.folder_label), ("file names", _prefix)):
            head = islice(group.rows.values(), HEAD)
            if labels != {""} and not all(name_of(row.name) for row in head):
                continue
            names = {name: name_of(row.name) for name, row in group.rows.items()}
            if labels == {""} and kind == "class folders":
                names = self._paths_of_classes(group) or names
            distinct = set(names.values())
            if len(distinct) < 2 or "" in distinct or texts_of(distinct) or are_parts(distinct):
                continue
            pairs = {(row.label, names[name]) for name, row in group.rows.items()}
            if (labels == {""} and kind == "class folders") or len(pairs) == len(labels) == len(distinct):
                group.rows = {name: row._replace(label=names[name]) for name, row in group.rows.items()}
                return kind
        return ""

    def _paths_of_classes(self, group: TableGroup) -> dict[str, str]:
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


def _with_numbered(found: Mapping[_Key, list[_Candidate]]) -> list[list[_Candidate]]:
    """Tables of one data set together, also those that counters alone keep apart: train_1.csv and test.csv."""
    kept, merged = list[list[_Candidate]](), dict[_Key, list[list[_Candidate]]]()
    for (key, columns, is_labeled), tables in found.items():
        merged.setdefault((_COUNTER.sub("", key), columns, is_labeled), []).append(tables)
    for groups in merged.values():
        splits = [table.split for tables in groups for table in tables]
        if all(splits) and "train" in splits and len(set(splits)) == len(splits):
            groups = [[table for tables in groups for table in tables]]
        kept += groups
    return kept


def _other_labels(tables: Sequence[_Candidate]) -> str:
    """What is wrong with tables of which one has no label of that for training, as numbers for names; may be empty."""
    labels = {table.path: {row.label for row in table.listing.rows.values()} - {""} for table in tables}
    train = next((table.path for table in tables if table.split == "train"), "")
    for path, own in labels.items():
        if train and own and labels[train] and not own & labels[train]:
            return (
                f"{path} has the labels {', '.join(sorted(own)[:4])}, none of which is in {train} "
                f"({', '.join(sorted(labels[train])[:4])}). Write the same labels into both tables."
            )
    return ""


def _beginning(stems: Sequence[str], text: str) -> Sequence[str]:
    """Those of sorted stems that begin with a text, followed by something else than a letter or a digit."""
    start = bisect_left(stems, text)
    found = takewhile(lambda stem: stem.startswith(text), islice(stems, start, start + 50))
    return [stem for stem in found if not stem[len(text) : len(text) + 1].isalnum()]


def _prefix(path: str) -> str:
    """The name of a file without the number at its end: ``american_bulldog_12.jpg`` is an american_bulldog."""
    found = _NUMBERED.fullmatch(path.rpartition("/")[2])
    return found[1] if found else ""


def _head(data: bytes) -> bytes:
    if len(data) <= _HEAD_BYTES:
        return data
    head = data[:_HEAD_BYTES]
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return head[: len(head) // 2 * 2] if wide else head[: head.rfind(b"\n") + 1] or head


def _has_trainval(table: _Candidate) -> bool:
    return "trainval" in table.path.lower()


def _how(table: _Candidate, with_split: bool, labeled: str) -> str:
    text = table.listing.describe()
    if labeled:
        text = text.rpartition(", labels from ")[0] + f", labels from {labeled}"
    return f"{text} ({table.split})" if with_split and table.split else text
