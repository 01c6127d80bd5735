"""95 % intervals: Wilson for shares of images, a stratified bootstrap for the rest.

The bootstrap redraws the images of every true class with replacement, so each class keeps its weight. Of a class with n
images it draws n - 1 (Rao & Wu 1988): with n, the variance of small classes would be too small by (n - 1) / n. Where a
metric depends on counts only (confusion matrix, distinct scores), the counts are drawn from their multinomial
distribution, which is equivalent and needs no loop over resamples.

Metrics in [0, 1] have symmetric intervals on the logit scale, with the standard deviation of the bootstrap, whose
percentiles are too narrow for few images. Resampling underestimates the variance of classes that are nearly all correct
(of 13 correct images none is ever wrong), so the interval of a mean of a few recalls is combined from the Wilson
intervals of the classes (MOVER; Zou & Donner 2008).

An interval shows how a metric would vary with other test images, not with another training seed or split.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from topwork.evaluation import metrics

CONFIDENCE = 0.95
RESAMPLES = 1000
MAX_MOVER_CLASSES = 5
_BLOCK = 4_000_000  # numbers in memory at once, so that 100,000 test images do not need gigabytes

Interval = tuple[float, float]


def wilson(correct: int, images: int) -> Interval:
    """Score interval of a proportion (Wilson 1927).

    Args:
        correct: Successes, 0 <= correct <= images.
        images: Trials, at least 1.

    Returns:
        Low and high end, in [0, 1]; the interval contains ``correct / images``.

    >>> low, high = wilson(88, 100)
    >>> f"{low:.3f} {high:.3f}"
    '0.802 0.930'
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = correct / images
    center = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z * np.sqrt(share * (1 - share) / images + z * z / (4 * images**2)) / (1 + z * z / images)
    low = 0.0 if correct == 0 else max(0.0, float(center - half))
    high = 1.0 if correct == images else min(1.0, float(center + half))
    return low, high


def confusion_intervals(
    confusion: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Interval, Interval]:
    """Bootstrap intervals of balanced accuracy and of macro-F1.

    Args:
        confusion: int (K, K), rows true, columns predicted; at least one image.

    Returns:
        Both intervals. If all images or none are correct, both are that of ``mean_recall_interval``.
    """
    classes = len(confusion)
    support = confusion.sum(axis=1)
    true_positives, predictions = np.zeros((2, resamples, classes))
    for c in np.flatnonzero(support):
        columns = np.flatnonzero(confusion[c])
        drawn = resample_counts(confusion[c, columns], rng, resamples)
        predictions[:, columns] += drawn
        diagonal = np.flatnonzero(columns == c)
        if len(diagonal):
            true_positives[:, c] = drawn[:, diagonal[0]]
    correct, predicted = np.diagonal(confusion), confusion.sum(axis=0)
    by_class = mean_recall_interval(correct[support > 0], support[support > 0])
    balanced = logit_interval(
        float(metrics.balanced_accuracy(correct, support)), metrics.balanced_accuracy(true_positives, support)
    )
    macro = logit_interval(
        float(metrics.macro_f1(correct, support, predicted)), metrics.macro_f1(true_positives, support, predictions)
    )
    few_classes = np.count_nonzero(support) <= MAX_MOVER_CLASSES
    return by_class if few_classes or balanced is None else balanced, by_class if macro is None else macro


def mean_recall_interval(correct: np.ndarray, images: np.ndarray) -> Interval:
    """Interval of the mean of K independent shares, from their Wilson intervals (MOVER; Zou & Donner 2008, eq. 9).

    Args:
        correct: Successes of each class, int (K,), 0 <= correct <= images.
        images: Trials of each class, int (K,), at least 1.

    Returns:
        Low and high end, in [0, 1]. Coverage is near 95 % for about five classes, too low for dozens of small ones.
    """
    shares = correct / images
    ends = np.array([wilson(int(r), int(n)) for r, n in zip(correct, images, strict=True)])
    below, above = (float(np.sqrt(np.square(ends[:, i] - shares).sum())) / len(shares) for i in (0, 1))
    return float(shares.mean()) - below, float(shares.mean()) + above


def logit_interval(value: float, resampled: np.ndarray) -> Interval | None:
    """Interval of a metric in [0, 1], symmetric on the logit scale (Pepe 2003, section 5.2).

    Args:
        value: The measured metric.
        resampled: The metric in bootstrap samples, float (B,). The difference between its mean and ``value`` estimates
            the bias of ``value`` and is subtracted (Efron & Tibshirani 1993, chapter 10): macro-F1 of small classes is
            biased.

    Returns:
        The interval, which contains ``value``; None if the samples do not differ or ``value`` is 0 or 1.
    """
    std, center = float(resampled.std()), 2 * value - float(resampled.mean())
    if not (std > 0 and 0 < center < 1 and 0 < value < 1):
        return None
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * std / (center * (1 - center))
    middle = np.log(center / (1 - center))
    low, high = (1 / (1 + np.exp(-(middle + sign * reach))) for sign in (-1, 1))
    return min(float(low), value), max(float(high), value)


def resample_counts(counts: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Bootstrap counts float64 (resamples, V) of the n images of one class, of which ``counts`` (V,) have each value.

    n - 1 images are drawn with replacement and weighted so that each row sums to n.
    """
    n = int(counts.sum())
    return rng.multinomial(max(1, n - 1), counts / n, size=resamples) * (n / max(1, n - 1))


def resample_weights(labels: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Weights of images in a bootstrap stratified by ``labels`` int (N,): float64 (resamples, N), rows sum to N."""
    weights = np.zeros((resamples, len(labels)))
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        weights[:, rows] = resample_counts(np.ones(len(rows), dtype=np.int64), rng, resamples)
    return weights


def roc_auc_interval(
    positive: np.ndarray, score: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval | None:
    """Bootstrap interval of the area under the ROC curve; arguments as ``metrics.roc_auc``.

    Returns:
        By ``logit_interval``; None if the area is not defined. If it is 0 or 1, the Wilson interval for as many pairs
        as the smaller class has images.
    """
    area = metrics.roc_auc(positive, score)
    if area is None:
        return None
    sides = metrics.counts_by_score(positive, score)
    areas = [
        metrics.mann_whitney(*(resample_counts(counts, rng, rows) for counts in sides))
        for rows in _blocks(resamples, len(sides[0]))
    ]
    smaller = int(min(positive.sum(), (~positive).sum()))
    return logit_interval(area, np.concatenate(areas)) or wilson(round(area * smaller), smaller)


def mean_interval(
    values: np.ndarray, labels: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """Bootstrap interval of the mean of one value per image.

    Args:
        values: Finite, float (N,), N >= 1.
        labels: True class indices, int (N,): the strata.
    """
    sums = np.zeros(resamples)
    for c in np.unique(labels):
        group = values[labels == c]
        start, size = 0, max(1, len(group) - 1)
        for rows in _blocks(resamples, size):
            drawn = group[rng.integers(len(group), size=(rows, size))]
            sums[start : start + rows] += drawn.mean(axis=1) * len(group)
            start += rows
    return percentile_interval(sums / len(values))


def percentile_interval(values: np.ndarray) -> Interval:
    """The middle 95 % of resampled values, float (B,) (Efron & Tibshirani 1993, percentile method)."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _blocks(resamples: int, width: int) -> list[int]:
    rows = max(1, min(resamples, _BLOCK // max(1, width)))
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]
