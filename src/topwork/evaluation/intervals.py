"""95 % intervals: Wilson for shares of images, a stratified percentile bootstrap for the rest.

The bootstrap redraws the images of every true class with replacement, so each class keeps its number of images.
Where a figure depends on counts only (confusion matrix, distinct scores), the counts are drawn directly from their
multinomial distribution: the same distribution as redrawing images, without a loop over resamples.

An interval says what another draw of test images would change. It says nothing about another training or split.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from topwork.evaluation import metrics

CONFIDENCE = 0.95
RESAMPLES = 1000
_BLOCK = 4_000_000  # numbers held at once, so that 100,000 test images do not need gigabytes

Interval = tuple[float, float]


def wilson(right: int, images: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a proportion (Wilson 1927).

    Args:
        right: Successes, 0 <= right <= images.
        images: Trials, at least 1.
        confidence: In (0, 1).

    Returns:
        Low and high end, in [0, 1]; it holds ``right / images``.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / images
    centre = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z * np.sqrt(share * (1 - share) / images + z * z / (4 * images**2)) / (1 + z * z / images)
    low = 0.0 if right == 0 else max(0.0, float(centre - half))
    high = 1.0 if right == images else min(1.0, float(centre + half))
    return low, high


def confusion_figures(
    confusion: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Interval, Interval]:
    """Bootstrap intervals of the figures that follow from the confusion matrix.

    Args:
        confusion: int (K, K), rows true, columns predicted; at least one image.
        rng: Source of the draws.
        resamples: B.

    Returns:
        The intervals of balanced accuracy and of macro-F1.
    """
    classes = len(confusion)
    support = confusion.sum(axis=1)
    true_positives = np.zeros((resamples, classes), dtype=np.int64)
    predictions = np.zeros((resamples, classes), dtype=np.int64)
    for c in np.flatnonzero(support):
        columns = np.flatnonzero(confusion[c])
        drawn = rng.multinomial(support[c], confusion[c, columns] / support[c], size=resamples)
        predictions[:, columns] += drawn
        hit = np.flatnonzero(columns == c)
        if len(hit):
            true_positives[:, c] = drawn[:, hit[0]]
    return (
        percentiles(metrics.balanced_accuracy(true_positives, support)),
        percentiles(metrics.macro_f1(true_positives, support, predictions)),
    )


def roc_auc(
    positive: np.ndarray, score: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval | None:
    """Bootstrap interval of the area under the ROC curve; arguments as ``metrics.roc_auc``.

    Returns:
        The interval; None where the area is not defined.
    """
    if metrics.roc_auc(positive, score) is None:
        return None
    above, below = metrics.score_counts(positive, score)
    areas = [
        metrics.mann_whitney(
            rng.multinomial(above.sum(), above / above.sum(), size=rows),
            rng.multinomial(below.sum(), below / below.sum(), size=rows),
        )
        for rows in _blocks(resamples, len(above))
    ]
    return percentiles(np.concatenate(areas))


def mean(values: np.ndarray, labels: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> Interval:
    """Bootstrap interval of the mean of one value per image.

    Args:
        values: Finite, float (N,), N >= 1.
        labels: True class indices, int (N,): the strata.
        rng: Source of the draws.
        resamples: B.

    Returns:
        The interval.
    """
    sums = np.zeros(resamples)
    for c in np.unique(labels):
        group = values[labels == c]
        start = 0
        for rows in _blocks(resamples, len(group)):
            drawn = group[rng.integers(len(group), size=(rows, len(group)))]
            sums[start : start + rows] += drawn.sum(axis=1)
            start += rows
    return percentiles(sums / len(values))


def percentiles(figures: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The middle ``confidence`` of resampled figures, float (B,) (Efron & Tibshirani 1993, percentile method)."""
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _blocks(resamples: int, width: int) -> list[int]:
    rows = max(1, min(resamples, _BLOCK // max(1, width)))
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]
