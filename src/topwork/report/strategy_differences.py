"""Differences between strategies by class, and images on which they disagree. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from topwork.core.predictions import Predictions
from topwork.evaluation.paired import ALPHA, holm, mcnemar

MAX_IMAGES = 12
MAX_NAMED_CLASSES = 3
MAX_ROWS = 12


@dataclass(frozen=True)
class ClassDifference:
    """Test images of a class that only one of two strategies classifies correctly.

    ``p_holm`` is McNemar's p, corrected for all classes.
    """

    name: str
    images: int
    only_first_correct: int
    only_second_correct: int
    p_holm: float

    @property
    def net(self) -> int:
        """Additional images that the first classifies correctly."""
        return self.only_first_correct - self.only_second_correct

    @property
    def significant(self) -> bool:
        """Whether the difference on this class is significant."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Differences:
    """Two strategies, class by class, in the order of the class index."""

    first: str
    second: str
    classes: tuple[ClassDifference, ...]


@dataclass(frozen=True)
class StrategyPrediction:
    """The class that a strategy predicted for an image, and its probability."""

    strategy: str
    predicted: str
    probability: float
    correct: bool


@dataclass(frozen=True)
class Disagreement:
    """An image that only some of the strategies classify correctly."""

    id: str
    label: str
    predictions: tuple[StrategyPrediction, ...]


def class_differences(predictions: Mapping[str, Predictions], first: str, second: str) -> Differences:
    """Compare two strategies class by class, on the same images."""
    a, b = predictions[first], predictions[second]
    correct, other = a.predicted == a.labels, b.predicted == b.labels
    counts = [
        tuple(
            int((chosen & (a.labels == c)).sum())
            for chosen in (np.ones_like(correct), correct & ~other, other & ~correct)
        )
        for c in range(len(a.classes))
    ]
    p = holm([mcnemar(gained, lost) for _, gained, lost in counts])
    rows = zip(a.classes, counts, p, strict=True)
    return Differences(first, second, tuple(ClassDifference(name, n, x, y, q) for name, (n, x, y), q in rows))


def disagreements(predictions: Mapping[str, Predictions], limit: int | None = MAX_IMAGES) -> list[Disagreement]:
    """Test images that only some of the strategies classify correctly, the most confident disagreements first.

    Args:
        predictions: By strategy; empty result if they are not on the same images.
        limit: Maximum number; None for all.
    """
    if len(predictions) < 2 or len({p.ids for p in predictions.values()}) > 1:
        return []
    names, first = list(predictions), next(iter(predictions.values()))
    predicted = np.stack([p.predicted for p in predictions.values()])  # (S, N)
    confidence = np.stack([p.probabilities[np.arange(len(p.ids)), p.predicted] for p in predictions.values()])
    confidence = np.nan_to_num(confidence)
    correct = predicted == first.labels
    differ = np.flatnonzero(correct.any(axis=0) & ~correct.all(axis=0))
    total = np.where(correct, confidence, 0).max(axis=0) + np.where(correct, 0, confidence).max(axis=0)
    order = sorted(differ.tolist(), key=lambda i: (-total[i], first.ids[i]))[:limit]
    return [
        Disagreement(
            first.ids[i],
            first.classes[first.labels[i]],
            tuple(
                StrategyPrediction(name, first.classes[predicted[s, i]], float(confidence[s, i]), bool(correct[s, i]))
                for s, name in enumerate(names)
            ),
        )
        for i in order
    ]
