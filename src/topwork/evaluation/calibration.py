"""Calibration of probabilities: temperature scaling, reliability, selective prediction. Pure functions, no torch.

Shapes: ``scores`` and ``probabilities`` are float (N, K), ``labels`` int (N,) class indices. The *confidence* of a
prediction is its highest probability.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit

from topwork.evaluation.intervals import CONFIDENCE, Interval

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-2, 1e2
MIN_CONFIDENCE = 0.5  # lower bound of the threshold: below it a prediction is more likely wrong than correct
TARGET_ERROR_RATIO = 0.5  # error rate on the kept images over that on all, if MIN_COVERAGE of the images is kept
MIN_COVERAGE = 0.5
N_DRAWS = 1000


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The T > 0 that minimizes the log-loss of ``softmax(scores / T)`` (Guo et al. 2017, arXiv 1706.04599).

    Args:
        scores: Logits of images that the network was not trained on.
        labels: Their classes, N >= 1.

    Returns:
        In [0.01, 100]. 1 if scores are not finite or all equal within each image. At least 1 if every image is correct,
        since the log-loss then falls as T approaches 0.

    >>> overconfident = np.array([[8.0, 0.0], [8.0, 0.0], [0.0, 8.0], [0.0, 8.0]])
    >>> fit_temperature(overconfident, np.array([0, 0, 1, 0])) > 5
    True
    """
    if not np.isfinite(scores).all() or np.ptp(scores, axis=1).max(initial=0.0) == 0:
        return 1.0
    rows, logits = np.arange(len(labels)), scores.astype(np.float64)

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean())

    found = minimize_scalar(
        loss, bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded", options={"xatol": 1e-6}
    )
    all_correct = bool((logits.argmax(axis=1) == labels).all())
    return max(1.0, float(np.exp(found.x))) if all_correct else float(np.exp(found.x))


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of equal width, without empty bins.

    Attributes:
        low, high: Ends of each bin, float (B,).
        images: Images per bin, int (B,).
        confidence: Mean confidence per bin, float (B,).
        correct: Correct predictions per bin, int (B,).
    """

    low: np.ndarray
    high: np.ndarray
    images: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Share of correct predictions per bin, float (B,)."""
        return self.correct / self.images

    @property
    def ece(self) -> float:
        """Expected calibration error: mean |accuracy - confidence| over the images (Naeini et al. 2015)."""
        return float((self.images * np.abs(self.accuracy - self.confidence)).sum() / self.images.sum())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort images into bins (low, high] by their confidence (Guo et al. 2017).

    >>> reliability(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), bins=1).ece.__round__(2)
    0.35
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    images = np.bincount(index, minlength=bins)
    full = np.flatnonzero(images)
    sums = np.bincount(index, weights=confidence, minlength=bins)
    hits = np.bincount(index, weights=correct, minlength=bins).astype(np.int64)
    return Reliability(full / bins, (full + 1) / bins, images[full], sums[full] / images[full], hits[full])


def ece_interval(
    bins: Reliability, rng: np.random.Generator, design_effect: float = 1.0, draws: int = N_DRAWS
) -> Interval:
    """95 % interval of the expected calibration error, by inverting a test.

    The error measured on few images is too large, because chance moves every bin away from its confidence and absolute
    differences do not cancel. The gap between confidence and accuracy is assumed to have the shape of a logistic
    recalibration (Cox 1958) fitted to the bins, scaled by a factor. For each factor ``draws`` test sets are simulated;
    the interval holds the factors under which the measured error is plausible. Its low end is 0 if perfect calibration
    is plausible; the measured error may be above its high end.

    Args:
        design_effect: Of images in groups (``intervals.clustering``). Test sets of so many times fewer images are
            simulated too, and the interval holds what is plausible by either.
    """
    if design_effect > 1:
        fewer = bins.images / design_effect
        few = replace(bins, images=fewer, correct=bins.accuracy * fewer)
        ends = ece_interval(bins, rng, draws=draws), ece_interval(few, rng, draws=draws)
        return min(low for low, _ in ends), max(high for _, high in ends)
    share, measured = bins.images / bins.images.sum(), bins.ece
    shape = _recalibrated(bins) - bins.confidence
    size = max(float((np.abs(shape) * share).sum()), 1e-9)
    factors = np.linspace(0, (1.5 * measured + 0.05) / size, 31)[:, None]
    truth = np.clip(bins.confidence + factors * shape, 0, 1)  # (F, B)
    total = max(1, round(float(bins.images.sum())))
    images = rng.multinomial(total, share, size=(len(factors), draws))  # (F, draws, B)
    correct = rng.binomial(images, truth[:, None, :])
    errors = np.abs(correct - images * bins.confidence).sum(axis=2) / total  # (F, draws)
    values = (np.abs(truth - bins.confidence) * share).sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    floor, ceiling = (np.maximum.accumulate(np.quantile(errors, q, axis=1)) for q in (tail, 1 - tail))
    low = 0.0 if measured <= ceiling[0] else float(np.interp(measured, ceiling, values))
    return low, max(low, float(np.interp(measured, floor, values)))


def _recalibrated(bins: Reliability, steps: int = 25) -> np.ndarray:
    """Accuracy of the bins by logit(accuracy) = a + b logit(confidence), with a weak Gaussian prior at a = 0, b = 1."""
    x = logit(np.clip(bins.confidence, 1e-4, 1 - 1e-4))
    design, prior, w = np.stack([np.ones_like(x), x], axis=1), np.array([0.0, 1.0]), np.array([0.0, 1.0])
    for _ in range(steps):
        p = expit(design @ w)
        hessian = (design.T * (bins.images * p * (1 - p))) @ design + 0.1 * np.eye(2)
        gradient = design.T @ (bins.correct - bins.images * p) - 0.1 * (w - prior)
        step = np.linalg.solve(hessian, gradient)
        w = w + step / max(1.0, float(np.abs(step).max()))
    return expit(design @ w)


def selective_accuracy(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> tuple[float, float | None]:
    """Coverage and accuracy if the model abstains on a confidence below ``threshold`` (El-Yaniv & Wiener 2010).

    Returns:
        The share of images that are kept, and the share of these that are correct; None if none is kept.

    >>> selective_accuracy(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), threshold=0.7)
    (0.5, 1.0)
    """
    kept = probabilities.max(axis=1) >= threshold
    correct = probabilities.argmax(axis=1)[kept] == labels[kept]
    return len(correct) / len(labels), int(correct.sum()) / len(correct) if len(correct) else None


def coverage_curve(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy against coverage: on the most confident images first (El-Yaniv & Wiener 2010).

    Returns:
        Thresholds (falling), coverage (rising) and accuracy, float (U,) each, one per distinct confidence.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    correct = np.cumsum((probabilities.argmax(axis=1) == labels)[order])
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))  # equal confidences stay together
    kept = last + 1
    return confidence[order][last], kept / len(labels), correct[last] / kept


def choose_confidence_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The confidence below which the model abstains, chosen on the validation set.

    The lowest threshold that halves the error rate of the kept images; if fewer than half of the images would be kept,
    the threshold with the lowest error rate that keeps half. At least 0.5, and 0.5 if there is no error to halve: the
    lowest of N confidences would make the model abstain on one in N + 1 images like these.

    >>> confidence = np.array([0.9, 0.8, 0.7, 0.6])
    >>> choose_confidence_threshold(np.stack([confidence, 1 - confidence], axis=1), np.array([0, 0, 0, 1]))
    0.7
    """
    thresholds, coverage, accuracy = coverage_curve(probabilities, labels)
    if not np.isfinite(thresholds).all() or accuracy[-1] == 1:
        return MIN_CONFIDENCE
    enough = coverage >= MIN_COVERAGE
    errors = np.where(enough, 1 - accuracy, np.inf)
    good = np.flatnonzero(errors <= TARGET_ERROR_RATIO * (1 - accuracy[-1]))
    index = good[-1] if len(good) else int(len(errors) - 1 - np.argmin(errors[::-1]))  # of equals the lowest
    return max(MIN_CONFIDENCE, float(thresholds[index]))
