"""Ridge regression on classes, with every image predicted by a fit without it, from one decomposition of all.

Leaving rows m out of a least-squares fit with hat matrix H changes their residuals r to (I - H[m, m])^-1 r.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh, solve

PENALTIES = 0.1, 0.3, 1.0, 3.0
CHUNK = 8192  # images that are converted to float64 at a time


class LeaveOut:
    """The features of images, which count by their direction alone, in the basis of their principal directions.

    Args:
        features: float (N, D), on a common scale.
    """

    def __init__(self, features: np.ndarray) -> None:
        length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        chunks = [slice(start, start + CHUNK) for start in range(0, len(features), CHUNK)]
        gram = np.zeros((features.shape[1],) * 2)
        for chunk in chunks:
            x = (features[chunk] / length[chunk]).astype(np.float64)
            gram += x.T @ x
        values, vectors = eigh(gram, overwrite_a=True, check_finite=False)
        self._values = np.maximum(values, 0)
        self._x = np.concatenate([(features[chunk] / length[chunk]) @ vectors for chunk in chunks])
        self._squares = np.square(self._x)

    def scores(self, labels: np.ndarray, classes: int, units: np.ndarray | None = None) -> np.ndarray:
        """Scores float64 (N, K) of each image by a fit without its unit, about 1 for its class and 0 for the others.

        The penalty is the one with which most of these predictions are right.

        Args:
            labels: Class indices int (N,).
            classes: K.
            units: Images with equal numbers are left out together, int (N,); None if all are independent.
        """
        target = np.eye(classes)[labels]
        target -= (share := target.mean(axis=0))
        product, larger = self._x.T @ target, _of_several(units)
        best, most = target, -1
        for penalty in PENALTIES:
            shrunk = 1 / (self._values + penalty)
            residual = target - self._x @ (shrunk[:, None] * product)
            left = residual / (1 - self._squares @ shrunk)[:, None]
            for unit in larger:
                x = self._x[unit]
                if len(unit) < len(shrunk):
                    left[unit] = np.linalg.solve(np.eye(len(unit)) - (x * shrunk) @ x.T, residual[unit])
                else:  # a fit without them needs the smaller system
                    weight = solve(np.diag(1 / shrunk) - x.T @ x, product - x.T @ target[unit], assume_a="pos")
                    left[unit] = target[unit] - x @ weight
            scores = target - left + share
            right = int((scores.argmax(axis=1) == labels).sum())
            if right > most:
                best, most = scores, right
        return best


def _of_several(units: np.ndarray | None) -> list[np.ndarray]:
    """The rows of each unit of several images."""
    if units is None:
        return []
    order = np.argsort(units, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(units[order])) + 1)
    return [part for part in parts if len(part) > 1]
