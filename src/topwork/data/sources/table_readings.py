"""The readings of a folder by tables that lie in it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from topwork.core import commands
from topwork.core.artifacts import Manifest
from topwork.data.file_index import FileIndex
from topwork.data.file_tree import FileTree, join, reason_ignored
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence, Reading, Refused
from topwork.data.sources.table_finder import TableFinder
from topwork.data.sources.table_groups import NUMBER, TableGroup
from topwork.data.sources.table_of_folders import IMAGE
from topwork.data.sources.table_places import Entry, Places
from topwork.data.split_words import are_parts, split_in, split_name

_PART = re.compile(r"(part|batch|fold|chunk|volume|shard|folder)[ _-]?\d+$", re.IGNORECASE)
_FEW = 0.2  # of the images that the largest group names; a smaller group is something else


def readings_of_tree(data: DataArgument, tree: FileTree) -> Iterator[Reading | Refused]:
    """The readings by tables that lie in a folder or an archive."""
    index = FileIndex(tree.top.image_paths())
    if not len(index):
        return
    finder = TableFinder(data.config, tree, index)
    groups = finder.groups()
    selected = finder.selected
    if selected:
        groups = [group for group in groups if any(table.path == selected for table in group.tables)]
        if not groups:
            yield Refused(
                finder.problems.get(selected)
                or f"{selected} names no image in {data.path}. Write the file names into it, or omit --table.",
                Evidence.CERTAIN,
            )
            return
    groups = _essential(groups)
    folders = (f"{folder.path}/" for folder in tree.top.walk() if folder.images)
    labels = {label for label in map(finder.places.folder_label, folders) if label}
    flat = len(labels) < 2 or are_parts(labels)
    listed = {row.name for group in groups for row in group.rows.values()}
    rest = () if flat else (finder.places.folder_label(path) for path in index.paths if path not in listed)
    counts = Counter(filter(None, rest))
    unlisted = counts.total() if len(counts) > 1 else 0
    for group in groups:
        if finder.marks and not selected and _has_plain_numbers(group):
            command = commands.data_command(data.config, data.path, _table_option(data, group))
            marks = next(iter(finder.marks.values()))
            yield Refused(f"{marks}\n  To learn the numbers in {group.name} instead, run: {command}", Evidence.CERTAIN)
        yield _reading(data, tree, index, finder.places, group, len(groups), flat, unlisted)
    if not groups and not flat and finder.questions:
        found = next(iter(finder.questions.values()))
        command = commands.data_command(data.config, data.path, ["--source", "folder"])
        yield Refused(f"{found}\n  To take the labels from the folders instead, run: {command}", Evidence.CERTAIN)
    elif not groups and (flat or finder.certain or data.is_explicit("table")) and finder.problems:
        found = next(iter(finder.problems.values()))
        yield Refused(found, Evidence.CERTAIN if finder.naming else Evidence.POSSIBLE)


def _essential(groups: list[TableGroup]) -> list[TableGroup]:
    """Without groups that name few of the images, that say the same as another, or whose labels are only guessed."""
    groups = sorted(groups, key=lambda group: -len(group.rows))
    groups = [group for group in groups if len(group.rows) >= _FEW * len(groups[0].rows)]
    best = max((_strength(group) for group in groups), default=0)
    groups = [group for group in groups if _strength(group) >= min(best, 1)]
    kept: list[TableGroup] = []
    # Those with splits first
    for group in sorted(groups, key=lambda group: -len({row.split for row in group.rows.values()})):
        same = next((other for other in kept if _says_no_more(group, other)), None)
        if same is None:
            kept.append(group)
        elif any(
            row.split and same.rows[name].split != row.split for name, row in group.rows.items() if name in same.rows
        ):
            same.unlisted += tuple(table.path for table in group.tables)
    return kept


def _strength(group: TableGroup) -> int:
    return 2 if group.names_from else max(table.strength for table in group.tables)


def _says_no_more(group: TableGroup, other: TableGroup) -> bool:
    """Whether another group gives nearly all images of a group the same labels, or they are those of its numbers."""
    labels, others = group.labels, other.labels
    common = labels.keys() & others.keys()
    if len(common) < 0.9 * len(labels):
        return False
    pairs = {(labels[name], others[name]) for name in common}
    same = all(one == two for one, two in pairs)
    numbers = all(NUMBER.fullmatch(one) for one, _ in pairs)
    return same or (numbers and len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}))


def _reading(
    data: DataArgument,
    tree: FileTree,
    index: FileIndex,
    places: Places,
    group: TableGroup,
    count: int,
    flat: bool,
    unlisted: int,
) -> Reading:
    """The reading by one of ``count`` groups of tables; ``unlisted`` images in class folders are in none of them."""
    added = _from_class_folders(index, places, group)
    rows = group.rows | {row.id: row for row in added}
    named = {row.name for row in rows.values()}
    folders = {name.rpartition("/")[0] for name in named}
    beside = sum(len(tree.folders[folder].images) for folder in folders if folder in tree.folders)
    labels = {row.label for row in rows.values()}
    resolved = sum(table.listing.named for table in group.tables) / max(
        sum(len(table.listing.table.rows) for table in group.tables), 1
    )
    strong = (
        (resolved >= 0.9 or len(named) >= 0.9 * len(index)) and (len(named) >= 0.9 * beside or flat) and len(labels) > 1
    )
    strong &= unlisted <= len(named)
    evidence = Evidence.CERTAIN if strong else Evidence.POSSIBLE
    if all(IMAGE in table.listing.table.columns for table in group.tables):
        unsure = any(row.group for row in rows.values()) and not flat and _strength(group) < 1
        evidence = Evidence.POSSIBLE if unsure else Evidence.LIKELY
    elif not flat and _contradicts(rows.values(), places):
        split = any(split_in(part) or split_name(part) for folder in folders for part in folder.split("/"))
        evidence = Evidence.LIKELY if split else Evidence.POSSIBLE
    words = [data.path, *_table_option(data, group)] if count > 1 or not flat else [data.path, "--source", "table"]
    how = group.how + (f"; class folders in {_tops(added)}" if added else "")
    return Reading(how, evidence, words, lambda: _manifest(tree, places, group, rows))


def _table_option(data: DataArgument, group: TableGroup) -> list[str]:
    return ["--table", os.path.join(data.path, group.tables[0].path)]


def _has_plain_numbers(group: TableGroup) -> bool:
    """Whether the labels are numbers of a list without a header, which may be classes, people or anything."""
    header = any(table.listing.table.has_header or table.listing.table.roles for table in group.tables)
    return not header and not group.names_from and all(map(NUMBER.fullmatch, group.labels.values()))


def _contradicts(rows: Iterable[Entry], places: Places) -> bool:
    """Whether class folders with names divide the images in another way."""
    pairs = {
        (label, folder)
        for label, path in {(row.label, row.name.rpartition("/")[0]) for row in rows}
        if (folder := places.folder_label(f"{path}/")) and not _PART.search(folder)
    }
    folders = {folder for _, folder in pairs}
    if {label for label, _ in pairs} == folders and any(label != folder for label, folder in pairs):  # exchanged
        return True
    stems = {re.sub(r"[\W_\d]+", "", folder).lower() for folder in folders}
    if len(stems) == 1 and not stems <= {"", "n", "c", "class", "label", "category"}:  # camera1, camera2
        return False
    return len(folders) > 1 and not len(pairs) == len({label for label, _ in pairs}) == len(folders)


def _tops(rows: Sequence[Entry]) -> str:
    found = {row.name.rpartition("/")[0].rpartition("/")[0]: row.split for row in rows}
    return " and ".join(f"{top}/ ({split})" if split else f"{top}/" for top, split in list(found.items())[:3])


def _from_class_folders(index: FileIndex, places: Places, group: TableGroup) -> list[Entry]:
    """The images of other splits that lie in class folders with the labels of the tables, as ImageNet has them."""
    named = {row.name for row in group.rows.values()}
    folders = {name.rpartition("/")[0] for name in named}
    splits = set(map(split_in, folders))
    if any(places.folder_label(f"{folder}/") for folder in folders) or splits == {""}:
        return []
    rest = [path for path in index.paths if path not in named and places.folder_label(path)]
    rest = [path for path in rest if (split := _split_of_path(path)) and split not in splits]
    classes = {places.folder_label(path) for path in rest}
    labels = {row.label for row in group.rows.values()}
    if not labels <= classes:
        numbers = {str(int(name)): name for name in classes if name.isdecimal()}
        if not labels <= numbers.keys():
            return []
        group.rows = {name: row._replace(label=numbers[row.label]) for name, row in group.rows.items()}
    given = next(iter(splits - {""}))
    group.rows = {name: row._replace(split=row.split or given) for name, row in group.rows.items()}
    return [Entry(path, path, places.folder_label(path), _split_of_path(path)) for path in rest]


def _split_of_path(path: str) -> str:
    return next(filter(None, map(split_in, path.split("/")[:-1])), "")


def _manifest(tree: FileTree, places: Places, group: TableGroup, entries: dict[str, Entry]) -> Manifest:
    named = {entry.name for entry in entries.values()}
    tables = ", ".join(table.path for table in group.tables)
    ignored = dict(tree.ignored)
    for table in group.tables:
        ignored |= table.listing.ignored
    ignored |= {path: f"not in {tables}" for path in places.index.paths if path not in named}
    read = {table.path for table in group.tables}
    for folder in tree.top.walk():
        for name in folder.files:
            if join(folder.path, name) not in read:
                ignored[join(folder.path, name)] = reason_ignored(name)
    remarks = tuple(dict.fromkeys(remark for table in group.tables for remark in table.listing.remarks))
    if group.unlisted:
        remarks += (
            f"Not read: {', '.join(group.unlisted[:6])}{', ...' if len(group.unlisted) > 6 else ''}, which have other "
            "splits of the same images. Select one with --table.",
        )
    root = Path(tree.store)
    return Manifest(
        root, tuple(map(places.row, entries.values())), root.resolve().name or "data", ignored, remarks=remarks
    )
