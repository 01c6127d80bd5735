"""Two strategies on the same test images: is one better, by how much, and could this test set have shown it?

An image's *lead* is how much more often the first strategy is right on it than the second, over the seeds they were
trained with: -1, 0 or 1 with one seed. Pure functions on numpy arrays, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from topwork.evaluation.intervals import CONFIDENCE, Interval, percentiles, redraw

ALPHA = 1 - CONFIDENCE
POWER = 0.8
RESAMPLES = 2000


@dataclass(frozen=True)
class Pair:
    """The comparison of two strategies.

    Attributes:
        first, second: Names.
        difference: Accuracy of the first minus that of the second, in [-1, 1]; over seeds, of their means.
        low, high: 95 % paired bootstrap interval of it, for other test images. Not corrected for other pairs.
        only_first, only_second: Images that one is right on and the other is not, summed over seeds.
        p: Two-sided exact McNemar test; over seeds the exact sign-flip test of the images' sums.
        p_holm: Corrected for all pairs of the comparison.
        detectable: The smallest difference that would have been found with a probability of 80 %, after correction.
        steady: Whether no seed contradicts the sign of the difference.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p: float
    p_holm: float
    detectable: float
    steady: bool

    @property
    def apart(self) -> bool:
        """Whether the two can be told apart: after correction, and by every seed."""
        return self.p_holm < ALPHA and self.steady

    def swapped(self) -> Pair:
        """The same, the other way round."""
        return replace(
            self, first=self.second, second=self.first, difference=-self.difference, low=-self.high, high=-self.low,
            only_first=self.only_second, only_second=self.only_first,
        )  # fmt: skip


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of the exact McNemar test: the binomial test of the images on which just one of two is right.

    Args:
        only_first: Images that the first alone is right on.
        only_second: Images that the second alone is right on.
    """
    return sign_flip(np.repeat([1, -1], [only_first, only_second]))


def sign_flip(leads: np.ndarray) -> float:
    """Two-sided exact p of 'neither is better': every image's lead could as well have had the other sign.

    With leads of -1, 0 and 1 it is the exact McNemar test; with sums over seeds it takes an image as one observation,
    however many seeds saw it.

    Args:
        leads: Whole numbers, int (N,).
    """
    distribution = np.ones(1)  # of the sum over images, from -reach to reach
    for size, count in enumerate(np.bincount(np.abs(leads))):
        if size and count:
            spread = np.zeros(2 * size * count + 1)
            spread[:: 2 * size] = _binomial_half(int(count))
            distribution = np.convolve(distribution, spread)
    reach, total = len(distribution) // 2, abs(int(leads.sum()))
    tail = float(distribution[reach + total :].sum())
    return min(1.0, 2 * tail) if total else 1.0


def _binomial_half(count: int) -> np.ndarray:
    from scipy.stats import binom

    return binom.pmf(np.arange(count + 1), count, 0.5)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the chance of any false finding at the level of the test (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, p[i] * (len(p) - rank)))
        adjusted[i] = largest
    return adjusted


def difference_interval(
    leads: np.ndarray, labels: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """95 % interval of the mean lead by redrawing images within their classes.

    Two imagined images, on which either strategy wins with a probability of a quarter each, go along in every draw, as
    Agresti & Min 2005 add half an image to each cell of the table: where few images differ, or none, an interval
    without them is too narrow.

    Args:
        leads: float (N,) in [-1, 1].
        labels: True classes, int (N,): the strata.
        rng: Source of the draws.
        resamples: B.
    """
    sums = rng.multinomial(2, [0.25, 0.5, 0.25], size=resamples) @ np.array([-1.0, 0.0, 1.0])
    for c in np.unique(labels):
        values, counts = np.unique(leads[labels == c], return_counts=True)
        sums += redraw(counts, rng, resamples) @ values
    low, high = percentiles(sums / len(leads))
    return max(-1.0, low), min(1.0, high)


def detectable(leads: np.ndarray, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest difference of accuracies that the test would have found with a probability of ``power``.

    For as many images and as much disagreement as there is (Connor 1987), and no less than what the exact test needs
    when all images that differ speak for one strategy.

    Args:
        leads: float (N,) in [-1, 1].
        alpha: Level of the two-sided test.
        power: In (0, 1).

    Returns:
        In (0, 1].
    """
    images = len(leads)
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    disagreement = (float(np.square(leads).sum()) + 1) / (images + 2)
    found = disagreement
    for _ in range(50):
        rest = max(0.0, disagreement - found**2)
        found = (z_alpha * np.sqrt(disagreement) + z_power * np.sqrt(rest)) / np.sqrt(images)
    least = np.ceil(1 - np.log2(alpha)) / images
    return float(min(1.0, max(found, least)))


def compare_all(
    right: dict[str, np.ndarray], labels: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> list[Pair]:
    """All pairs of strategies, in the order of the dict.

    Args:
        right: Name to whether each image was right with each seed, bool (R, N); strategies may have several R.
        labels: True classes, int (N,).
        seed: Of the bootstrap.
        resamples: B.

    Returns:
        K (K - 1) / 2 pairs, corrected together.
    """
    names = list(right)
    wanted = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    found = [_pair(a, b, right, labels, np.random.default_rng([seed, i]), resamples) for i, (a, b) in enumerate(wanted)]
    level = ALPHA / max(1, len(found))
    corrected = holm([pair.p for pair in found])
    return [
        replace(pair, p_holm=p, detectable=detectable(_leads(right[a], right[b]), level))
        for pair, p, (a, b) in zip(found, corrected, wanted, strict=True)
    ]


def _leads(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.mean(axis=0) - b.mean(axis=0)


def _pair(
    first: str, second: str, right: dict[str, np.ndarray], labels: np.ndarray, rng: np.random.Generator, resamples: int
) -> Pair:
    a, b = right[first], right[second]
    leads = _leads(a, b)
    whole = np.rint(leads * np.lcm(len(a), len(b))).astype(np.int64)
    low, high = difference_interval(leads, labels, rng, resamples)
    by_seed = a[: len(b)].mean(axis=1) - b[: len(a)].mean(axis=1) if len(a) == len(b) else np.array([leads.mean()])
    same = a[: min(len(a), len(b))], b[: min(len(a), len(b))]
    return Pair(
        first,
        second,
        float(leads.mean()),
        low,
        high,
        int((same[0] & ~same[1]).sum()),
        int((~same[0] & same[1]).sum()),
        sign_flip(whole),
        1.0,
        1.0,
        bool((by_seed * np.sign(leads.mean()) >= 0).all()),
    )
