"""What the report says beyond single figures: pairs, repeats, calibration, classes. ``ReportData`` -> values, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from topwork.evaluation import calibration
from topwork.evaluation.paired import Pair
from topwork.evaluation.verdict_text import listed
from topwork.report.differences import MOST_CLASSES, MOST_ROWS, ClassDifference, Differences, class_differences
from topwork.report.gather import Figure, ReportData

MOST_POINTS = 200
LEAST_IMAGES = 20  # an accuracy of fewer is noise and is not drawn


@dataclass(frozen=True)
class Calibrated:
    """How far one strategy's probabilities can be believed, on test.

    Attributes:
        name: Of the strategy.
        series: Its place among all strategies, for its colour.
        bins: Confidence against accuracy.
        error: Expected calibration error with its interval.
        coverage, accuracy: Of the surest images, float (P,), coverage rising.
        confidence_threshold: Confidence, chosen on val, or None.
        at: Coverage and accuracy on test at that threshold, or None.
        temperature: Fitted on val, or None.
        false_positive_rate: Share of test images that were flagged as out of distribution; ``target_...`` on val.
    """

    name: str
    series: int
    bins: calibration.Reliability
    error: Figure
    coverage: np.ndarray
    accuracy: np.ndarray
    confidence_threshold: float | None
    at: tuple[float, float] | None
    temperature: float | None
    false_positive_rate: Figure
    target_false_positive_rate: float | None


def calibrated(data: ReportData) -> list[Calibrated]:
    """The calibration of every finished strategy whose probabilities are known."""
    found = []
    for series, strategy in enumerate(data.strategies):
        predictions = data.predictions.get(strategy.name)
        if strategy.test is None or predictions is None or not np.isfinite(predictions.probabilities).all():
            continue
        sure, labels = predictions.probabilities, predictions.labels
        decision = strategy.decision
        below = decision.get("confidence_threshold")
        left = calibration.answered(sure, labels, below) if below is not None else None
        at = (left.coverage, left.accuracy) if left and left.accuracy is not None else None
        ood: Mapping[str, Any] = decision.get("ood") or {}
        false_positives: Mapping[str, Any] = ood.get("test_false_positive_rate") or {}
        bins = calibration.reliability(sure, labels)
        known = strategy.test.figures.get("ece")
        error = known if known and abs((known.value or 0) - bins.error) < 1e-9 else Figure(bins.error)
        coverage, accuracy = _thinned(sure, labels)
        found.append(
            Calibrated(
                strategy.name, series, bins, error, coverage, accuracy, below, at, decision.get("temperature"),
                Figure(*(false_positives.get(key) for key in ("value", "low", "high"))),
                ood.get("target_false_positive_rate"),
            )
        )  # fmt: skip
    return found


def _thinned(sure: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, coverage, accuracy = calibration.coverage_curve(sure, labels)
    rows = np.flatnonzero(coverage * len(labels) >= min(LEAST_IMAGES, len(labels)))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_POINTS).astype(np.int64))]
    return coverage[rows], accuracy[rows]


def pair_matrix(data: ReportData) -> list[tuple[str, list[Pair | None]]]:
    """Rows and columns in the order of the standings; a cell is the row minus the column, None on the diagonal."""
    verdict = data.verdict
    if verdict is None or not verdict.pairs:
        return []
    names = [s.name for s in verdict.standings]
    return [(a, [None if a == b else verdict.pair(a, b) for b in names]) for a in names]


def by_class(data: ReportData) -> list[Differences]:
    """The most accurate strategy against every other, class by class."""
    if data.verdict is None or not data.verdict.pairs:
        return []
    best, *others = [s.name for s in data.verdict.standings]
    return [class_differences(data.predictions, best, other) for other in others]


def most_different(differing: Sequence[Differences]) -> list[tuple[ClassDifference, ...]]:
    """The classes on which the most accurate strategy differs most from any other, each against every other."""
    rows = list(zip(*(d.classes for d in differing), strict=True))
    rows.sort(key=lambda cells: -max(abs(c.net) for c in cells))
    return [cells for cells in rows[:MOST_ROWS] if any(c.only_first or c.only_second for c in cells)]


def signed(value: int) -> str:
    """``+3``, ``0`` or a minus sign and the number."""
    return f"+{value}" if value > 0 else str(value).replace("-", "\N{MINUS SIGN}")


def said_of_classes(differences: Differences) -> str:
    """``finetune gains on cat (+3 of 20) and loses on dog (-1 of 20) against svm``, and what is proven of it."""
    parts = []
    for verb, classes in (("gains on", differences.gains), ("loses on", differences.losses)):
        if classes:
            more = len(classes) - MOST_CLASSES
            named = [_class(c) for c in classes[:MOST_CLASSES]] + ([f"{more} more"] if more > 0 else [])
            parts.append(f"{verb} {listed(named)}")
    if not parts:
        return f"{differences.first} and {differences.second} are right on as many images of every class."
    proven = [c.name for c in differences.classes if c.proven]
    end = f"Proven by itself: {listed(proven)}." if proven else "No class by itself proves a difference."
    return f"Against {differences.second}, {differences.first} {' and '.join(parts)}. {end}"


def _class(c: ClassDifference) -> str:
    return f"{c.name} ({signed(c.net)} of {c.images})"


def bytes_said(value: float | None) -> str:
    """A size on disk or in memory, in decimal units: ``23.3 MB``."""
    if value is None:
        return "\u2013"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g}\u00a0{unit}"
    return f"{value:.0f}\u00a0B"


def peak_memory(costs: Mapping[str, Any]) -> Sequence[tuple[str, float]]:
    """What was measured of memory, e.g. ``[("memory", 1.5e9)]``."""
    return [
        (key.removeprefix("peak_").replace("_", " "), v) for key, v in costs.items() if key.startswith("peak_") and v
    ]
