"""Learning curve over labels: how the error falls with the number of training images, and what twice as many would buy.

Errors follow a power law, error(n) = a n^-b + c with a, c >= 0 (Hestness et al. 2017, arXiv 1712.00409). Pure functions
on numpy arrays, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.evaluation.intervals import percentiles, redraw_weights
from topwork.evaluation.verdict import Gain

STEPS = 10
SMALLEST = 0.1  # share of the training images in the smallest subset
RESAMPLES = 400
EXPONENTS = np.geomspace(0.05, 2.0, 40)


def nested(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of the images of which every beginning has the classes in proportion, int64 (N,).

    The first K images are of K different classes, so that no subset of at least K lacks one.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    sorted_labels = labels[by_class]
    rank = np.arange(len(labels)) - np.searchsorted(sorted_labels, sorted_labels)
    share = rank / np.bincount(labels)[sorted_labels]
    return by_class[np.argsort(share, kind="stable")]


def sizes(images: int, classes: int, steps: int = STEPS) -> list[int]:
    """Numbers of images of the nested subsets, rising in equal ratios to all; at least two a class where there are."""
    smallest = min(images, max(2 * classes, round(SMALLEST * images)))
    return sorted({int(n) for n in np.rint(np.geomspace(smallest, images, steps))})


@dataclass(frozen=True)
class Curve:
    """The learning curve of one strategy.

    Attributes:
        name: Of the strategy.
        sizes: Training images, int (S,), rising.
        errors: On test, float (R, S): of R draws of the subsets.
        law: a, b, c.
        gain: What twice the labels would buy.
        low, high: 95 % interval of the law at ``grid``.
        grid: Numbers of images up to twice as many, float (G,).
    """

    name: str
    sizes: np.ndarray
    errors: np.ndarray
    law: tuple[float, float, float]
    gain: Gain
    grid: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def error(self, images: np.ndarray | float) -> np.ndarray:
        """The law at numbers of images."""
        a, b, c = self.law
        return a * np.asarray(images, dtype=np.float64) ** -b + c


def fit_law(images: np.ndarray, errors: np.ndarray, floor: bool = True) -> np.ndarray:
    """Power laws by least squares weighted with the number of images, over a grid of exponents.

    Args:
        images: int (S,), S >= 2.
        errors: float (..., S).
        floor: Whether c may be above 0.

    Returns:
        a, b, c: float (..., 3), a >= 0, c >= 0.
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
        a, c = np.where((c < 0) | (not floor), through_zero, a), np.maximum(c, 0) * floor
        a, c = np.where(a < 0, 0, a), np.where(a < 0, mean_y * floor, c)
        loss = (weight * (errors - a[..., None] * x - c[..., None]) ** 2).sum(axis=-1)
        better = loss < best
        best = np.where(better, loss, best)
        law = np.where(better[..., None], np.stack([a, np.full_like(a, b), c], axis=-1), law)
    return law


def learning_curve(
    name: str, images: np.ndarray, wrong: np.ndarray, labels: np.ndarray, rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Curve:  # fmt: skip
    """Fit the law, and its interval by redrawing test images (within their classes) and the noise of training.

    Args:
        name: Of the strategy.
        images: Sizes of the subsets, int (S,), S >= 2.
        wrong: Whether each test image was wrong, bool (R, S, N).
        labels: True classes of the test images, int (N,).
        rng: Source of the draws.
        resamples: B.
    """
    errors = wrong.mean(axis=2)  # (R, S)
    law = fit_law(images, errors.mean(axis=0))
    weights = redraw_weights(labels, rng, resamples) / len(labels)  # (B, N)
    redrawn = weights @ wrong.mean(axis=0).T  # (B, S)
    # Student's t: the noise itself is known from a few residuals only.
    noisy = redrawn + _training_noise(errors, law, images) * rng.standard_t(max(3, len(images) - 3), size=redrawn.shape)
    laws, steeper = fit_law(images, noisy), fit_law(images, noisy, floor=False)
    grid = np.geomspace(images[0], 2 * images[-1], 40)
    bands = laws[:, :1] * grid ** -laws[:, 1:2] + laws[:, 2:]
    low, high = np.quantile(bands, [0.025, 0.975], axis=0)
    now = float(images[-1])
    value = float(_gain(law, now))
    # Ten sizes hardly tell whether the error has a floor, and without one more labels buy more.
    bottom, top = percentiles(_gain(laws, now))[0], max(percentiles(_gain(both, now))[1] for both in (laws, steeper))
    a, b, c = (float(x) for x in law)
    gain = Gain(name, int(now), value, min(bottom, value), max(top, value))
    return Curve(name, images, wrong.mean(axis=2), (a, b, c), gain, grid, low, high)


def _training_noise(errors: np.ndarray, law: np.ndarray, images: np.ndarray) -> float:
    """Standard deviation of the mean error of a size over other subsets: between draws, or around the law if larger."""
    draws, steps = errors.shape
    around = errors.mean(axis=0) - (law[0] * images.astype(np.float64) ** -law[1] + law[2])
    misfit = float(np.sqrt(np.square(around).sum() / max(1, steps - 3)))
    between = float(np.sqrt(errors[:, :-1].var(axis=0, ddof=1).mean() / draws)) if draws > 1 and steps > 1 else 0.0
    return max(misfit, between)


def _gain(law: np.ndarray, images: float) -> np.ndarray:
    a, b = law[..., 0], law[..., 1]
    return a * images**-b * (1 - 2.0**-b)
