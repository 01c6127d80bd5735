"""The numbers behind every chart of the report as tables, for ``tables/*.csv``. Pure functions of ``ReportData``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from topwork.report.comparison_views import by_class, calibration_views
from topwork.report.report_data import ReportData
from topwork.report.strategy_differences import disagreements

Rows = Iterable[tuple[Any, ...]]
Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def tables(data: ReportData) -> dict[str, Table]:
    """Columns and rows by table name, without empty tables. Fractions are in [0, 1]."""
    found = {name: (columns, list(rows(data))) for name, (columns, rows) in _TABLES.items()}
    return {name: table for name, table in found.items() if table[1]}


def _results(data: ReportData) -> Rows:
    for s in data.finished:
        assert s.test
        for name, metric in s.test.metrics.items():
            yield s.name, name, metric.value, metric.low, metric.high, s.test.images


def _costs(data: ReportData) -> Rows:
    return ((s.name, key, value) for s in data.finished for key, value in s.costs.items() if value is not None)


def _repeats(data: ReportData) -> Rows:
    if data.verdict and data.verdict.repeats[0]:
        for s in data.verdict.results:
            yield from ((s.name, number, accuracy) for number, accuracy in enumerate(s.by_repeat))


def _pairs(data: ReportData) -> Rows:
    for p in data.verdict.pairs if data.verdict else ():
        yield (
            p.first, p.second, p.difference, p.low, p.high, p.only_first_correct, p.only_second_correct, p.p, p.p_holm,
            p.minimum_detectable_difference, int(p.significant),
        )  # fmt: skip


def _reliability(data: ReportData) -> Rows:
    for c in calibration_views(data):
        b = c.bins
        for row in zip(b.low, b.high, b.images, b.confidence, b.accuracy, strict=True):
            yield c.name, *(x.item() for x in row)


def _coverage(data: ReportData) -> Rows:
    for c in calibration_views(data):
        yield from ((c.name, x.item(), y.item()) for x, y in zip(c.coverage, c.accuracy, strict=True))


def _learning_curves(data: ReportData) -> Rows:
    for curve in data.curves:
        for draw, errors in enumerate(curve.errors):
            yield from ((curve.name, "measured", n.item(), draw, e.item(), None, None) for n, e in zip(
                curve.sizes, errors, strict=True))  # fmt: skip
        for n, e, low, high in zip(curve.grid, curve.error(curve.grid), curve.low, curve.high, strict=True):
            yield curve.name, "fitted", n.item(), None, e.item(), low.item(), high.item()


def _epochs(data: ReportData) -> Rows:
    for s in data.strategies:
        yield from ((s.name, r.epoch, r.train_loss, r.val_loss, r.val_accuracy, int(r.best)) for r in s.history)


def _classes(data: ReportData) -> Rows:
    for s in data.finished:
        assert s.test
        yield from ((s.name, row.name, row.images, row.precision, row.recall, row.f1) for row in s.test.per_class)


def _class_differences(data: ReportData) -> Rows:
    for d in by_class(data):
        yield from (
            (d.first, d.second, c.name, c.images, c.only_first_correct, c.only_second_correct, c.p_holm)
            for c in d.classes
        )


def _confusion(data: ReportData) -> Rows:
    for s in data.finished:
        assert s.test
        names = [row.name for row in s.test.per_class]
        for label, row in zip(names, s.test.confusion, strict=False):
            yield from ((s.name, label, guess, n) for guess, n in zip(names, row, strict=False) if n)


def _disagreements(data: ReportData) -> Rows:
    for d in disagreements(data.predictions, None):
        yield from ((d.id, d.label, a.strategy, a.predicted, a.probability, int(a.correct)) for a in d.predictions)


_TABLES: dict[str, tuple[tuple[str, ...], Callable[[ReportData], Rows]]] = {
    "results": (("strategy", "metric", "value", "low", "high", "images"), _results),
    "costs": (("strategy", "cost", "value"), _costs),
    "repeats": (("strategy", "repeat", "value"), _repeats),
    "pairs": (
        ("first", "second", "difference", "low", "high", "only_first_correct", "only_second_correct", "p",
         "p_holm", "minimum_detectable_difference", "significant"),
        _pairs,
    ),
    "reliability": (("strategy", "low", "high", "images", "confidence", "accuracy"), _reliability),
    "coverage": (("strategy", "coverage", "accuracy"), _coverage),
    "learning-curves": (("strategy", "kind", "images", "draw", "error", "low", "high"), _learning_curves),
    "epochs": (("strategy", "epoch", "train_loss", "val_loss", "val_accuracy", "best"), _epochs),
    "classes": (("strategy", "class", "images", "precision", "recall", "f1"), _classes),
    "class-differences": (
        ("first", "second", "class", "images", "only_first_correct", "only_second_correct", "p_holm"),
        _class_differences,
    ),
    "confusion": (("strategy", "true", "predicted", "images"), _confusion),
    "disagreements": (("image", "label", "strategy", "predicted", "probability", "correct"), _disagreements),
}  # fmt: skip
