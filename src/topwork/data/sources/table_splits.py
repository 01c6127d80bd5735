"""Splits in the columns of a table: one column that names them, or columns of yes and no such as ``is_valid``."""

from __future__ import annotations

from collections.abc import Sequence

from topwork.core.errors import DataError
from topwork.data.sources.label_column import LABEL_COLUMNS, short_name
from topwork.data.split_words import split_name, split_of
from topwork.data.tables import Table

SPLIT_COLUMNS = ("split", "part", "subset", "set", "partition", "dataset", "fold", "usage", "phase", "data_set")
_MAX_SPLITS = 12  # spellings of splits in one column
_FLAGS = {
    "istrain": "train", "istraining": "train", "istrainingimage": "train", "istest": "test", "isval": "val",
    "isvalid": "val", "isvalidation": "val",
}  # fmt: skip
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


def split_columns(table: Table, taken: set[str]) -> tuple[str, ...]:
    """The column whose cells are names of splits; one that is called ``split`` must be; or all those of yes and no."""
    flags = tuple(column for column in table.columns if column not in taken and _flag(table, column))
    if not any(_flag(table, column) == "train" for column in flags):  # a test may be one of a patient
        flags = tuple(column for column in flags if short_name(column) in _FLAGS)
    for column in table.columns:
        short = short_name(column)
        if column in taken or short in LABEL_COLUMNS or column in flags:
            continue
        texts = _texts(table, column)
        if (short == "split" and not _are_numbers(short, texts)) or (
            texts
            and len(texts) <= _MAX_SPLITS
            and texts == split_of(texts).keys()
            and (len(texts) > 1 or short in map(short_name, SPLIT_COLUMNS))
        ):
            return (column,)
        if _are_numbers(short, texts):
            return (column,)
    return flags


def splits_of_rows(table: Table, columns: Sequence[str]) -> Sequence[str]:
    """The split of each row, as it is written if one column names it; empty where there is none."""
    if not _flag(table, columns[0]):
        return table.texts(columns[0])
    marks = {_flag(table, column): table.texts(column) for column in columns}
    rest = "" if len(marks) > 1 and "train" in marks else "test" if "train" in marks else "train"
    found = []
    for number, (line, _) in enumerate(table.rows):
        splits = [split for split, texts in marks.items() if texts[number].lower() in _YES]
        if len(splits) > 1:
            raise DataError(
                f"{table.name}:{line} is in {len(splits)} splits by the columns {', '.join(columns)}. Mark one of them."
            )
        found.append(splits[0] if splits else rest)
    return found


def split_of_cells(table: Table, columns: Sequence[str]) -> dict[str, str]:
    """Each text of the split column that names a split, in lower case, and the split."""
    if _flag(table, columns[0]):
        return {split: split for split in ("train", "val", "test")}
    texts = _texts(table, columns[0])
    if _are_numbers(short_name(columns[0]), texts):
        return {"0": "train", "1": "val", "2": "test"}
    return split_of(texts)


def _texts(table: Table, column: str) -> set[str]:
    return {text.lower() for text in set(table.texts(column))} - {""}


def _flag(table: Table, column: str) -> str:
    """The split that a column of yes and no marks; ``train`` alone is one beside a column of labels."""
    short = short_name(column)
    split = _FLAGS.get(short) or split_name(short)
    if not split or (texts := _texts(table, column)) == set() or not texts <= {*_YES, *_NO}:
        return ""
    return split if short in _FLAGS or any(short_name(name) in LABEL_COLUMNS for name in table.columns) else ""


def _are_numbers(short: str, texts: set[str]) -> bool:
    """Whether a column numbers the splits, as CelebA and WILDS do."""
    return bool(texts) and (texts <= set("012") if short == "partition" else short == "split" and texts == set("012"))
