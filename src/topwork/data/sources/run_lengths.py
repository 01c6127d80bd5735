"""Tables that hold masks as run lengths, as competitions for segmentation write them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.data.sources.label_column import HEAD, LABEL_COLUMNS, command_with, short_name, words_of
from topwork.data.tables import Table, cell_text

_WORDS = {"encoded", "encoding", "rle", "mask", "masks", "run", "runs", "segmentation", "annotation"}
_MANY = 20  # numbers in a cell; run lengths are as long as no list of labels


class RunLengths(DataError):
    """A table of a data set for segmentation."""


def refuse_run_lengths(table: Table, config: DataConfig) -> None:
    """Raise if a column has masks as run lengths and no setting names the column of the labels."""
    if config.label_column:
        return
    for name in table.columns:
        texts = [text for text in map(cell_text, table.values(name, HEAD)) if text]
        if texts and (_WORDS & set(words_of(name)) or all(text.count(" ") >= _MANY for text in texts)):
            if not all(map(_are_runs, texts)):
                continue
            labels = [column for column in table.columns if short_name(column) in LABEL_COLUMNS and column != name]
            found = labels[0] if labels else ""
            command = f" To learn column {found}, run: {command_with(config, '--label-column', found)}"
            raise RunLengths(
                f"{table.name} has masks as run lengths in column {name!r}: it is a data set for segmentation. topwork "
                f"learns one label per image.{command if found else ''}"
            )


def _are_runs(text: str) -> bool:
    """Whether a text has pairs of start and length, each after the one before."""
    words = text.split()
    if len(words) % 2 or not all(word.isdecimal() for word in words):
        return text in ("-1", "nan")
    numbers = list(map(int, words))
    return _is_ascending(list(zip(numbers[::2], numbers[1::2], strict=True)))


def _is_ascending(runs: Sequence[tuple[int, int]]) -> bool:
    return all(start + length <= after for (start, length), (after, _) in pairwise(runs))
