"""The content of the tables of the report. Pure functions of ``ReportData``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from topwork.evaluation.metrics import METRIC_NAMES
from topwork.report.report_data import PerClass, ReportData, Scores, StrategyData

MAX_MATRIX_CLASSES = 30
MAX_PAIRS = 15
MAX_HARDEST = 10


@dataclass(frozen=True)
class IntervalBar:
    """An interval drawn in a table cell; positions in percent of the cell's width."""

    left: float
    width: float
    dot: float


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix: images, share of its row in [0, 1], and whether it is on the diagonal."""

    images: int
    share: float
    correct: bool

    @property
    def shade(self) -> float:
        """Depth of the colour, in [0, 1]; the square root for mistakes, where small shares matter."""
        return self.share if self.correct else self.share**0.5


@dataclass(frozen=True)
class ConfusedPair:
    """A frequent mistake: ``images`` of ``support`` images of ``label`` were predicted as ``predicted``."""

    label: str
    predicted: str
    images: int
    support: int


@dataclass(frozen=True)
class ClassRow:
    """A class over all finished strategies: F1 by strategy, and number of test images."""

    name: str
    images: int
    f1: dict[str, float | None]


def metric_names(data: ReportData) -> dict[str, str]:
    """The metrics that at least one strategy has: key to column heading, in the order of the table."""
    found = {name for s in data.finished if s.test for name in s.test.metrics} - {"ece"}  # which has charts
    return {name: heading for name, heading in METRIC_NAMES.items() if name in found}


def bars(strategies: Sequence[StrategyData]) -> dict[str, IntervalBar]:
    """Accuracy intervals of all strategies on one scale, by strategy name."""
    spans = {}
    for s in strategies:
        if s.test and s.test.accuracy.value is not None:
            value, low, high = s.test.accuracy.value, s.test.accuracy.low, s.test.accuracy.high
            spans[s.name] = (value if low is None else low, value, value if high is None else high)
    if not spans:
        return {}
    start, end = min(low for low, _, _ in spans.values()), max(high for _, _, high in spans.values())
    scale = 94 / (end - start) if end > start else 0.0
    return {
        name: IntervalBar(3 + (low - start) * scale, (high - low) * scale, 3 + (value - start) * scale)
        for name, (low, value, high) in spans.items()
    }


def matrix(scores: Scores) -> list[list[Cell]]:
    """The confusion matrix with each cell's share of its row; empty if there are too many classes to read it."""
    if len(scores.confusion) > MAX_MATRIX_CLASSES:
        return []
    return [
        [Cell(images, images / sum(row) if sum(row) else 0.0, i == j) for j, images in enumerate(row)]
        for i, row in enumerate(scores.confusion)
    ]


def most_confused(scores: Scores, limit: int = MAX_PAIRS) -> list[ConfusedPair]:
    """The most frequent mistakes, most frequent first; ties in the order of the classes."""
    names = [row.name for row in scores.per_class]
    pairs = [
        ConfusedPair(names[i], names[j], images, sum(row))
        for i, row in enumerate(scores.confusion)
        for j, images in enumerate(row)
        if i != j and images
    ]
    return sorted(pairs, key=lambda pair: -pair.images)[:limit]


def class_rows(strategies: Sequence[StrategyData]) -> list[ClassRow]:
    """F1 of every class, strategies side by side, in the order of the class index."""
    tables: dict[str, dict[str, PerClass]] = {
        s.name: {row.name: row for row in s.test.per_class} for s in strategies if s.test
    }
    first = next(iter(tables.values()), {})
    return [
        ClassRow(
            row.name, row.images, {name: table[row.name].f1 for name, table in tables.items() if row.name in table}
        )
        for row in first.values()
    ]


def hardest(rows: Sequence[ClassRow], limit: int = MAX_HARDEST) -> list[ClassRow]:
    """The classes with images whose mean F1 over the strategies is lowest, lowest first."""
    known = [(row, [value for value in row.f1.values() if value is not None]) for row in rows if row.images]
    means = [(sum(values) / len(values), row) for row, values in known if values]
    return [row for _, row in sorted(means, key=lambda pair: pair[0])[:limit]]


def reasons(data: ReportData) -> list[tuple[str, int]]:
    """Why images were excluded, and how many for each reason, most frequent first."""
    return Counter(reason or "no reason given" for _, reason in data.data.excluded).most_common()
