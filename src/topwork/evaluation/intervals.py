"""95 % intervals of metrics on test images, also where the images come in groups.

A share is given Wilson's interval, with the *effective* number of images: fewer than there are if images of one group
(patient, burst, module) are right or wrong together (Kish 1965, Korn & Graubard 1998), more if each image was
classified with several seeds. Balanced accuracy and macro-F1 are linearized (delta method); of a class with few
images, which are often all correct or all wrong, the recall is first drawn towards that of all classes. The other
metrics are redrawn: the images of every true class with replacement, of a class with n images n - 1 (Rao & Wu 1988).

An interval shows how a metric would vary with other test images, not with another training seed or split.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from topwork.evaluation import metrics

CONFIDENCE = 0.95
RESAMPLES = 1000
MAX_MOVER_CLASSES = 5
_SHRINKAGE = 0.5  # groups that an estimated design effect is outweighed by; chosen on simulated groups
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
    low, high = _wilson(correct / images, images, NormalDist().inv_cdf((1 + CONFIDENCE) / 2))
    return (0.0 if correct == 0 else low), (1.0 if correct == images else high)


def _wilson(share: float, images: float, z: float) -> Interval:
    """Wilson's interval of a share in [0, 1] with a number of images that need not be whole; contains the share."""
    center = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z * np.sqrt(max(0.0, share * (1 - share)) / images + z * z / (4 * images**2)) / (1 + z * z / images)
    return max(0.0, min(share, float(center - half))), min(1.0, max(share, float(center + half)))


@dataclass(frozen=True)
class Clustering:
    """How far the images of a group go together in a metric.

    Attributes:
        design_effect: Variance of the metric over that of as many independent images, at least 1.
        z: Quantile that half the width of an interval is a multiple of; of Student's t with groups less one.
    """

    design_effect: float = 1.0
    z: float = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

    @property
    def widening(self) -> float:
        """Half the width of an interval over that for independent images."""
        return self.z / NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * float(np.sqrt(self.design_effect))


def clustering(influence: np.ndarray, groups: np.ndarray | None) -> Clustering:
    """Estimate it from how much each image moves the metric.

    The estimate from a few groups is unsteady, and 0 where nothing varies, as when all images are right. So it is drawn
    towards its largest possible value, all images of a group alike, as if half a group had shown that.

    Args:
        influence: Deviation of each image from the mean, in any unit, float (N,).
        groups: Group of each image, int (N,); None if the images are independent.
    """
    if groups is None:
        return Clustering()
    from scipy.stats import t

    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) == len(groups):
        return Clustering()
    most = float(np.square(sizes).sum() / len(groups))
    z = float(t.ppf((1 + CONFIDENCE) / 2, max(1, len(sizes) - 1)))
    alone, together = float(np.square(influence).sum()), np.square(np.bincount(index, weights=influence))
    if alone <= 0 or not together.any():
        return Clustering(most, z)
    shown = _contributing(together)
    found = max(1.0, len(sizes) / max(1, len(sizes) - 1) * float(together.sum()) / alone)
    weight = _SHRINKAGE / (_SHRINKAGE + shown)
    return Clustering(min(most, (1 - weight) * found + weight * most), z)


def _contributing(squares: np.ndarray) -> float:
    """How many images or groups make a variance: as many as would, if each contributed alike (Kish 1965)."""
    return float(squares.sum() ** 2 / np.square(squares).sum())


def share_interval(values: np.ndarray, groups: np.ndarray | None = None) -> Interval:
    """Interval of the mean of values in [0, 1]: whether each image is correct, or in which share of seeds.

    Args:
        values: bool or float (N,), N >= 1.
        groups: Group of each image, int (N,); None if they are independent.

    >>> low, high = share_interval(np.arange(100) < 88)
    >>> f"{low:.3f} {high:.3f}"
    '0.802 0.930'
    """
    values = values.astype(np.float64)
    share, images = float(values.mean()), len(values)
    deviations = values - share
    binomial = share * (1 - share)
    squares = np.square(deviations)
    ratio = float(squares.mean()) / binomial if binomial > 0 else 1.0  # below 1 with several seeds
    if ratio < 1 - 1e-9:
        weight = _SHRINKAGE / (_SHRINKAGE + _contributing(squares))
        ratio = (1 - weight) * ratio + weight
    found = clustering(deviations, groups)
    low, high = _wilson(share, images / (ratio * found.design_effect), found.z)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def confusion_intervals(
    labels: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> tuple[Interval, Interval]:
    """Intervals of balanced accuracy and of macro-F1: Wilson's, with the number of images that has their variance.

    Args:
        labels, predicted: Class indices, int (N,), N >= 1.
        groups: Group of each image, int (N,); None if they are independent.
        resamples: From which the bias of macro-F1 is found: F1 of small classes is biased.
    """
    confusion = metrics.confusion_matrix(labels, predicted, classes)
    support = confusion.sum(axis=1)
    rows = _smoothed_rows(confusion)
    expected = support[:, None] * rows
    correct, predictions = np.diagonal(confusion), confusion.sum(axis=0)
    smooth = np.diagonal(expected), support, expected.sum(axis=0)
    balanced = _linear_interval(
        float(metrics.balanced_accuracy(correct, support)), float(metrics.balanced_accuracy(smooth[0], support)),
        np.diag(np.divide(1.0, support, out=np.zeros(classes), where=support > 0)) / np.count_nonzero(support),
        confusion, rows, labels, predicted, groups,
    )  # fmt: skip
    if np.count_nonzero(support) <= MAX_MOVER_CLASSES and groups is None:
        few = mean_recall_interval(correct[support > 0], support[support > 0])
        balanced = min(balanced[0], few[0]), max(balanced[1], few[1])
    value, middle = float(metrics.macro_f1(correct, support, predictions)), float(metrics.macro_f1(*smooth))
    center = float(np.clip(value - _macro_f1_bias(rows, support, middle, rng, resamples), 0, 1))
    low, high = _linear_interval(
        center, middle, metrics.macro_f1_slopes(*smooth), confusion, rows, labels, predicted, groups
    )
    return balanced, (min(low, value), max(high, value))


def _smoothed_rows(confusion: np.ndarray) -> np.ndarray:
    """Probabilities float64 (K, K) of the predictions of each true class, as if one image more had the pooled ones.

    A class of one image would otherwise seem to vary not at all.
    """
    classes, support = len(confusion), confusion.sum(axis=1)
    right = (np.trace(confusion) + 0.5) / (confusion.sum() + 1)
    wrong = confusion.sum(axis=0) - np.diagonal(confusion) + 1 / classes
    pooled = np.tile(wrong.astype(np.float64), (classes, 1))
    np.fill_diagonal(pooled, 0)
    pooled *= (1 - right) / np.maximum(pooled.sum(axis=1, keepdims=True), 1e-12)
    np.fill_diagonal(pooled, right if classes > 1 else 1.0)
    return (confusion + pooled) / (support + 1)[:, None]


def _macro_f1_bias(
    rows: np.ndarray, support: np.ndarray, middle: float, rng: np.random.Generator, resamples: int
) -> float:
    """Mean of macro-F1 over drawn test sets less that of their expected confusion matrix."""
    classes, total = len(support), 0.0
    for count in _blocks(resamples, classes):
        correct, predictions = np.zeros((2, count, classes))
        for c in np.flatnonzero(support):
            drawn = rng.multinomial(support[c], rows[c], size=count)
            predictions += drawn
            correct[:, c] = drawn[:, c]
        total += float(metrics.macro_f1(correct, support, predictions).sum())
    return total / resamples - middle


def _linear_interval(
    value: float,
    middle: float,
    slopes: np.ndarray,
    confusion: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray | None,
) -> Interval:
    """Wilson's interval of a metric of the confusion matrix.

    Args:
        value: The metric, in [0, 1].
        middle: The metric with the smoothed rows.
        slopes: How much an image moves it by class and prediction, (K, K).
    """
    support = confusion.sum(axis=1)
    means = (rows * slopes).sum(axis=1)
    variances = (rows * np.square(slopes)).sum(axis=1) - np.square(means)
    unbiased = 1 - support / np.square(support + 1)  # the share of the variance that smoothed rows keep
    variance = float((support * variances / unbiased).sum())
    found = clustering(slopes[labels, predicted] - means[labels], groups)
    if not (variance > 0 and 0 < middle < 1):
        return _wilson(value, len(labels) / found.design_effect, found.z)
    return _wilson(value, middle * (1 - middle) / (variance * found.design_effect), found.z)


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


def logit_interval(value: float, resampled: np.ndarray, widening: float = 1.0) -> Interval | None:
    """Interval of a metric in [0, 1], symmetric on the logit scale (Pepe 2003, section 5.2).

    Args:
        value: The measured metric.
        resampled: The metric in bootstrap samples, float (B,). The difference between its mean and ``value`` estimates
            the bias of ``value`` and is subtracted (Efron & Tibshirani 1993, chapter 10).
        widening: Of images in groups, see ``Clustering``.

    Returns:
        The interval, which contains ``value``; None if the samples do not differ or ``value`` is 0 or 1.
    """
    std, center = float(resampled.std()), 2 * value - float(resampled.mean())
    if not (std > 0 and 0 < center < 1 and 0 < value < 1):
        return None
    reach = widening * NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * std / (center * (1 - center))
    middle = np.log(center / (1 - center))
    low, high = (1 / (1 + np.exp(-(middle + sign * reach))) for sign in (-1, 1))
    return min(float(low), value), max(float(high), value)


def resample_counts(counts: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Bootstrap counts float64 (resamples, V) of the n images of one class, of which ``counts`` (V,) have each value.

    n - 1 images are drawn with replacement and weighted so that each row sums to n.
    """
    n = int(counts.sum())
    return rng.multinomial(max(1, n - 1), counts / n, size=resamples) * (n / max(1, n - 1))


def strata(labels: np.ndarray, minimum: int = 5) -> list[np.ndarray]:
    """Rows of each class; classes with fewer than ``minimum`` images are one stratum, as their spread is unknown."""
    counts = np.bincount(labels)
    small = counts[labels] < minimum
    found = [np.flatnonzero(labels == c) for c in np.flatnonzero(counts >= minimum)]
    return [*found, np.flatnonzero(small)] if small.any() else found


def resample_weights(
    labels: np.ndarray, rng: np.random.Generator, resamples: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Weights of images in a bootstrap: float64 (resamples, N), rows sum to N.

    Stratified by ``labels`` int (N,), or of whole ``groups`` int (N,) if there are any.
    """
    if groups is not None:
        _, index = np.unique(groups, return_inverse=True)
        weights = resample_counts(np.ones(index.max() + 1, dtype=np.int64), rng, resamples)[:, index]
        return weights * (len(labels) / weights.sum(axis=1, keepdims=True))
    weights = np.zeros((resamples, len(labels)))
    for rows in strata(labels):
        weights[:, rows] = resample_counts(np.ones(len(rows), dtype=np.int64), rng, resamples)
    return weights


def roc_auc_interval(
    positive: np.ndarray,
    score: np.ndarray,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """Bootstrap interval of the area under the ROC curve.

    Args:
        positive, score: As for ``metrics.roc_auc``.
        groups: Group of each image, int (N,); None if they are independent.

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
    found = clustering(metrics.placements(positive, score), groups)
    smaller = int(min(positive.sum(), (~positive).sum()))
    return logit_interval(area, np.concatenate(areas), found.widening) or _wilson(
        area, smaller / found.design_effect, found.z
    )


def macro_roc_auc_interval(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray | None = None) -> Interval:
    """Interval of ``metrics.macro_roc_auc``, which is defined, symmetric on the logit scale.

    Its variance is that of the placements of each image, averaged over the classes (DeLong et al. 1988). Near an area
    of 1 a few images make all of it, so the quantile is Student's t's for as many images as contribute (Kish 1965).

    Args:
        labels: Class indices, int (N,).
        probabilities: float (N, K).
        groups: Group of each image, int (N,); None if they are independent.
    """
    present = np.unique(labels)
    moved = np.mean([metrics.placements(labels == c, probabilities[:, c]) for c in present], axis=0)
    area = metrics.macro_roc_auc(labels, probabilities)
    assert area is not None
    found = clustering(moved, groups)
    variance = sum(float(np.square(moved[rows]).sum()) * len(rows) / max(1, len(rows) - 1) for rows in strata(labels))
    if not (variance > 0 and 0 < area < 1):
        return _wilson(area, int(np.bincount(labels)[present].min()) / found.design_effect, found.z)
    from scipy.stats import t

    z = max(found.z, float(t.ppf((1 + CONFIDENCE) / 2, max(1.0, _contributing(np.square(moved))))))
    reach = z * float(np.sqrt(variance * found.design_effect)) / (area * (1 - area))
    middle = np.log(area / (1 - area))
    low, high = (1 / (1 + np.exp(-(middle + sign * reach))) for sign in (-1, 1))
    return float(low), float(high)


def loss_interval(losses: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> Interval:
    """Interval of the mean of one loss per image, symmetric on the log scale, as the losses are skewed.

    Args:
        losses: Finite, at least 0, float (N,), N >= 1.
        labels: True class indices, int (N,): the strata.
        groups: Group of each image, int (N,); None if they are independent.
    """
    mean, deviations, variance = float(losses.mean()), np.zeros(len(losses)), 0.0
    for rows in strata(labels):
        deviations[rows] = losses[rows] - losses[rows].mean()
        variance += float(np.square(deviations[rows]).sum()) * len(rows) / max(1, len(rows) - 1)
    if groups is not None:
        deviations = losses - mean
        variance = float(np.square(deviations).sum())
    if not (mean > 0 and variance > 0):
        return mean, mean
    found = clustering(deviations, groups)
    reach = float(found.z * np.sqrt(found.design_effect * variance)) / len(losses) / mean
    return mean * float(np.exp(-reach)), mean * float(np.exp(reach))


def percentile_interval(values: np.ndarray) -> Interval:
    """The middle 95 % of resampled values, float (B,) (Efron & Tibshirani 1993, percentile method)."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _blocks(resamples: int, width: int) -> list[int]:
    rows = max(1, min(resamples, _BLOCK // max(1, width)))
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]
