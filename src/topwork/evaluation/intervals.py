"""95 % intervals: Wilson for shares of images, a stratified bootstrap for the rest.

The bootstrap redraws the images of every true class with replacement, so each class keeps its weight. Of a class with n
images it draws n - 1 (Rao & Wu 1988): with n, the spread of small classes would come out too small by (n - 1) / n, and
intervals too narrow. Where a figure depends on counts only (confusion matrix, distinct scores), the counts are drawn
directly from their multinomial distribution: the same distribution as redrawing images, without a loop over resamples.

Figures between 0 and 1 have their intervals on the scale of log(p / (1 - p)), on which they are nearly normal, with the
spread of the bootstrap: its percentiles come out too narrow for few images. Redrawing can't tell the spread of a few
classes that are nearly all right (of 13 right images none is ever wrong): the interval of a mean of their recalls is
put together from the Wilson intervals of the classes (MOVER; Zou & Donner 2008).

An interval says what another draw of test images would change. It says nothing about another training or split.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from topwork.evaluation import metrics

CONFIDENCE = 0.95
RESAMPLES = 1000
FEW_CLASSES = 5
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
        The intervals of balanced accuracy and of macro-F1. Where all images or none are right, both are those of the
        recalls.
    """
    classes = len(confusion)
    support = confusion.sum(axis=1)
    true_positives, predictions = np.zeros((2, resamples, classes))
    for c in np.flatnonzero(support):
        columns = np.flatnonzero(confusion[c])
        drawn = redraw(confusion[c, columns], rng, resamples)
        predictions[:, columns] += drawn
        hit = np.flatnonzero(columns == c)
        if len(hit):
            true_positives[:, c] = drawn[:, hit[0]]
    right, guesses = np.diagonal(confusion), confusion.sum(axis=0)
    by_class = mean_recall(right[support > 0], support[support > 0])
    balanced = logit(
        float(metrics.balanced_accuracy(right, support)), metrics.balanced_accuracy(true_positives, support)
    )
    macro = logit(
        float(metrics.macro_f1(right, support, guesses)), metrics.macro_f1(true_positives, support, predictions)
    )
    few = np.count_nonzero(support) <= FEW_CLASSES
    return by_class if few or balanced is None else balanced, by_class if macro is None else macro


def mean_recall(right: np.ndarray, images: np.ndarray) -> Interval:
    """Interval of the mean of K independent shares, from their Wilson intervals (MOVER; Zou & Donner 2008, eq. 9).

    Args:
        right: Successes of each class, int (K,), 0 <= right <= images.
        images: Trials of each class, int (K,), at least 1.

    Returns:
        Low and high end, in [0, 1]. Near 95 % for some five classes, too narrow for dozens of small ones.
    """
    shares = right / images
    ends = np.array([wilson(int(r), int(n)) for r, n in zip(right, images, strict=True)])
    below, above = (float(np.sqrt(np.square(ends[:, i] - shares).sum())) / len(shares) for i in (0, 1))
    return float(shares.mean()) - below, float(shares.mean()) + above


def logit(figure: float, resampled: np.ndarray) -> Interval | None:
    """Interval of a figure between 0 and 1, symmetric on the scale of log(p / (1 - p)) (Pepe 2003, section 5.2).

    Args:
        figure: As measured.
        resampled: The figure in bootstrap samples, float (B,). Its mean lies as far off ``figure`` as that lies off the
            truth, which is taken back (Efron & Tibshirani 1993, chapter 10): macro-F1 of small classes is biased.

    Returns:
        The interval, which holds ``figure``; None where the samples don't differ or the figure is 0 or 1.
    """
    spread, centre = float(resampled.std()), 2 * figure - float(resampled.mean())
    if not (spread > 0 and 0 < centre < 1 and 0 < figure < 1):
        return None
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * spread / (centre * (1 - centre))
    middle = np.log(centre / (1 - centre))
    low, high = (1 / (1 + np.exp(-(middle + sign * reach))) for sign in (-1, 1))
    return min(float(low), figure), max(float(high), figure)


def redraw(counts: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Bootstrap counts of the images of one class, of which ``counts`` int (V,) were seen with each of V values.

    Returns:
        float64 (resamples, V): n - 1 images drawn with replacement, weighted so that each row sums to n.
    """
    n = int(counts.sum())
    return rng.multinomial(max(1, n - 1), counts / n, size=resamples) * (n / max(1, n - 1))


def redraw_weights(labels: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Weights of images in a bootstrap stratified by ``labels`` int (N,): float64 (resamples, N), rows sum to N."""
    weights = np.zeros((resamples, len(labels)))
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        weights[:, rows] = redraw(np.ones(len(rows), dtype=np.int64), rng, resamples)
    return weights


def roc_auc(
    positive: np.ndarray, score: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval | None:
    """Bootstrap interval of the area under the ROC curve; arguments as ``metrics.roc_auc``.

    Returns:
        The interval as of ``logit``; None where the area is not defined. Where every pair is in order, or none, that of
        Wilson for as many pairs as the smaller class has images.
    """
    area = metrics.roc_auc(positive, score)
    if area is None:
        return None
    above, below = metrics.score_counts(positive, score)
    areas = [
        metrics.mann_whitney(
            redraw(above, rng, rows),
            redraw(below, rng, rows),
        )
        for rows in _blocks(resamples, len(above))
    ]
    fewer = int(min(positive.sum(), (~positive).sum()))
    return logit(area, np.concatenate(areas)) or wilson(round(area * fewer), fewer)


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
        size = max(1, len(group) - 1)
        for rows in _blocks(resamples, size):
            drawn = group[rng.integers(len(group), size=(rows, size))]
            sums[start : start + rows] += drawn.mean(axis=1) * len(group)
            start += rows
    return percentiles(sums / len(values))


def percentiles(figures: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The middle ``confidence`` of resampled figures, float (B,) (Efron & Tibshirani 1993, percentile method)."""
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _blocks(resamples: int, width: int) -> list[int]:
    rows = max(1, min(resamples, _BLOCK // max(1, width)))
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]
