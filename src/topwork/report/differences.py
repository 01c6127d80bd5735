"""Where strategies differ: classes that one gains or loses, and images on which they disagree. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from topwork.core.artifacts import Predictions
from topwork.evaluation.paired import ALPHA, holm, mcnemar

MOST_IMAGES = 12
MOST_CLASSES = 3
MOST_ROWS = 12


@dataclass(frozen=True)
class ClassDifference:
    """One class and two strategies: its test images, and those that just one of the two is right on.

    ``p_holm`` is McNemar's, corrected for all classes.
    """

    name: str
    images: int
    only_first: int
    only_second: int
    p_holm: float

    @property
    def net(self) -> int:
        """Images more that the first is right on."""
        return self.only_first - self.only_second

    @property
    def proven(self) -> bool:
        """Whether the two can be told apart on this class."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Differences:
    """Two strategies, class by class, in the order of the class index."""

    first: str
    second: str
    classes: tuple[ClassDifference, ...]

    @property
    def gains(self) -> tuple[ClassDifference, ...]:
        """Classes on which the first is right more often, the largest gain first."""
        return tuple(sorted((c for c in self.classes if c.net > 0), key=lambda c: -c.net))

    @property
    def losses(self) -> tuple[ClassDifference, ...]:
        """Classes on which it is right less often, the largest loss first."""
        return tuple(sorted((c for c in self.classes if c.net < 0), key=lambda c: c.net))


@dataclass(frozen=True)
class Answer:
    """What one strategy said about an image, with the probability of it."""

    strategy: str
    predicted: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Disagreement:
    """An image that some strategies are right on and others not."""

    id: str
    label: str
    answers: tuple[Answer, ...]


def class_differences(predictions: Mapping[str, Predictions], first: str, second: str) -> Differences:
    """Compare two strategies class by class, on the same images."""
    a, b = predictions[first], predictions[second]
    right, other = a.predicted == a.labels, b.predicted == b.labels
    counts = [
        tuple(int((chosen & (a.labels == c)).sum()) for chosen in (np.ones_like(right), right & ~other, other & ~right))
        for c in range(len(a.classes))
    ]
    p = holm([mcnemar(gained, lost) for _, gained, lost in counts])
    rows = zip(a.classes, counts, p, strict=True)
    return Differences(first, second, tuple(ClassDifference(name, n, x, y, q) for name, (n, x, y), q in rows))


def disagreements(predictions: Mapping[str, Predictions], most: int | None = MOST_IMAGES) -> list[Disagreement]:
    """Test images that some strategies are right on and others not, those first that both sides are surest of.

    Args:
        predictions: By strategy; on the same images, else there is nothing to compare.
        most: How many; None for all.
    """
    if len(predictions) < 2 or len({p.ids for p in predictions.values()}) > 1:
        return []
    names, first = list(predictions), next(iter(predictions.values()))
    predicted = np.stack([p.predicted for p in predictions.values()])  # (S, N)
    sure = np.stack([p.probabilities[np.arange(len(p.ids)), p.predicted] for p in predictions.values()])
    sure = np.nan_to_num(sure)
    right = predicted == first.labels
    differ = np.flatnonzero(right.any(axis=0) & ~right.all(axis=0))
    certainty = np.where(right, sure, 0).max(axis=0) + np.where(right, 0, sure).max(axis=0)
    order = sorted(differ.tolist(), key=lambda i: (-certainty[i], first.ids[i]))[:most]
    return [
        Disagreement(
            first.ids[i],
            first.classes[first.labels[i]],
            tuple(
                Answer(name, first.classes[predicted[s, i]], float(sure[s, i]), bool(right[s, i]))
                for s, name in enumerate(names)
            ),
        )
        for i in order
    ]
