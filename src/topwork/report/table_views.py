"""The content of the tables of the report. Pure functions of ``ReportData``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from topwork.evaluation import target_metric
from topwork.evaluation.metrics import METRIC_NAMES
from topwork.report.report_data import ReportData, Scores, StrategyData

MAX_PAIRS = 15
MAX_HARDEST = 10


@dataclass(frozen=True)
class IntervalBar:
    """An interval drawn in a table cell; positions in percent of the cell's width."""

    left: float
    width: float
    dot: float


@dataclass(frozen=True)
class ClassRow:
    """A class over all finished strategies: F1 by strategy, and number of test images."""

    name: str
    images: int
    f1: dict[str, float | None]


def metric_names(data: ReportData) -> dict[str, str]:
    """The metrics that at least one strategy has: key to column heading; the one that decides is first."""
    found = {name for s in data.finished if s.test for name in s.test.metrics} - {"ece"}  # which has charts
    first = target_metric.key(data.metric)
    return {name: METRIC_NAMES[name] for name in (first, *(n for n in METRIC_NAMES if n != first)) if name in found}


def bars(strategies: Sequence[StrategyData], metric: str = "accuracy") -> dict[str, IntervalBar]:
    """Intervals of the metric that decides, of all strategies on one scale, by strategy name."""
    spans = {}
    for s in strategies:
        found = s.test.metrics.get(target_metric.key(metric)) if s.test else None
        if found and found.value is not None:
            value, low, high = found.value, found.low, found.high
            spans[s.name] = (value if low is None else low, value, value if high is None else high)
    if not spans:
        return {}
    start, end = min(low for low, _, _ in spans.values()), max(high for _, _, high in spans.values())
    scale = 94 / (end - start) if end > start else 0.0
    return {
        name: IntervalBar(3 + (low - start) * scale, (high - low) * scale, 3 + (value - start) * scale)
        for name, (low, value, high) in spans.items()
    }


def most_confused(scores: Scores) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes, most frequent first: class, predicted class, images, and images of the class."""
    names = [row.name for row in scores.per_class]
    pairs = [
        (names[i], names[j], images, sum(row))
        for i, row in enumerate(scores.confusion)
        for j, images in enumerate(row)
        if i != j and images
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:MAX_PAIRS]


def class_rows(strategies: Sequence[StrategyData]) -> list[ClassRow]:
    """F1 of every class, strategies side by side, in the order of the class index."""
    rows: dict[str, ClassRow] = {}
    for s in strategies:
        for c in s.test.per_class if s.test else ():
            rows.setdefault(c.name, ClassRow(c.name, c.images, {})).f1[s.name] = c.f1
    return list(rows.values())


def hardest(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """The classes with images whose mean F1 over the strategies is lowest, lowest first."""
    known = [(row, [value for value in row.f1.values() if value is not None]) for row in rows if row.images]
    means = [(sum(values) / len(values), row) for row, values in known if values]
    return [row for _, row in sorted(means, key=lambda pair: pair[0])[:MAX_HARDEST]]
