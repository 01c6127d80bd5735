"""Paired comparison of two strategies on the same test images: which is better, by how much, is it significant?

The *difference* of an image is the share of seeds with which the first strategy is correct on it, minus that of the
second: -1, 0 or 1 with one seed. For another metric than accuracy it is what the image adds to the difference of the
two (``target_metric.paired_differences``). Pure functions on numpy arrays, no torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from topwork.evaluation import target_metric
from topwork.evaluation.intervals import (
    CONFIDENCE,
    Interval,
    clustering,
    percentile_interval,
    resample_counts,
    strata,
)
from topwork.evaluation.sign_flip import sign_flip_p

ALPHA = 1 - CONFIDENCE
POWER = 0.8
RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """The comparison of two strategies.

    Attributes:
        difference: Mean accuracy of the first minus that of the second, in [-1, 1]; of another metric that decides its
            difference, positive where the first is better.
        low, high: Its 95 % paired bootstrap interval, not corrected for other pairs.
        only_first_correct, only_second_correct: Images that only one of them classifies correctly, summed over seeds.
        p: Two-sided exact McNemar test; with several seeds or groups of images, or another metric than accuracy, the
            sign-flip test of the sums over seeds and groups.
        p_holm: Corrected for all pairs of the comparison (Holm 1979).
        minimum_detectable_difference: Detected with a probability of 80 % after correction.
        consistent_over_seeds: Whether no seed contradicts the sign of the difference.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    only_first_correct: int
    only_second_correct: int
    p: float
    p_holm: float
    minimum_detectable_difference: float
    consistent_over_seeds: bool

    @property
    def significant(self) -> bool:
        """Whether the difference is significant after correction and no seed contradicts it."""
        return self.p_holm < ALPHA and self.consistent_over_seeds

    def swapped(self) -> Pair:
        """The same comparison with first and second exchanged."""
        return replace(
            self, first=self.second, second=self.first, difference=-self.difference, low=-self.high, high=-self.low,
            only_first_correct=self.only_second_correct, only_second_correct=self.only_first_correct,
        )  # fmt: skip


def find_pair(pairs: Iterable[Pair], first: str, second: str) -> Pair:
    """The comparison of two strategies, in this order."""
    for pair in pairs:
        if {pair.first, pair.second} == {first, second}:
            return pair if pair.first == first else pair.swapped()
    raise KeyError((first, second))


def mcnemar(only_first_correct: int, only_second_correct: int) -> float:
    """Two-sided p of the exact McNemar test (1947) of the images that only one strategy classifies correctly.

    >>> round(mcnemar(9, 1), 4)
    0.0215
    """
    return sign_flip_test(np.repeat([1, -1], [only_first_correct, only_second_correct]))


def sign_flip_test(differences: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Two-sided p of the exact sign-flip test. Null hypothesis: every difference is as likely with either sign.

    With differences of -1, 0 and 1 it is the exact McNemar test. Sums over seeds count an image as one observation, and
    sums over groups a group.

    Args:
        differences: int (N,); float (N,) as in ``sign_flip_p``.
        groups: Group of each image, int (N,); None if they are independent.

    >>> sign_flip_test(np.array([3, 2, 2, 0]))
    0.25
    """
    from scipy.stats import binom  # takes half a second to load

    exact = differences.dtype.kind == "i"
    if groups is not None:
        index = np.unique(groups, return_inverse=True)[1]
        differences = np.bincount(index, weights=differences)
        differences = np.rint(differences).astype(np.int64) if exact else differences
    if not exact:
        return sign_flip_p(differences)
    distribution = np.ones(1)  # of the sum over images, from -reach to reach
    for size, count in enumerate(np.bincount(np.abs(differences))):
        if size and count:
            steps = np.zeros(2 * size * count + 1)
            steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
            distribution = np.convolve(distribution, steps)
    reach, total = len(distribution) // 2, abs(int(differences.sum()))
    tail = float(distribution[reach + total :].sum())
    return min(1.0, 2 * tail) if total else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values that control the family-wise error rate (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, adjusted = np.argsort(p, kind="stable"), np.ones(len(p))
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(scaled, 1.0))
    return adjusted.tolist()


def difference_interval(
    differences: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    groups: np.ndarray | None = None,
    unit: float = 1.0,
    limit: float = 1.0,
) -> Interval:
    """95 % bootstrap interval of the mean difference, stratified by class.

    Every draw includes two pseudo-images, on which either strategy wins with a probability of a quarter each, as
    Agresti & Min 2005 add half an image to each cell of the table: without them the interval is too narrow where few
    images differ.

    Args:
        differences: float (N,), for accuracy in [-1, 1].
        labels: True classes, int (N,): the strata.
        groups: Group of each image, int (N,); None if they are independent. With groups the draws are spread around
            their mean as far as the groups go together.
        unit: The difference of a pseudo-image.
        limit: Largest possible mean.
    """
    sums = rng.multinomial(2, [0.25, 0.5, 0.25], size=resamples) @ np.array([-unit, 0.0, unit])
    for rows in strata(labels):
        values, counts = np.unique(differences[rows], return_counts=True)
        sums += resample_counts(counts, rng, resamples) @ values
    mean = float(differences.mean())
    widening = clustering(differences - mean, groups).widening
    low, high = percentile_interval(mean + widening * (sums / len(differences) - mean))
    return max(-limit, low), min(limit, high)


def minimum_detectable_difference(
    differences: np.ndarray, alpha: float = ALPHA, groups: np.ndarray | None = None, unit: float = 1.0,
    limit: float = 1.0,
) -> float:  # fmt: skip
    """The smallest difference of accuracies, or of the metric, that the test detects with a probability of 80 %.

    For the given number of images and rate of disagreement (Connor 1987), and at least what the exact test needs when
    all images that differ favor one strategy.

    Args:
        differences: float (N,) in [-1, 1].
        alpha: Level of the two-sided test.
        groups: Group of each image, int (N,); None if they are independent.
        unit: A typical difference of an image on which the two differ.
        limit: Largest possible difference.

    >>> round(minimum_detectable_difference(np.repeat([1, -1, 0], [60, 40, 900])), 3)
    0.028
    """
    images = len(differences) / clustering(differences - differences.mean(), groups).design_effect
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    disagreement = (float(np.square(differences).sum()) + unit**2) / (len(differences) + 2)
    found = disagreement
    for _ in range(50):
        rest = max(0.0, disagreement - found**2)
        found = (z_alpha * np.sqrt(disagreement) + z_power * np.sqrt(rest)) / np.sqrt(images)
    minimum = unit * np.ceil(1 - np.log2(alpha)) / (len(differences) if groups is None else len(np.unique(groups)))
    return float(min(limit, max(found, minimum)))


def pairwise(
    correct: dict[str, np.ndarray],
    labels: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: np.ndarray | None = None,
    metric: str = "accuracy",
    by_image: dict[str, np.ndarray] | None = None,
) -> list[Pair]:
    """All pairs of strategies, in the order of the dict.

    Args:
        correct: By strategy, whether each image is correct with each seed, bool (R, N); R is that of all, or 1 for
            strategies that do not depend on the seed.
        labels: True classes, int (N,).
        groups: Group of each image, int (N,); None if they are independent.
        metric: Whose difference is tested.
        by_image: By strategy, what ``target_metric.by_image`` gives, (R, N); None: ``correct``.

    Returns:
        K (K - 1) / 2 pairs, corrected together.
    """
    combinations, known = list(itertools.combinations(correct, 2)), by_image or correct
    differences = [_mean_differences(metric, labels, known[a], known[b]) for a, b in combinations]
    p = [
        sign_flip_test(np.rint(d * np.lcm(len(correct[a]), len(correct[b]))).astype(np.int64), groups)
        if metric == "accuracy"
        else sign_flip_test(d, groups)
        for d, (a, b) in zip(differences, combinations, strict=True)
    ]
    corrected, level = holm(p), ALPHA / max(1, len(combinations))
    limit = np.inf if target_metric.lower_is_better(metric) else 1.0
    pairs = []
    for i, ((first, second), d) in enumerate(zip(combinations, differences, strict=True)):
        a, b = correct[first], correct[second]
        difference, unit = float(d.mean()), 1.0 if metric == "accuracy" else _unit(d)
        rng = np.random.default_rng([seed, i])
        interval = difference_interval(d, labels, rng, resamples, groups, unit, limit)
        only_first, only_second = (int((x & ~y).sum()) for x, y in ((a, b), (b, a)))
        numbers = p[i], corrected[i], minimum_detectable_difference(d, level, groups, unit, limit)
        by_seed = _by_seed(metric, labels, known[first]) - _by_seed(metric, labels, known[second])
        consistent = bool((by_seed * np.sign(difference) >= 0).all())
        pairs.append(Pair(first, second, difference, *interval, only_first, only_second, *numbers, consistent))
    return pairs


def _mean_differences(metric: str, labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What each image adds to the difference, float (N,): the mean over seeds of what ``by_image`` gives, (R, N)."""
    if metric == "accuracy":
        return a.mean(axis=0) - b.mean(axis=0)
    pairs = [(a[r % len(a)], b[r % len(b)]) for r in range(max(len(a), len(b)))]
    return np.mean([target_metric.paired_differences(metric, labels, x, y) for x, y in pairs], axis=0)


def _by_seed(metric: str, labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The metric with each seed, float (R,), higher where it is better."""
    if metric == "accuracy":
        return known.mean(axis=1)
    return np.array([target_metric.gain(metric, labels, one) for one in known])


def _unit(differences: np.ndarray) -> float:
    """Root mean square of the differences that are not 0; 1 if all are."""
    changed = differences[differences != 0]
    return float(np.sqrt(np.square(changed).mean())) if len(changed) else 1.0
