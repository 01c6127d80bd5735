"""Learning curve: test error against the number of training images, and the predicted gain from doubling it.

Errors follow a power law, error(n) = a n^-b + c with a, c >= 0 (Hestness et al. 2017, arXiv 1712.00409). Pure functions
on numpy arrays, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.evaluation.intervals import percentile_interval, resample_weights
from topwork.evaluation.verdict import PredictedGain

N_SIZES = 10
MIN_SHARE = 0.1  # share of the training images in the smallest subset
RESAMPLES = 400
EXPONENTS = np.geomspace(0.05, 2.0, 40)


def nested_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A random order of the images in which every prefix has the classes in proportion, int64 (N,).

    The first K images are of K different classes, so no prefix of at least K images lacks a class.

    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> labels[nested_order(labels, seed=0)]
    array([0, 1, 0, 0, 1, 0])
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    sorted_labels = labels[by_class]
    rank = np.arange(len(labels)) - np.searchsorted(sorted_labels, sorted_labels)
    share = rank / np.bincount(labels)[sorted_labels]
    return by_class[np.argsort(share, kind="stable")]


def subset_sizes(images: int, classes: int, steps: int = N_SIZES) -> list[int]:
    """Sizes of the nested subsets, geometrically spaced up to ``images``; at least two images per class if possible.

    >>> subset_sizes(1000, classes=4, steps=4)
    [100, 215, 464, 1000]
    """
    smallest = min(images, max(2 * classes, round(MIN_SHARE * images)))
    return sorted({int(n) for n in np.rint(np.geomspace(smallest, images, steps))})


@dataclass(frozen=True)
class Curve:
    """The learning curve of one strategy.

    Attributes:
        sizes: Numbers of training images, int (S,), rising.
        errors: Test errors of R draws of the subsets, float (R, S).
        power_law: a, b, c.
        gain: Predicted gain from doubling the labels.
        grid: Numbers of images up to twice the training set, float (G,).
        low, high: 95 % interval of the error at ``grid``.
    """

    name: str
    sizes: np.ndarray
    errors: np.ndarray
    power_law: tuple[float, float, float]
    gain: PredictedGain
    grid: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def error(self, images: np.ndarray | float) -> np.ndarray:
        """The fitted error at numbers of images."""
        a, b, c = self.power_law
        return a * np.asarray(images, dtype=np.float64) ** -b + c


def fit_power_law(images: np.ndarray, errors: np.ndarray, asymptote: bool = True) -> np.ndarray:
    """Fit power laws by least squares weighted with the number of images, over a grid of exponents.

    Args:
        images: int (S,), S >= 2.
        errors: float (..., S).
        asymptote: Whether c may be above 0.

    Returns:
        a, b, c: float (..., 3), a >= 0, c >= 0.

    >>> n = np.array([100, 200, 400, 800])
    >>> fit_power_law(n, 2.0 * n**-0.5).round(1)
    array([2.2, 0.5, 0. ])
    """
    n, weight = images.astype(np.float64), images / images.sum()
    best = np.full(errors.shape[:-1], np.inf)
    law = np.zeros((*errors.shape[:-1], 3))
    for b in EXPONENTS:
        x = n**-b
        mean_x, mean_y = (weight * x).sum(), (errors * weight).sum(axis=-1)
        slope = (weight * (x - mean_x) * (errors - mean_y[..., None])).sum(axis=-1) / (weight * (x - mean_x) ** 2).sum()
        a, c = slope, mean_y - slope * mean_x
        through_zero = (weight * x * errors).sum(axis=-1) / (weight * x * x).sum()
        a, c = np.where((c < 0) | (not asymptote), through_zero, a), np.maximum(c, 0) * asymptote
        a, c = np.where(a < 0, 0, a), np.where(a < 0, mean_y * asymptote, c)
        loss = (weight * (errors - a[..., None] * x - c[..., None]) ** 2).sum(axis=-1)
        better = loss < best
        best = np.where(better, loss, best)
        law = np.where(better[..., None], np.stack([a, np.full_like(a, b), c], axis=-1), law)
    return law


def fit_learning_curve(
    name: str, images: np.ndarray, incorrect: np.ndarray, labels: np.ndarray, rng: np.random.Generator,
    groups: np.ndarray | None = None, resamples: int = RESAMPLES,
) -> Curve:  # fmt: skip
    """Fit the power law; its interval resamples test images (of each class, or whole groups) and the noise of training.

    Args:
        images: Sizes of the subsets, int (S,), S >= 2.
        incorrect: Whether each test image was misclassified, bool (R, S, N).
        labels: True classes of the test images, int (N,).
        groups: Group of each test image, int (N,); None if they are independent.
    """
    errors = incorrect.mean(axis=2)  # (R, S)
    law = fit_power_law(images, errors.mean(axis=0))
    weights = resample_weights(labels, rng, resamples, groups) / len(labels)  # (B, N)
    resampled = weights @ incorrect.mean(axis=0).T  # (B, S)
    # Student's t, because the noise is estimated from a few residuals.
    noisy = resampled + _training_noise(errors, law, images) * rng.standard_t(
        max(3, len(images) - 3), size=resampled.shape
    )
    laws, steeper = fit_power_law(images, noisy), fit_power_law(images, noisy, asymptote=False)
    grid = np.geomspace(images[0], 2 * images[-1], 40)
    bands = laws[:, :1] * grid ** -laws[:, 1:2] + laws[:, 2:]
    low, high = np.quantile(bands, [0.025, 0.975], axis=0)
    now = float(images[-1])
    value = float(_gain(law, now))
    # Ten sizes hardly determine the asymptote c, and with c = 0 the predicted gain is larger.
    (bottom, top), (_, top_steeper) = (percentile_interval(_gain(found, now)) for found in (laws, steeper))
    gain = PredictedGain(name, int(now), value, min(bottom, value), max(top, top_steeper, value))
    a, b, c = (float(x) for x in law)
    return Curve(name, images, errors, (a, b, c), gain, grid, low, high)


def _training_noise(errors: np.ndarray, law: np.ndarray, images: np.ndarray) -> float:
    """Standard deviation of the mean error at a size: between draws, or around the power law if that is larger."""
    draws, steps = errors.shape
    residuals = errors.mean(axis=0) - (law[0] * images.astype(np.float64) ** -law[1] + law[2])
    misfit = float(np.sqrt(np.square(residuals).sum() / max(1, steps - 3)))
    between = float(np.sqrt(errors[:, :-1].var(axis=0, ddof=1).mean() / draws)) if draws > 1 and steps > 1 else 0.0
    return max(misfit, between)


def _gain(law: np.ndarray, images: float) -> np.ndarray:
    a, b = law[..., 0], law[..., 1]
    return a * images**-b * (1 - 2.0**-b)
