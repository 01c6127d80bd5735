"""Probabilities that can be believed: temperature, reliability, and when to say 'unsure'. Pure functions, no torch.

Shapes: ``scores`` and ``probabilities`` are float (N, K), ``labels`` int (N,) class indices. The *confidence* of a
prediction is its highest probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit

from topwork.evaluation.intervals import CONFIDENCE, Interval

BINS = 15
COLDEST, HOTTEST = 1e-2, 1e2  # limits of the temperature
EVEN = 0.5  # a prediction that is more likely wrong than right is unsure, whatever val says
SHARE_OF_ERRORS = 0.5  # what 'unsure' leaves of the error rate on val, if that costs no more than LEAST_COVERAGE
LEAST_COVERAGE = 0.5
DRAWS = 1000


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The T > 0 for which ``softmax(scores / T)`` has the least log-loss (Guo et al. 2017, arXiv 1706.04599).

    Args:
        scores: Finite logits of images that the network was not trained on.
        labels: Their classes, N >= 1.

    Returns:
        In [0.01, 100]. 1 where the scores say nothing about T: they are not finite, or all equal within each image; and
        not below 1 where every image is right, for then the least log-loss is at certainty.
    """
    if not np.isfinite(scores).all() or np.ptp(scores, axis=1).max(initial=0.0) == 0:
        return 1.0
    rows, logits = np.arange(len(labels)), scores.astype(np.float64)

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    flawless = bool((logits.argmax(axis=1) == labels).all())
    return max(1.0, float(np.exp(found.x))) if flawless else float(np.exp(found.x))


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal width; empty bins are left out.

    Attributes:
        low, high: Ends of each bin, float (B,).
        images: In each bin, int (B,).
        confidence: Mean in each bin, float (B,).
        right: Right predictions in each bin, int (B,).
    """

    low: np.ndarray
    high: np.ndarray
    images: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Share of right predictions in each bin, float (B,)."""
        return self.right / self.images

    @property
    def error(self) -> float:
        """Expected calibration error: mean |accuracy - confidence| over the images' bins (Naeini et al. 2015)."""
        return float((self.images * np.abs(self.accuracy - self.confidence)).sum() / self.images.sum())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort images into bins (low, high] by their confidence, as Guo et al. 2017 do."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    full = np.flatnonzero(images)
    sums = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=right, minlength=bins).astype(np.int64)
    return Reliability(full / bins, (full + 1) / bins, images[full], sums[full] / images[full], hits[full])


def error_interval(bins: Reliability, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """95 % interval of the expected calibration error of these bins, for the images they stand for.

    The error measured on few images is too large, since chance moves every bin away from its confidence and distances
    do not cancel. So the interval is found by inverting a test: the gap between confidence and accuracy is taken to
    have the shape of a logistic recalibration (Cox 1958) fitted to the bins, in any size; test sets are drawn for each
    size, and those sizes stay that make what was measured neither too large nor, if they are above 0, too small. The
    low end is 0 where perfect calibration is possible; the measured error may lie above the high end.

    Args:
        bins: What was measured.
        rng: Source of the draws.
        draws: Test sets for each size.
    """
    share, measured = bins.images / bins.images.sum(), bins.error
    shape = _recalibrated(bins) - bins.confidence
    size = max(float((np.abs(shape) * share).sum()), 1e-9)
    factors = np.linspace(0, (1.5 * measured + 0.05) / size, 31)[:, None]
    truth = np.clip(bins.confidence + factors * shape, 0, 1)  # (F, B)
    total = int(bins.images.sum())
    images = rng.multinomial(total, share, size=(len(factors), draws))  # (F, draws, B)
    right = rng.binomial(images, truth[:, None, :])
    errors = np.abs(right - images * bins.confidence).sum(axis=2) / total  # (F, draws)
    values = (np.abs(truth - bins.confidence) * share).sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    floor, ceiling = (np.maximum.accumulate(np.quantile(errors, q, axis=1)) for q in (tail, 1 - tail))
    low = 0.0 if measured <= ceiling[0] else float(np.interp(measured, ceiling, values))
    return low, max(low, float(np.interp(measured, floor, values)))


def _recalibrated(bins: Reliability, steps: int = 25) -> np.ndarray:
    """Accuracy of the bins by logit(accuracy) = a + b logit(confidence), fitted with a weak pull to a = 0, b = 1."""
    x = logit(np.clip(bins.confidence, 1e-4, 1 - 1e-4))
    design, pull, w = np.stack([np.ones_like(x), x], axis=1), np.array([0.0, 1.0]), np.array([0.0, 1.0])
    for _ in range(steps):
        p = expit(design @ w)
        curvature = (design.T * (bins.images * p * (1 - p))) @ design + 0.1 * np.eye(2)
        gradient = design.T @ (bins.right - bins.images * p) - 0.1 * (w - pull)
        step = np.linalg.solve(curvature, gradient)
        w = w + step / max(1.0, float(np.abs(step).max()))
    return expit(design @ w)


@dataclass(frozen=True)
class Answered:
    """What is left when predictions below a confidence are called unsure.

    Attributes:
        images: All.
        kept: Those that are answered.
        right: Of these, the right ones.
    """

    images: int
    kept: int
    right: int

    @property
    def coverage(self) -> float:
        """Share that is answered, in [0, 1]."""
        return self.kept / self.images

    @property
    def accuracy(self) -> float | None:
        """Share of right ones among the answered; None if there are none."""
        return self.right / self.kept if self.kept else None


def answered(probabilities: np.ndarray, labels: np.ndarray, below: float) -> Answered:
    """Count what is answered when predictions with a confidence below ``below`` are called unsure."""
    kept = probabilities.max(axis=1) >= below
    right = kept & (probabilities.argmax(axis=1) == labels)
    return Answered(len(labels), int(kept.sum()), int(right.sum()))


def coverage_curve(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy of the surest images, the surest first (El-Yaniv & Wiener 2010).

    Returns:
        Thresholds falling, coverage rising and accuracy, float (U,) each, for every distinct confidence.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == labels)[order])
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))  # equal confidences are kept together
    kept = last + 1
    return confidence[order][last], kept / len(labels), right[last] / kept


def choose_confidence_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The confidence below which a prediction is called unsure, chosen on val.

    The lowest that halves the error rate of what is still answered; if that would leave less than half of the images,
    the one with the fewest errors that leaves half. Never below 0.5.
    """
    thresholds, coverage, accuracy = coverage_curve(probabilities, labels)
    if not np.isfinite(thresholds).all():
        return EVEN
    enough = coverage >= LEAST_COVERAGE
    errors = np.where(enough, 1 - accuracy, np.inf)
    good = np.flatnonzero(errors <= SHARE_OF_ERRORS * (1 - accuracy[-1]))
    place = good[-1] if len(good) else int(len(errors) - 1 - np.argmin(errors[::-1]))  # of equals the lowest
    return max(EVEN, float(thresholds[place]))
