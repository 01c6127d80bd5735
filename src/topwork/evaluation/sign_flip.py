"""The sign-flip test of real-valued differences: exact on a fine grid, or by an Edgeworth expansion of many."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

MANY = 100.0  # effective number of differences above which their sum is nearly normal
GRID = 500  # steps per standard deviation of the sum
_MAX_TIED = 12  # differences among which equal sums matter; more of them have too many sums


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p: how probable so large a sum is if every difference is as likely with either sign.

    Args:
        differences: Of independent units, float (N,).

    >>> round(sign_flip_p(np.array([3.0, 2.0, 2.0, 0.0])), 3)
    0.25
    """
    sizes = np.abs(differences)
    signed, sizes = differences[sizes > 1e-12 * sizes.max(initial=0)], sizes[sizes > 1e-12 * sizes.max(initial=0)]
    total = abs(float(signed.sum()))
    if not len(sizes) or total <= 1e-12 * float(sizes.sum()):
        return 1.0
    variance, fourth = float(np.square(sizes).sum()), float(np.power(sizes, 4).sum())
    if variance**2 / fourth > MANY:
        return _edgeworth(total - float(sizes.min()), variance, fourth)  # half a step of the sum, if it has steps
    step = np.sqrt(variance) / GRID
    rounded = np.rint(signed / step).astype(np.int64)
    distribution = _distribution(np.abs(rounded))
    center, reached = len(distribution) // 2, abs(int(rounded.sum()))
    reached = max(1, reached - min(len(sizes), _MAX_TIED) // 2)  # sums that are equal but for their rounding
    return min(1.0, 2 * max(0.0, float(distribution[center + reached :].sum())))


def _distribution(sizes: np.ndarray) -> np.ndarray:
    """Probabilities of the sums -S to S of integers int (N,) with random signs, float64 (2 S + 1,)."""
    reach = int(sizes.sum())
    length = 2 * reach + 1
    frequencies = 2 * np.pi * np.arange(reach + 1) / length
    characteristic = np.ones(reach + 1)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        characteristic *= np.cos(size * frequencies) ** count
    return np.fft.fftshift(np.fft.irfft(characteristic, length))


def _edgeworth(total: float, variance: float, fourth: float) -> float:
    """Two-sided p with the fourth cumulant of the sum, -2 times the sum of fourth powers."""
    x = total / np.sqrt(variance)
    if x <= 0:
        return 1.0
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    tail = NormalDist().cdf(-x) - 2 * fourth / variance**2 / 24 * (x**3 - 3 * x) * density
    return float(np.clip(2 * tail, 0.0, 1.0))
