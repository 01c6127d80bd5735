"""Which strategy to use, chosen on the validation images; the test images choose nothing. Pure functions, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topwork.evaluation.paired import Pair, find_pair, pairwise

SIMILAR_COST_RATIO = 1.5  # costs within this ratio are called equal


@dataclass(frozen=True)
class Candidate:
    """What one strategy did on the validation images.

    Attributes:
        correct: Whether each image was classified correctly with each seed, bool (R, N); see ``paired.pairwise``.
        seconds: Training time, with features and search.
    """

    name: str
    correct: np.ndarray
    seconds: float

    @property
    def accuracy(self) -> float:
        """In [0, 1]; with several seeds the mean."""
        return float(self.correct.mean())


@dataclass(frozen=True)
class Recommendation:
    """The strategy that reports, ``predict``, ``serve`` and ``export`` mean where they have the choice.

    Attributes:
        name: The strategy.
        best: The one with the highest validation accuracy.
        accuracies, seconds: On the validation images, and training time; by strategy.
        pairs: All pairs of strategies on the validation images, the more accurate first.
        images: Validation images, each counted once.
        groups: Groups of them, which the tests count as units; None: all are independent.
    """

    name: str
    best: str
    accuracies: dict[str, float]
    seconds: dict[str, float]
    pairs: tuple[Pair, ...]
    images: int
    groups: int | None = None

    def pair(self, first: str, second: str) -> Pair:
        """The comparison of two strategies, in this order."""
        return find_pair(self.pairs, first, second)

    @property
    def cheaper(self) -> tuple[str, ...]:
        """Those that cost clearly less than the recommended one, the cheapest first: all are significantly worse."""
        limit = self.seconds[self.name]
        found = [name for name, seconds in self.seconds.items() if seconds * SIMILAR_COST_RATIO < limit]
        return tuple(sorted(found, key=self.seconds.__getitem__))


def recommend(
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    seed: int = 0,
    groups: np.ndarray | None = None,
    images: int | None = None,
) -> Recommendation:
    """Choose the cheapest strategy that no other is significantly better than.

    Of those that cost at most 1.5 times as much as the cheapest it is the most accurate, so that a few seconds, which
    differ between two trainings, do not decide.

    Args:
        candidates: At least one, with equal N >= 1.
        labels: True classes, int (N,).
        groups: Images with equal numbers belong together, or are one image in several folds, int (N,); None if all are
            independent.
        images: Number of different images; None: N.
    """
    ranked = sorted(candidates, key=lambda c: (-c.accuracy, c.seconds))
    pairs = pairwise({c.name: c.correct for c in ranked}, labels, seed, groups=groups)
    worse = {pair.second for pair in pairs if pair.significant}  # the first is the more accurate
    equal = [c for c in ranked if c.name not in worse]
    cheapest = min(c.seconds for c in equal)
    chosen = next(c for c in equal if c.seconds <= SIMILAR_COST_RATIO * cheapest)
    return Recommendation(
        chosen.name,
        ranked[0].name,
        {c.name: c.accuracy for c in ranked},
        {c.name: c.seconds for c in ranked},
        tuple(pairs),
        images or len(labels),
        None if groups is None else len(np.unique(groups)),
    )
