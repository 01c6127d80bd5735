"""Linear classifiers on features, all classes and a path of C at once, each to a stated distance from its optimum.

The minimum over w, with a constant feature for the bias, of

    0.5 |w|^2 + C sum_i loss(scores of image i)

with the squared hinge of each class against the rest (LIBLINEAR's; Fan et al. 2008), or the softmax's cross-entropy.
An image of weight a counts as a of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from topwork.linear.eigenbasis import eigenbasis
from topwork.linear.losses import Softmax, SquaredHinge
from topwork.linear.newton import minimise

Kind = Literal["hinge", "softmax"]
LOSSES = {"hinge": SquaredHinge, "softmax": Softmax}
CONSTANT = {"hinge": 1.0, "softmax": 10.0}  # LIBLINEAR's; a softmax's bias should hardly be penalised
TOLERANCE = 1e-4


@dataclass(frozen=True)
class LinearModel:
    """scores = features @ weight.T + bias.

    Attributes:
        weight: float64 (K, D), or (1, D) for the plane between two classes.
        bias: float64 (K,) or (1,).
    """

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """float64 (N, K); of one plane the second column is its own margin, the first its negative."""
        scores = features @ self.weight.T + self.bias
        return np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores


class Problem:
    """One kind of linear classifier on one set of images, for any C and any part of the images.

    Args:
        features: float (N, D), on a common scale.
        labels: Class indices int64 (N,) in 0 .. classes - 1.
        classes: K.
        kind: The loss.
        device: Where to compute; what knows no float64 (MPS) is replaced by the CPU.
        tolerance: How far above its minimum each objective may end, as a share of it.
        weights: What each image counts, float64 (N,), above 0; None: 1.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, classes: int, kind: Kind, device: str = "cpu",
        tolerance: float = TOLERANCE, weights: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        device = "cpu" if device == "mps" else device
        self._kind, self._tolerance, self._basis = kind, tolerance, eigenbasis(features, CONSTANT[kind], device)
        positive = torch.from_numpy(labels)[:, None] == torch.arange(classes)
        self._positive = (positive[:, 1:] if classes == 2 and kind == "hinge" else positive).to(device)
        self._weights = None if weights is None else torch.from_numpy(weights).double()[:, None].to(device)

    def start(self) -> torch.Tensor:
        """Weights 0 in the basis: where a first fit begins."""
        directions = self._basis.rotation.shape[1]
        return self._basis.rotation.new_zeros(directions, self._positive.shape[1])

    def fit(self, c: float, start: torch.Tensor, rows: np.ndarray | None = None) -> torch.Tensor:
        """The weights in the basis for one C, on all images or on some rows, from weights that are near."""
        basis, positive, weights = self._basis, self._positive, self._weights
        if rows is not None:
            index = torch.from_numpy(rows).to(positive.device)
            basis, positive = basis.rows(index), positive[index]
            weights = None if weights is None else weights[index]
        strength = c if weights is None else c * weights
        return minimise(basis, LOSSES[self._kind](positive, strength), start, self._tolerance)

    def predict(self, w: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """Class indices of some rows by weights in the basis."""
        scores = self._basis.rows(torch.from_numpy(rows).to(w.device)).scores(w)
        return ((scores[:, 0] > 0).long() if scores.shape[1] == 1 else scores.argmax(dim=1)).cpu().numpy()

    def model(self, w: torch.Tensor) -> LinearModel:
        """The classifier of weights in the basis."""
        table = self._basis.weights(w)
        return LinearModel(table[:, :-1], table[:, -1] * CONSTANT[self._kind])

    def path(self, grid: Sequence[float]) -> Iterator[LinearModel]:
        """The classifier of every C of a rising grid, each started from the one before, fitted when it is asked for."""
        w = self.start()
        for c in grid:
            w = self.fit(c, w)
            yield self.model(w)


def cross_validate(
    problem: Problem, labels: np.ndarray, grid: Sequence[float], folds: Sequence[np.ndarray]
) -> Iterator[tuple[float, torch.Tensor]]:
    """Accuracy over all held-out images for every C of a rising grid, and weights near those of all images.

    Args:
        problem: On all images.
        labels: Class indices int64 (N,).
        grid: Values of C.
        folds: Row numbers that are held out in turn; together every row once.

    Yields:
        Share of images that the classifier fitted without them gets right, and the mean of the folds' weights.
    """
    w = problem.start()
    for c in grid:
        right, total = 0, torch.zeros_like(w)
        for fold in folds:
            rest = np.setdiff1d(np.arange(len(labels)), fold)
            w = problem.fit(c, w, rest)  # from the fold before, which shares most images
            right += int((problem.predict(w, fold) == labels[fold]).sum())
            total = total + w
        yield right / len(labels), total / len(folds)
