"""Which column of a table holds the labels: found out from its cells; names of columns only decide between equals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from topwork.core.commands import data_command
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.data.file_index import Found
from topwork.data.tables import Table, cell_text, has_image_suffix

LABEL_COLUMNS = (
    "label", "class", "category", "target", "classname", "labels", "classid", "dx", "diagnosis", "breed", "species",
    "choice", "lbl", "cls", "labelname", "classlabel", "categoryname", "y", "klasse",
)  # fmt: skip
_LABEL_WORDS = {
    "label", "labels", "class", "classes", "category", "target", "diagnosis", "breed", "species", "type", "disease",
}  # fmt: skip
NAME_WORDS = _LABEL_WORDS | {"name", "names", "text", "title", "description", "scientific", "common", "word", "words"}
GROUP_WORDS = {
    "patient", "patients", "lesion", "subject", "case", "person", "individual", "study", "series", "session",
    "sequence", "slide", "site", "location", "burst", "video", "user", "writer", "volunteer", "photographer",
    "hospital",
}  # fmt: skip
# What describes an image, and is no class of it; what measures it is none if it is a number.
_DESCRIPTIONS = {
    "time", "timestamp", "date", "created", "updated", "annotator", "index", "no", "url", "comment", "notes", "license",
    "source", "author", "group", "roi",
}  # fmt: skip
_MEASURES = {
    "width", "height", "depth", "size", "area", "angle", "age", "lat", "lon", "latitude", "longitude", "year", "weight",
    "x", "y", "w", "h", "xmin", "ymin", "xmax", "ymax", "x1", "y1", "x2", "y2", "confidence", "score",
}  # fmt: skip
_NO_LABELS = ("split", "partition", "fold", "subset", "usage", "phase")
_TRUTH = {"true": "1", "false": "0", "x": "1"}
_FLAGS = {"true", "false", "yes", "no", "0", "1", "0.0", "1.0", "y", "n", "m", "f", "male", "female"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
HEAD = 300  # rows from which the column of paths is found
_MAX_CONDITIONS = 10
_MAX_LABEL = 60  # characters; longer cells are descriptions

Find = Callable[[str], Found]


class SeveralColumns(UsageError):
    """Several columns of a table may hold the path or the label."""


class MissingColumn(UsageError):
    """A table has no column of the name that a setting gives."""


class SeveralNames(UsageError):
    """A cell names several images."""


class SeveralMarks(DataError):
    """Several columns mark several labels per image."""


class Measured(DataError):
    """The numbers of a column measure something."""


@dataclass
class LabelColumn:
    """A column that may hold labels."""

    name: str
    texts: Sequence[str]
    rank: int = 0

    @cached_property
    def filled(self) -> list[str]:
        """The cells that are not empty."""
        return list(filter(None, self.texts))

    @cached_property
    def distinct(self) -> set[str]:
        """The different ones."""
        return set(self.filled)

    @cached_property
    def numbers(self) -> list[float]:
        """All values as numbers; empty if one is none."""
        return _numbers(self.distinct)

    @property
    def is_measure(self) -> bool:
        """Whether these are numbers that do not repeat, or fractions: the target of a regression."""
        if not self.numbers:
            return False
        fractions = any(not number.is_integer() for number in self.numbers)
        return len(self.distinct) > 2 * (len(self.filled) ** 0.5) + 2 if fractions else (
            len(self.distinct) > len(self.filled) / 2 and len(self.filled) > 20
        )  # fmt: skip

    @cached_property
    def words(self) -> set[str]:
        """The words of its name."""
        return set(words_of(self.name))


def words_of(name: str) -> list[str]:
    """The words of a column's name: of ``ClassId``, ``class_id`` and ``class id`` the same ones."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+(?![a-z])\d*|[^\W\d_]+\d*|\d+", name)]


def short_name(name: str) -> str:
    """A column's name without case and separators."""
    return re.sub(r"[\W_]+", "", name.lower())


def command_with(config: DataConfig, flag: str, column: str) -> str:
    """The command that names a column."""
    return data_command(config, config.path, [flag, column])


def explicit_column(table: Table, column: str, flag: str) -> str:
    """The column that a setting names, in any case; a UsageError that lists the columns if there is none."""
    found = {name.lower(): name for name in table.columns} | {name: name for name in table.columns}
    if column.strip() in found or column.strip().lower() in found:
        return found.get(column.strip()) or found[column.strip().lower()]
    names = ", ".join(table.columns[:20]) + (", ..." if len(table.columns) > 20 else "")
    header = "" if table.has_header else " (numbers, since it has no header)"
    raise MissingColumn(
        f"{flag} {column!r} is not a column of {table.name}. Its columns are {names}{header}. Pass one of them."
    )


def find_label(
    table: Table, taken: set[str], path: str, find: Find, config: DataConfig, folder_of: Callable[[str], str]
) -> tuple[str, tuple[str, ...], str, int]:
    """The label column or the columns of a one-hot code, a remark, and how sure it is; empty if there are no labels.

    Args:
        table: All rows.
        taken: Columns that hold something else.
        path: The column of paths.
        find: The images that a cell may mean.
        config: A column that is named.
        folder_of: A path to the folder name that may be its label.

    Raises:
        UsageError: Several columns may hold the label: the message has the commands.
        DataError: The labels are numbers that measure something, or several per image.
    """
    if config.label_column:
        name = explicit_column(table, config.label_column, "--label-column")
        column = LabelColumn(name, table.texts(name))
        _refuse_measure(table, column)
        return column.name, (), "", 2
    columns = [LabelColumn(name, table.texts(name)) for name in table.columns if name not in taken]
    for column in columns:
        column.rank = _rank(column, table, path)
    one_hot = [column for column in columns if _is_binary(column)]
    one_hot = one_hot if len(one_hot) > 1 else [column for column in columns if _is_ticked(column)]
    able = [column for column in columns if _may_be_label(column, find)]
    answers = [column for column in able if column.name in table.answers]
    if len(answers) > 1:
        return _one_of(table, answers, able, path, find, config, folder_of)
    first = [column for column in able if column.rank == 2]
    first = [column for column in first if column.filled] or first
    if any(len(column.distinct) > 1 for column in able if column.rank > 0):
        first = [column for column in first if len(column.distinct) > 1]
    if len(one_hot) > 1 and not first:
        counts = _ones(one_hot)
        classes = sum(1.0 in column.numbers for column in one_hot)
        others = [column for column in able if column not in one_hot]
        is_code = classes > 1 and (len(one_hot) > 2 or not others)  # of two columns, one says all: male, female
        if is_code and max(counts) == 1 and counts.count(1) >= 0.9 * len(counts):
            return "", tuple(column.name for column in one_hot), "", 2
    chosen = first or [column for column in able if column.rank == 1] or able
    if not first:
        _refuse_marks(table, one_hot, config)
    if not any(column.rank > 0 for column in chosen):
        _refuse_marks(table, [column for column in columns if _is_mark(column)], config)
    for column in sorted(columns, key=lambda column: -column.rank):
        if not first and column.name and (column.rank >= 1 or not chosen):
            _refuse_measure(table, column)
        if not first and chosen and column.rank == 0 and all(map(_is_flag, chosen)):
            command = command_with(config, "--label-column", chosen[0].name)
            _refuse_measure(table, column, f" If the label is in column {chosen[0].name}, run: {command}")
    if not chosen:
        return "", (), "", 0
    return _one_of(table, chosen, able, path, find, config, folder_of)


def _one_of(
    table: Table, chosen: list[LabelColumn], able: list[LabelColumn], path: str, find: Find, config: DataConfig,
    folder_of: Callable[[str], str],
) -> tuple[str, tuple[str, ...], str, int]:  # fmt: skip
    """The one of several columns that says what the images show."""
    groups: list[list[LabelColumn]] = []
    for column in chosen:
        same = next((group for group in groups if _same_partition(group[0], column)), None)
        groups.append([column]) if same is None else same.append(column)
    if len(groups) > 1:
        folders = [folder_of(found.paths[0]) if (found := find(text)).paths else "" for text in table.texts(path)]
        named = LabelColumn("", folders)
        by_folder = [group for group in groups if any(column.texts == named.texts for column in group)]
        groups = by_folder or groups
    if len(groups) > 1:
        commands = [command_with(config, "--label-column", group[0].name) for group in groups]
        ways = "".join(
            f"\n  {group[0].name} ({_examples(group[0])}):\n     {line}"
            for group, line in zip(groups, commands, strict=True)
        )
        raise SeveralColumns(
            f"{len(groups)} columns of {table.name} may be the label. Run the command for the right one:{ways}"
        )
    label = max(groups[0], key=lambda column: column.rank)
    if label.numbers:  # a name for each number
        names = [c for c in able if not c.numbers and c.words & NAME_WORDS and _same_partition(c, label)]
        label = names[0] if names else label
    others = [c.name for c in able if c.rank == label.rank == 0 and c is not label]
    remark = f"Other columns may be labels, too: {', '.join(others)}. Select one with --label-column." if others else ""
    return label.name, (), remark, chosen[0].rank


def _rank(column: LabelColumn, table: Table, path: str) -> int:
    """2: it is called like a label; 1: one of its words is; 0: it is not; -1: it is called like a measure."""
    names = {short_name(name) for name in LABEL_COLUMNS}
    if not table.has_header:
        return 2 if column.name == _unnamed_label(table, path) else 0
    if short_name(column.name) in names and not (short_name(column.name) == "y" and _has_x(table)):
        return 2
    if column.words & _LABEL_WORDS:
        return 1
    if short_name(column.name) in _NO_LABELS:
        return -1
    if not column.name or (column.words & (_DESCRIPTIONS | GROUP_WORDS) and not is_condition(table, column.name)):
        return -1
    return -1 if column.words & _MEASURES and column.numbers else 0


def is_condition(table: Table, name: str) -> bool:
    """Whether a column called group has few values: treated and control, rather than images that belong together."""
    if short_name(name) != "group":
        return False
    column = LabelColumn(name, table.texts(name))
    return 1 < len(column.distinct) <= _MAX_CONDITIONS and 3 * len(column.distinct) <= len(column.filled)


def _has_x(table: Table) -> bool:
    return any("x" in words_of(name) for name in table.columns)


def _unnamed_label(table: Table, path: str) -> str:
    """The column beside the path in a table without a header; the last one if there is a box or the like between."""
    place = table.columns.index(path)
    after = [name for name in table.columns[place + 1 :] if any(table.values(name, HEAD))]
    numbers = [bool(_numbers({text for text in map(cell_text, table.values(name, HEAD)) if text})) for name in after]
    if len(after) > 4 and all(numbers[:4]):
        return after[-1]
    return after[0] if after else table.columns[place - 1]


def _may_be_label(column: LabelColumn, find: Find) -> bool:
    """Whether cells repeat as labels do, and are no numbers that measure, dates, images or descriptions."""
    count, distinct = len(column.filled), len(column.distinct)
    if not count or column.rank < 0 or column.is_measure:
        return column.rank == 2 and not count
    if column.rank < 2 and (distinct < 2 or (distinct > count / 2 and not (count <= 4 and column.rank))):
        return False
    if column.rank < 1 and column.numbers and any(not number.is_integer() for number in column.numbers):
        return False
    if column.rank == 2 and 2 * distinct <= count:  # however long
        return True
    some = sorted(column.distinct)[:50]
    if any(_DATE.match(text) for text in some) or sum(map(len, some)) > _MAX_LABEL * len(some):
        return False
    return not all(has_image_suffix(text) for text in some)


def _is_binary(column: LabelColumn) -> bool:
    return (
        bool(column.numbers)
        and (set(column.numbers) <= {0.0, 1.0} or set(column.numbers) <= {-1.0, 1.0})
        and len(column.filled) == len(column.texts)
    )


def _is_ticked(column: LabelColumn) -> bool:
    """Whether each cell is empty, or has an x or a 1."""
    return column.numbers == [1.0] and column.rank >= 0 and len(column.filled) < len(column.texts)


def _is_mark(column: LabelColumn) -> bool:
    """Whether it says yes, no, maybe or nothing of each image."""
    return 1.0 in column.numbers and set(column.numbers) <= {-1.0, 0.0, 1.0}


def _refuse_marks(table: Table, columns: Sequence[LabelColumn], config: DataConfig) -> None:
    """Raise if several of at least three columns are 1 in one row."""
    if len(columns) < 3 or max(counts := _ones(columns)) < 2:
        return
    line = table.rows[next(i for i, count in enumerate(counts) if count > 1)][0]
    names = ", ".join(column.name for column in columns[:8]) + (", ..." if len(columns) > 8 else "")
    raise SeveralMarks(
        f"{table.name}: the columns {names} mark several labels per image, first in line {line}. topwork learns one "
        f"label per image. To train on one of the columns as yes or no, run: "
        f"{command_with(config, '--label-column', columns[0].name)}"
    )


def _ones(columns: Sequence[LabelColumn]) -> list[int]:
    """How many of the columns are 1 in each row."""
    counts = [0] * len(columns[0].texts)
    for column in columns:
        ones = texts_of_one(column.distinct)
        counts = [count + (text in ones) for count, text in zip(counts, column.texts, strict=True)]
    return counts


def texts_of_one(texts: Iterable[str]) -> set[str]:
    """Those of the texts of a column of 0 and 1 that mean 1."""
    return {text for text in texts if float(_TRUTH.get(text.lower(), text or "0")) == 1}


def _numbers(texts: Iterable[str]) -> list[float]:
    try:
        numbers = [float(_TRUTH.get(text.lower(), text)) for text in texts]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _same_partition(one: LabelColumn, other: LabelColumn) -> bool:
    pairs = len(set(zip(one.texts, other.texts, strict=True)))
    return pairs == len(set(one.texts)) == len(set(other.texts))


def _examples(column: LabelColumn) -> str:
    names = sorted(column.distinct)
    return f"{len(names)} values: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _is_flag(column: LabelColumn) -> bool:
    """Whether it says yes or no, or the sex of somebody, which other columns may be more important than."""
    return column.rank == 0 and {text.lower() for text in column.distinct} <= _FLAGS


def _refuse_measure(table: Table, column: LabelColumn, more: str = "") -> None:
    if column.is_measure:
        raise Measured(
            f"Column {column.name!r} of {table.name} has {len(column.distinct)} different numbers for "
            f"{len(column.filled)} images: this looks like the target of a regression, but topwork classifies. Add a "
            f"column with a class for each range of numbers, and pass its name with --label-column.{more}"
        )
