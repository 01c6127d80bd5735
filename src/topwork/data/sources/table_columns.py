"""What the columns of a table hold: paths, labels, splits, groups, boxes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from topwork.core.config import DataConfig
from topwork.core.errors import UsageError
from topwork.data.file_index import Found, Match
from topwork.data.sources.label_column import (
    GROUP_WORDS,
    HEAD,
    Find,
    LabelColumn,
    SeveralColumns,
    SeveralNames,
    command_with,
    explicit_column,
    find_label,
    is_condition,
    short_name,
    words_of,
)
from topwork.data.sources.table_splits import split_columns
from topwork.data.tables import Table, cell_text, has_image_suffix

PATH_COLUMNS = (
    "path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img", "image_id",
    "image_name", "img_path", "id_code", "id", "name",
)  # fmt: skip
BOX_COLUMNS = ("box", "bbox")
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("roix1", "roiy1", "roix2", "roiy2"))
_IF_CLASSES = "If each column is a class, write a table with the columns path and label and one row per image."
_LISTED = re.compile(r"\s*[;|,\n]\s*")
_MASKS = re.compile(r"mask|seg|annot|ground.?truth|depth|thumb", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """What the columns of a table hold.

    Attributes:
        roles: path, label, split, group, weight to their columns.
        one_hot: Columns of 0 and 1, one for each class, in place of a label.
        corners: Columns of the left, top, right and bottom side of a box.
        splits: The column that names the splits, or those that mark them with yes and no.
        remarks: What was decided, one sentence each.
        strength: 2: the labels are called so, or are one-hot; 1: a word of the column's name says so; 0: they repeat.
    """

    roles: dict[str, str]
    one_hot: tuple[str, ...] = ()
    corners: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    strength: int = 2

    @property
    def has_boxes(self) -> bool:
        """Whether rows have boxes."""
        return bool(self.corners) or "box" in self.roles


def find_columns(table: Table, find: Find, config: DataConfig, folder_of: Callable[[str], str]) -> Columns:
    """The columns that are used.

    Args:
        table: All rows.
        find: The images that a cell may mean.
        config: Columns that are named, groups and boxes.
        folder_of: A path to the folder name that may be its label.

    Raises:
        UsageError: Several columns may hold the path or the label, or none does: the message has the commands.
        DataError: The labels are numbers that measure something, or several per image.
    """
    path = find_path_column(table, find, config)
    roles = {"path": path} | dict(table.roles)
    named = {short_name(name): name for name in reversed(table.columns)}
    group = named.get(short_name(config.group_by)) if config.group_by else named.get("group")
    roles |= {"group": group} if group else {}
    roles |= {"weight": named["weight"]} if "weight" in named else {}
    boxes = box_columns(table, roles)
    roles, corners = boxes.roles, boxes.corners
    splits = (roles["split"],) if "split" in roles else split_columns(table, set(roles.values()))
    if "label" in roles:
        return Columns(roles, (), corners, splits)
    taken = {*roles.values(), *corners, *splits}
    if group and not config.group_by and is_condition(table, group):
        taken -= {group}
    label, one_hot, remark, strength = find_label(table, taken, path, find, config, folder_of)
    if label and label == group:
        del roles["group"]
    roles |= {"label": label} if label else {}
    remarks = [remark] if remark else []
    if not config.group_by and "group" not in roles:
        remarks += [_group_remark(table, taken | {label, *one_hot})]
    return Columns(roles, one_hot, corners, splits, tuple(filter(None, remarks)), strength)


def box_columns(table: Table, roles: dict[str, str]) -> Columns:
    """These columns and those of boxes."""
    named = {short_name(name): name for name in reversed(table.columns)}
    corners = next((tuple(named[n] for n in names) for names in _CORNERS if all(n in named for n in names)), ())
    box = next((named[name] for name in BOX_COLUMNS if name in named), "")
    return Columns({"box": box} | roles if box and not corners else roles, (), corners)


@dataclass(frozen=True)
class _PathColumn:
    """A column that may hold paths, and what its cells mean."""

    name: str
    found: tuple[Found, ...]
    suffixes: bool
    rank: int

    @property
    def hits(self) -> list[Found]:
        return [found for found in self.found if found.paths]

    @property
    def key(self) -> tuple[float, ...]:
        """What speaks for it, in order of weight."""
        worst = max((hit.match for hit in self.hits), default=Match.NUMBER)
        share = round(len(self.hits) / len(self.found), 1)
        return share, self.suffixes, -worst, not _MASKS.search(self.name), -self.rank

    def is_able(self, table: Table) -> bool:
        """Whether it names images, and is no number or label that is also the name of a file."""
        hits, count = self.hits, len(self.found)
        if self.suffixes or len(hits) < 0.5 * count:
            return self.suffixes
        numbers = [hit for hit in hits if hit.match == Match.NUMBER]
        if any(len(hit.paths) > 1 for hit in numbers) or (len(numbers) == len(hits) and not _is_id(self.name, table)):
            return False
        weak = sum(hit.match >= Match.STEM for hit in hits) > 0.5 * len(hits)
        return not weak or (2 * len({hit.paths for hit in hits}) >= len(hits) >= 0.8 * count)


def find_path_column(table: Table, find: Find, config: DataConfig) -> str:
    """The column whose cells name images: files of the tree, else names with the suffix of an image, else by its name.

    Raises:
        UsageError: There is none, or there are several: the message has the commands.
    """
    if config.path_column:
        return explicit_column(table, config.path_column, "--path-column")
    if "path" in table.roles:
        return table.roles["path"]
    names = [short_name(name) for name in PATH_COLUMNS]
    able = []
    for column in table.columns:
        texts = [text for text in map(cell_text, table.values(column, HEAD if len(table.columns) < 50 else 10)) if text]
        rank = names.index(short_name(column)) if short_name(column) in names else len(names)
        suffixes = 2 * sum(map(has_image_suffix, texts)) >= len(texts)
        several = [text for text in texts if _names_several(text)]
        if 2 * len(several) > len(texts):
            raise SeveralNames(
                f"{table.name} names several images in a cell of column {column}, such as {several[0][:80]!r}. Write "
                "one row per image."
            )
        candidate = _PathColumn(column, tuple(map(find, texts)), suffixes, rank)
        if texts and candidate.is_able(table):
            able.append(candidate)
    able.sort(key=lambda column: column.key, reverse=True)
    if able:
        rivals = [other for other in able if other.key[:4] == able[0].key[:4] and other.found != able[0].found]
        if rivals and able[0].hits and able[0].rank == len(names):
            ways = (command_with(config, "--path-column", column.name) for column in (able[0], *rivals))
            raise SeveralColumns(
                f"{table.name} names images in {len(rivals) + 1} columns. Run the command for the right one:\n  "
                + "\n  ".join(ways)
                + (f"\n  {_IF_CLASSES}" if len(able) == len(table.columns) else "")
            )
        return able[0].name
    named = {short_name(column): column for column in reversed(table.columns)}
    if table.rows and (column := next((named[name] for name in names if name in named), None)):
        return column
    columns = ", ".join(table.columns[:20])
    first = ", ".join(cell_text(cell) for cell in (table.rows[0][1] if table.rows else ())[:5])[:120]
    command = command_with(config, "--path-column", table.columns[0] if table.columns else "path")
    raise UsageError(
        f"No column of {table.name} holds names of images. Its columns are {columns} (first row: {first}). Each row "
        f"needs the path or the name of an image file. If there is such a column, name it: {command}"
    )


def _names_several(text: str) -> bool:
    parts = list(filter(None, _LISTED.split(text)))
    return len(parts) > 1 and all(map(has_image_suffix, parts))


def _is_id(column: str, table: Table) -> bool:
    return not table.has_header or bool(
        ({"id", "image", "img", "file", "name", "number", "nr", "no", "index"} | GROUP_WORDS) & set(words_of(column))
    )


def _group_remark(table: Table, taken: set[str]) -> str:
    for name in table.columns:
        column = LabelColumn(name, table.texts(name))
        if name not in taken and column.words & GROUP_WORDS and 1 < len(column.distinct) < len(column.filled):
            option = f"--group-by {shlex.quote(name)}"
            return f"Column {name} may name groups of images. Keep each group in one split with {option}."
    return ""
