"""What the report shows of the comparison: pairs, calibration, classes. Pure functions of ``ReportData``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from topwork.evaluation import calibration
from topwork.evaluation.paired import Pair
from topwork.evaluation.verdict_text import join_names
from topwork.report.formatting import format_signed, isolate
from topwork.report.report_data import Metric, ReportData
from topwork.report.strategy_differences import (
    MAX_NAMED_CLASSES,
    MAX_ROWS,
    ClassDifference,
    Differences,
    class_differences,
)

MAX_POINTS = 200
MIN_IMAGES = 20  # the accuracy of fewer images is noise and is not drawn


@dataclass(frozen=True)
class CalibrationView:
    """Calibration of one strategy's probabilities on the test set.

    Attributes:
        series: Index among all strategies, for its color.
        ece: Expected calibration error with its interval.
        coverage, accuracy: On the most confident images, float (P,), coverage rising.
        confidence_threshold: Chosen on images held out, or None.
        at_threshold: Coverage and accuracy on the test set at that threshold, or None.
        temperature: Fitted on images held out, or None.
        false_positive_rate: Share of test images flagged as out of distribution; the target is for images held out.
    """

    name: str
    series: int
    bins: calibration.Reliability
    ece: Metric
    coverage: np.ndarray
    accuracy: np.ndarray
    confidence_threshold: float | None
    at_threshold: tuple[float, float] | None
    temperature: float | None
    false_positive_rate: Metric
    target_false_positive_rate: float | None


def calibration_views(data: ReportData) -> list[CalibrationView]:
    """The calibration of every finished strategy whose probabilities are known."""
    found = []
    for series, strategy in enumerate(data.strategies):
        predictions = data.predictions.get(strategy.name)
        if strategy.test is None or predictions is None or not np.isfinite(predictions.probabilities).all():
            continue
        confidence, labels = predictions.probabilities, predictions.labels
        decision = strategy.decision
        below = decision.get("confidence_threshold")
        kept = calibration.selective_accuracy(confidence, labels, below) if below is not None else None
        at = (kept[0], kept[1]) if kept and kept[1] is not None else None
        ood: Mapping[str, Any] = decision.get("ood") or {}
        false_positives: Mapping[str, Any] = ood.get("test_false_positive_rate") or {}
        bins = calibration.reliability(confidence, labels)
        known = strategy.test.metrics.get("ece")
        ece = known if known and abs((known.value or 0) - bins.ece) < 1e-9 else Metric(bins.ece)
        coverage, accuracy = _downsampled_curve(confidence, labels)
        found.append(
            CalibrationView(
                strategy.name, series, bins, ece, coverage, accuracy, below, at, decision.get("temperature"),
                Metric(*(false_positives.get(key) for key in ("value", "low", "high"))),
                ood.get("target_false_positive_rate"),
            )
        )  # fmt: skip
    return found


def _downsampled_curve(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, coverage, accuracy = calibration.coverage_curve(probabilities, labels)
    rows = np.flatnonzero(coverage * len(labels) >= min(MIN_IMAGES, len(labels)))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_POINTS).astype(np.int64))]
    return coverage[rows], accuracy[rows]


def pair_matrix(data: ReportData) -> list[tuple[str, list[Pair | None]]]:
    """Rows and columns by accuracy; a cell is the row minus the column, None on the diagonal."""
    verdict = data.verdict
    if verdict is None or not verdict.pairs:
        return []
    names = [s.name for s in verdict.results]
    return [(a, [None if a == b else verdict.pair(a, b) for b in names]) for a in names]


def by_class(data: ReportData) -> list[Differences]:
    """The most accurate strategy against every other, class by class."""
    if data.verdict is None or not data.verdict.pairs:
        return []
    best, *others = [s.name for s in data.verdict.results]
    return [class_differences(data.predictions, best, other) for other in others]


def most_different(differing: Sequence[Differences]) -> list[tuple[ClassDifference, ...]]:
    """The classes on which the most accurate strategy differs most from any other, each against every other."""
    rows = list(zip(*(d.classes for d in differing), strict=True))
    rows.sort(key=lambda cells: -max(abs(c.net) for c in cells))
    return [cells for cells in rows[:MAX_ROWS] if any(c.only_first_correct or c.only_second_correct for c in cells)]


def describe_class_differences(differences: Differences) -> str:
    """The classes on which the strategies differ most, and which differences are significant, in two sentences."""
    parts = []
    for word, sign in (("more", 1), ("fewer", -1)):
        classes = sorted((c for c in differences.classes if sign * c.net > 0), key=lambda c: -abs(c.net))
        if classes:
            more = len(classes) - MAX_NAMED_CLASSES
            named = [_class(c) for c in classes[:MAX_NAMED_CLASSES]] + ([f"{more} more"] if more > 0 else [])
            parts.append(f"{word} images of {join_names(named)}")
    if not parts:
        return f"{differences.first} and {differences.second} are correct on equally many images of every class."
    significant = [isolate(c.name) for c in differences.classes if c.significant]
    end = (
        f"Significant: {join_names(significant)}." if significant else "No single class shows a significant difference."
    )
    return f"Compared with {differences.second}, {differences.first} is correct on {' and '.join(parts)}. {end}"


def _class(c: ClassDifference) -> str:
    return f"{isolate(c.name)} ({format_signed(c.net)} of {c.images})"
