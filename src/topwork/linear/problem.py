"""A linear classifier as an optimization problem, for all classes and a path of C.

The minimum over w, with a constant feature for the bias, of

    0.5 |w|^2 + C sum_i loss(scores of image i)

with the squared hinge of each class against the rest (LIBLINEAR's L2-loss SVM; Fan et al. 2008), or the softmax
cross-entropy (multinomial logistic regression). An image of weight a counts as a images.
Shapes: N images, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from topwork.linear.eigenbasis import eigenbasis
from topwork.linear.losses import Softmax, SquaredHinge
from topwork.linear.newton import minimize

Kind = Literal["hinge", "softmax"]
LOSSES = {"hinge": SquaredHinge, "softmax": Softmax}
CONSTANT_FEATURE = {"hinge": 1.0, "softmax": 10.0}  # 1 as LIBLINEAR; a softmax's bias should hardly be penalized
TOLERANCE = 1e-4
MAX_SCORES = 2**24  # of all folds together, which are solved side by side: 128 MiB an array


@dataclass(frozen=True)
class LinearModel:
    """scores = features @ weight.T + bias.

    Attributes:
        weight: float64 (K, D), or (1, D) for the hyperplane between two classes.
        bias: float64 (K,) or (1,).
    """

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Scores float64 (N, K); of a single hyperplane the margin, with both signs.

        >>> LinearModel(np.array([[1.0, 2.0]]), np.array([0.5])).scores(np.array([[1.0, 1.0]]))
        array([[-3.5,  3.5]])
        """
        return both_signs(features @ self.weight.T + self.bias)


def both_signs(scores: np.ndarray) -> np.ndarray:
    """Of the margin (N, 1) of a single hyperplane that of both classes (N, 2); more scores stay."""
    return np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores


class LinearProblem:
    """One kind of linear classifier on one set of images, for any C and any subset of the images.

    Args:
        features: float (N, D), on a common scale.
        labels: Class indices int64 (N,) in 0 .. classes - 1.
        classes: K.
        kind: The loss.
        device: Where to compute; MPS, which has no float64, is replaced by the CPU.
        tolerance: How far above its minimum each objective may end, as a share of it.
        weights: Weight of each image in the loss, float64 (N,), above 0; None: 1.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, classes: int, kind: Kind, device: str = "cpu",
        tolerance: float = TOLERANCE, weights: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        device = "cpu" if device.startswith("mps") else device
        self._kind, self._tolerance = kind, tolerance
        self._basis = eigenbasis(features, CONSTANT_FEATURE[kind], device)
        positive = torch.from_numpy(labels)[:, None] == torch.arange(classes)
        self._positive = (positive[:, 1:] if classes == 2 and kind == "hinge" else positive).to(device)
        self._weights = None if weights is None else torch.from_numpy(weights).double()[:, None].to(device)

    def zeros(self) -> torch.Tensor:
        """Weights 0 in the basis: the start of a first fit."""
        return self._basis.rotation.new_zeros(self._basis.rotation.shape[1], self._positive.shape[1])

    def fit(self, c: float, start: torch.Tensor, rows: np.ndarray | None = None) -> torch.Tensor:
        """The weights in the basis for one C.

        Args:
            c: Inverse strength of the L2 penalty.
            start: Initial weights, e.g. those of a smaller C.
            rows: The images to fit on; None for all.
        """
        basis, positive, weights = self._basis, self._positive, self._weights
        if rows is not None:
            index = torch.from_numpy(rows).to(positive.device)
            basis, positive = basis.select(index), positive[index]
            weights = None if weights is None else weights[index]
        sample_weight = c if weights is None else c * weights
        return minimize(basis, LOSSES[self._kind](positive, sample_weight), start, self._tolerance)

    def scores(self, w: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """Scores float64 (N, K) of some images by weights in the basis."""
        scores = self._basis.select(torch.from_numpy(rows).to(w.device)).scores(w)
        return both_signs(scores.cpu().numpy())

    def model(self, w: torch.Tensor) -> LinearModel:
        """The classifier of weights in the basis."""
        weight = self._basis.feature_weights(w)
        return LinearModel(weight[:, :-1], weight[:, -1] * CONSTANT_FEATURE[self._kind])

    def path(self, Cs: Sequence[float]) -> Iterator[LinearModel]:
        """The classifier of each of rising C, fitted from the one before when it is requested."""
        w = self.zeros()
        for c in Cs:
            w = self.fit(c, w)
            yield self.model(w)

    def fold_path(self, Cs: Sequence[float], folds: Sequence[np.ndarray]) -> Iterator[list[torch.Tensor]]:
        """For each of rising C the weights fitted without each fold, a list of row numbers.

        A fit starts from that of the same fold with a smaller C: it never sees the images that are held out. Hinges of
        all folds are solved side by side, with weight 0 for those images, if that fits into memory.
        """
        count, columns = len(self._positive), self._positive.shape[1]
        if self._kind == "hinge" and count * columns * len(folds) <= MAX_SCORES:
            kept = self._basis.rotation.new_ones(count, len(folds))
            for number, fold in enumerate(folds):
                kept[fold, number] = 0
            kept = kept.repeat_interleave(columns, dim=1) * (1 if self._weights is None else self._weights)
            positive, w = self._positive.repeat(1, len(folds)), torch.cat([self.zeros()] * len(folds), dim=1)
            for c in Cs:
                w = minimize(self._basis, SquaredHinge(positive, c * kept), w, self._tolerance)
                yield list(w.split(columns, dim=1))
            return
        rest, fitted = [np.setdiff1d(np.arange(count), fold) for fold in folds], [self.zeros() for _ in folds]
        for c in Cs:
            fitted = [self.fit(c, w, rows) for w, rows in zip(fitted, rest, strict=True)]
            yield fitted
