"""Paired comparison of two strategies on the same test images: which is better, by how much, is it significant?

The *difference* of an image is the share of seeds with which the first strategy is correct on it, minus that of the
second: -1, 0 or 1 with one seed. Pure functions on numpy arrays, no torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from topwork.evaluation.intervals import (
    CONFIDENCE,
    Interval,
    clustering,
    percentile_interval,
    resample_counts,
    strata,
)

ALPHA = 1 - CONFIDENCE
POWER = 0.8
RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """The comparison of two strategies.

    Attributes:
        difference: Mean accuracy of the first minus that of the second, in [-1, 1].
        low, high: Its 95 % paired bootstrap interval, not corrected for other pairs.
        only_first_correct, only_second_correct: Images that only one of them classifies correctly, summed over seeds.
        p: Two-sided exact McNemar test; with several seeds or groups of images the exact sign-flip test of the sums
            over seeds and groups.
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
        differences: int (N,).
        groups: Group of each image, int (N,); None if they are independent.

    >>> sign_flip_test(np.array([3, 2, 2, 0]))
    0.25
    """
    from scipy.stats import binom  # takes half a second to load

    if groups is not None:
        index = np.unique(groups, return_inverse=True)[1]
        differences = np.rint(np.bincount(index, weights=differences)).astype(np.int64)
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
) -> Interval:
    """95 % bootstrap interval of the mean difference, stratified by class.

    Every draw includes two pseudo-images, on which either strategy wins with a probability of a quarter each, as
    Agresti & Min 2005 add half an image to each cell of the table: without them the interval is too narrow where few
    images differ.

    Args:
        differences: float (N,) in [-1, 1].
        labels: True classes, int (N,): the strata.
        groups: Group of each image, int (N,); None if they are independent. With groups the draws are spread around
            their mean as far as the groups go together.
    """
    sums = rng.multinomial(2, [0.25, 0.5, 0.25], size=resamples) @ np.array([-1.0, 0.0, 1.0])
    for rows in strata(labels):
        values, counts = np.unique(differences[rows], return_counts=True)
        sums += resample_counts(counts, rng, resamples) @ values
    mean = float(differences.mean())
    widening = clustering(differences - mean, groups).widening
    low, high = percentile_interval(mean + widening * (sums / len(differences) - mean))
    return max(-1.0, low), min(1.0, high)


def minimum_detectable_difference(
    differences: np.ndarray, alpha: float = ALPHA, groups: np.ndarray | None = None
) -> float:
    """The smallest difference of accuracies that the test detects with a probability of 80 %.

    For the given number of images and rate of disagreement (Connor 1987), and at least what the exact test needs when
    all images that differ favor one strategy.

    Args:
        differences: float (N,) in [-1, 1].
        alpha: Level of the two-sided test.
        groups: Group of each image, int (N,); None if they are independent.

    >>> round(minimum_detectable_difference(np.repeat([1, -1, 0], [60, 40, 900])), 3)
    0.028
    """
    images = len(differences) / clustering(differences - differences.mean(), groups).design_effect
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    disagreement = (float(np.square(differences).sum()) + 1) / (len(differences) + 2)
    found = disagreement
    for _ in range(50):
        rest = max(0.0, disagreement - found**2)
        found = (z_alpha * np.sqrt(disagreement) + z_power * np.sqrt(rest)) / np.sqrt(images)
    minimum = np.ceil(1 - np.log2(alpha)) / (len(differences) if groups is None else len(np.unique(groups)))
    return float(min(1.0, max(found, minimum)))


def pairwise(
    correct: dict[str, np.ndarray],
    labels: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: np.ndarray | None = None,
) -> list[Pair]:
    """All pairs of strategies, in the order of the dict.

    Args:
        correct: By strategy, whether each image is correct with each seed, bool (R, N); R is that of all, or 1 for
            strategies that do not depend on the seed.
        labels: True classes, int (N,).
        groups: Group of each image, int (N,); None if they are independent.

    Returns:
        K (K - 1) / 2 pairs, corrected together.
    """
    combinations = list(itertools.combinations(correct, 2))
    differences = [correct[a].mean(axis=0) - correct[b].mean(axis=0) for a, b in combinations]
    p = [
        sign_flip_test(np.rint(d * np.lcm(len(correct[a]), len(correct[b]))).astype(np.int64), groups)
        for d, (a, b) in zip(differences, combinations, strict=True)
    ]
    corrected, level = holm(p), ALPHA / max(1, len(combinations))
    pairs = []
    for i, ((first, second), d) in enumerate(zip(combinations, differences, strict=True)):
        a, b = correct[first], correct[second]
        difference = float(d.mean())
        interval = difference_interval(d, labels, np.random.default_rng([seed, i]), resamples, groups)
        only_first, only_second = (int((x & ~y).sum()) for x, y in ((a, b), (b, a)))
        numbers = p[i], corrected[i], minimum_detectable_difference(d, level, groups)
        by_seed = (a.mean(axis=1) - b.mean(axis=1)) * np.sign(difference)
        consistent = bool((by_seed >= 0).all())
        pairs.append(Pair(first, second, difference, *interval, only_first, only_second, *numbers, consistent))
    return pairs
