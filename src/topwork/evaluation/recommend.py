"""Which strategy to use, chosen on the validation images; the test images choose nothing. Pure functions, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topwork.evaluation import target_metric
from topwork.evaluation.paired import Pair, find_pair, pairwise

SIMILAR_COST_RATIO = 1.5  # costs within this ratio are called equal


@dataclass(frozen=True)
class Candidate:
    """What one strategy did on the validation images.

    Attributes:
        correct: Whether each image was classified correctly with each seed, bool (R, N); see ``paired.pairwise``.
        seconds: Training time, with features and search.
        by_image: What ``target_metric.by_image`` gives for the metric that decides, (R, N); None: ``correct``.
    """

    name: str
    correct: np.ndarray
    seconds: float
    by_image: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """What the metric that decides needs of each image, (R, N)."""
        return self.correct if self.by_image is None else self.by_image


@dataclass(frozen=True)
class Recommendation:
    """The strategy that reports, ``predict``, ``serve`` and ``export`` mean where they have the choice.

    Attributes:
        name: The strategy.
        best: The one that is best on the validation images by the metric.
        values, seconds: The metric on the validation images, and training time; by strategy.
        pairs: All pairs of strategies on the validation images, the better first.
        images: Validation images, each counted once.
        groups: Groups of them, which the tests count as units; None: all are independent.
        metric: That decides, a key of ``target_metric.NAMES``.
    """

    name: str
    best: str
    values: dict[str, float]
    seconds: dict[str, float]
    pairs: tuple[Pair, ...]
    images: int
    groups: int | None = None
    metric: str = "accuracy"

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
    metric: str = "accuracy",
) -> Recommendation:
    """Choose the cheapest strategy that no other is significantly better than.

    Of those that cost at most 1.5 times as much as the cheapest it is the best by the metric, so that a few seconds,
    which differ between two trainings, do not decide.

    Args:
        candidates: At least one, with equal N >= 1.
        labels: True classes, int (N,).
        groups: Images with equal numbers belong together, or are one image in several folds, int (N,); None if all are
            independent.
        images: Number of different images; None: N.
        metric: That decides, a key of ``target_metric.NAMES``.
    """
    values = {c.name: target_metric.mean_value(metric, labels, c.known) for c in candidates}
    sign = 1 if target_metric.lower_is_better(metric) else -1
    ranked = sorted(candidates, key=lambda c: (sign * values[c.name], c.seconds))
    correct, known = {c.name: c.correct for c in ranked}, {c.name: c.known for c in ranked}
    pairs = pairwise(correct, labels, seed, groups=groups, metric=metric, by_image=known)
    worse = {pair.second for pair in pairs if pair.significant}  # the first is the better
    equal = [c for c in ranked if c.name not in worse]
    cheapest = min(c.seconds for c in equal)
    chosen = next(c for c in equal if c.seconds <= SIMILAR_COST_RATIO * cheapest)
    return Recommendation(
        chosen.name,
        ranked[0].name,
        {c.name: values[c.name] for c in ranked},
        {c.name: c.seconds for c in ranked},
        tuple(pairs),
        images or len(labels),
        None if groups is None else len(np.unique(groups)),
        metric,
    )
