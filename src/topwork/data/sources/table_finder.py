"""Looks for the tables in a folder that name its images."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
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
from topwork.data.sources.label_column import HEAD, Measured, MissingColumn, SeveralColumns, SeveralMarks, SeveralNames
from topwork.data.sources.run_lengths import refuse_run_lengths
from topwork.data.sources.table_columns import find_path_column
from topwork.data.sources.table_groups import Candidate, Key, OtherLabels, TableGroup, make_group, with_numbered
from topwork.data.sources.table_of_folders import with_images
from topwork.data.sources.table_places import Places
from topwork.data.sources.table_rows import AmbiguousFiles, SeveralBoxes, list_rows
from topwork.data.split_words import split_in, without_split
from topwork.data.tables import TABLES, Table, cell_text, has_image_suffix

_MAX_BYTES = 200 * 2**20  # of a table that is looked at
_MAX_FILES = 40  # of one suffix in a folder; more are annotations of one image each
_HEAD_BYTES = 2**16
_MAX_DEPTH = 2
_SUFFIXES = frozenset({*TABLES, ".xml"})
_NO_TABLE = re.compile(r"readme|licen[cs]e|requirements|submission|attribution|changelog|citation", re.IGNORECASE)


@dataclass
class TableFinder:
    """Looks for tables.

    Attributes:
        problems: Table to why it cannot be read; those that name images first.
        questions: Table to what is to be decided or corrected in it, for those that name and label half of the images.
        marks: Table to the sentence about several labels per image that it marks.
        naming: Whether the first of them names images.
        certain: Whether one of them tells that the images are labeled by it, whatever the folders are called.
    """

    config: DataConfig
    tree: FileTree
    index: FileIndex
    problems: dict[str, str] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    naming: bool = False
    certain: bool = False

    def __post_init__(self) -> None:
        self._sizes = dict[str, int]()
        self.places = Places(Path(self.tree.store), "", self.tree, self.index, split_of=split_in, outside=False)

    def groups(self) -> list[TableGroup]:
        """All groups of tables that name images and have labels, or whose images are in class folders."""
        found: dict[Key, list[Candidate]] = defaultdict(list)
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
                if isinstance(error, SeveralMarks):
                    self.marks[path] = str(error)
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
        return [group for tables in with_numbered(found) if (group := self._group(tables))]

    def _group(self, tables: list[Candidate]) -> TableGroup | None:
        """The group of some tables; None, and the problem noted, if they are none."""
        try:
            return make_group(tables, self.places, self.config)
        except TopworkError as error:
            alone = [table for table in tables if table.path == self.selected]
            if isinstance(error, OtherLabels) and alone:
                return self._group(alone)
            self.problems.setdefault(tables[0].path, str(error))
            if isinstance(error, OtherLabels):
                self.questions.setdefault(tables[0].path, str(error))
            return None

    def _makers(self) -> Iterator[tuple[str, Callable[[], Candidate | str]]]:
        """What may be a table, and what reads it."""
        for path, table in known_lists(self.tree, lambda name: read_bytes(self.tree.ref(name), _MAX_BYTES)):
            places = replace(self.places, base=path.rpartition("/")[0])
            yield path, partial(self._known, path, table, places)
        for path in self._files():
            yield path, partial(self._candidate, path)

    def _known(self, path: str, table: Table, places: Places) -> Candidate:
        return Candidate(path, list_rows(table, places, self.config), "", path)

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

    def _candidate(self, path: str) -> Candidate | str:
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
        refuse_run_lengths(table, self.config)
        try:
            column = find_path_column(table, places.find, self.config)
        except SeveralColumns:
            self._sizes[path] = len(read_labels(data, path, is_image).rows)
            raise
        except (MissingColumn, SeveralNames):
            raise
        except TopworkError:
            return self._of_folders(path, data, places) or self._several_files(table)
        texts = [text for text in map(cell_text, table.values(column, HEAD)) if text]
        if sum(map(is_image, texts)) < 0.1 * len(texts) or not texts:
            found = self._of_folders(path, data, places) or self._unresolved(path, column, texts)
            return found or self._several_files(table)
        if head is not data:
            table = read_labels(data, path, is_image)
        self._sizes[path] = len(table.rows)
        if len(table.columns) == 1 and not table.has_header and not self._have_class_folders(table, column, places):
            return ""  # a list of names
        listing = list_rows(table, places, self.config, labels_needed=False)
        if not listing.columns.one_hot and "label" not in listing.columns.roles:
            self._refuse_pairs(table, column, places)
        return Candidate(path, listing, split, key)

    def _of_folders(self, path: str, data: bytes, places: Places) -> Candidate | None:
        """A table with a row per folder of images; None if it is none."""
        table = with_images(read_labels(data, path), self.tree.top)
        if table is None:
            return None
        self._sizes[path] = len(table.rows)
        split, key = self._split_and_key(path)
        return Candidate(path, list_rows(table, replace(places, base=""), self.config, labels_needed=False), split, key)

    def _have_class_folders(self, table: Table, column: str, places: Places) -> bool:
        """Whether the images that a table names lie in several folders that may be classes."""
        found = (places.find(text).paths for text in table.texts(column)[:HEAD] if text)
        return len({places.folder_label(paths[0]) for paths in found if paths} - {""}) > 1

    def _refuse_pairs(self, table: Table, column: str, places: Places) -> None:
        """Raise if another column of a table without labels names other images."""
        own = {places.find(text).paths for text in table.texts(column)[:HEAD] if text}
        for name in table.columns:
            others = [places.find(text).paths for text in table.texts(name)[:HEAD] if text] if name != column else []
            if sum(map(bool, others)) >= 0.5 * len(own) > 1 and own.isdisjoint(filter(None, others)):
                raise SeveralColumns(
                    f"{table.name} names pairs of images, in the columns {column} and {name}, and has no column of "
                    "labels. topwork learns one label per image. Write a table with the columns path and label."
                )

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

    @property
    def selected(self) -> str:
        """The path in the tree of the table that ``--table`` names; empty if it names none."""
        table = self.config.table
        return Path(os.path.relpath(os.path.abspath(table), self.tree.store)).as_posix() if table else ""

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


def _beginning(stems: Sequence[str], text: str) -> Sequence[str]:
    """Those of sorted stems that begin with a text, followed by something else than a letter or a digit."""
    start = bisect_left(stems, text)
    found = takewhile(lambda stem: stem.startswith(text), islice(stems, start, start + 50))
    return [stem for stem in found if not stem[len(text) : len(text) + 1].isalnum()]


def _head(data: bytes) -> bytes:
    if len(data) <= _HEAD_BYTES:
        return data
    head = data[:_HEAD_BYTES]
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return head[: len(head) // 2 * 2] if wide else head[: head.rfind(b"\n") + 1] or head
