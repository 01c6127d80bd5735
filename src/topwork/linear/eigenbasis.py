"""Features in the basis of the eigenvectors of X'X, which all problems on the same features share.

In this basis the Hessian of a linear classifier is nearly diagonal, so its diagonal is a good and cheap preconditioner.
Shapes: N images, D features including the constant one, R = min(N, D) eigenvectors, K columns (classes).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch

CHUNK_ROWS = 8192  # images converted to float64 at a time


@dataclass(frozen=True)
class Eigenbasis:
    """N images and R orthonormal directions.

    Attributes:
        features: (N, D) in the dtype of the input; the last column is constant. Of fewer images than features instead
            float64 (N, R), the coordinates, which hold all of them.
        rotation: float64 (D, R), the eigenvectors as columns.
        coordinates: float32 (N, R), ``features @ rotation``, for the products that need not be exact.
        rotated: Whether ``features`` are the coordinates.
    """

    features: torch.Tensor
    rotation: torch.Tensor
    coordinates: torch.Tensor
    rotated: bool

    def select(self, index: torch.Tensor) -> Eigenbasis:
        """Some of the images, in the same directions."""
        return replace(self, features=self.features[index], coordinates=self.coordinates[index])

    def scores(self, w: torch.Tensor) -> torch.Tensor:
        """Scores float64 (N, K) of weights float64 (R, K)."""
        weight = w if self.rotated else self.rotation @ w
        return torch.cat([chunk.double() @ weight for chunk in self.features.split(CHUNK_ROWS)])

    def weight_gradient(self, score_gradient: torch.Tensor) -> torch.Tensor:
        """Gradient by the weights float64 (R, K), from the gradient by the scores float64 (N, K)."""
        chunks = zip(self.features.split(CHUNK_ROWS), score_gradient.split(CHUNK_ROWS), strict=True)
        gradient = _sum(x.double().T @ gradient for x, gradient in chunks)
        return gradient if self.rotated else self.rotation.T @ gradient

    def weighted_gram_diagonal(self, weights: torch.Tensor) -> torch.Tensor:
        """Diagonals of Z' diag(weights) Z for the coordinates Z: float32 (R, K) of weights float32 (N, K)."""
        chunks = zip(self.coordinates.split(CHUNK_ROWS), weights.split(CHUNK_ROWS), strict=True)
        return _sum(z.square().T @ weight for z, weight in chunks)

    def feature_weights(self, w: torch.Tensor) -> np.ndarray:
        """Weights float64 (K, D) on the features, the constant one last, of weights (R, K) in the basis."""
        return (self.rotation @ w).T.cpu().numpy().copy()


def eigenbasis(features: np.ndarray, constant: float, device: str = "cpu") -> Eigenbasis:
    """Append a constant feature and compute the basis.

    Args:
        features: float (N, D - 1).
        constant: Value of the feature that carries the bias; the larger, the less the bias is penalized.
        device: Where to compute; it must support float64.
    """
    x = torch.from_numpy(np.pad(features, ((0, 0), (0, 1)), constant_values=constant)).to(device)
    if len(x) >= x.shape[1]:
        gram = _sum(chunk.T @ chunk for chunk in map(torch.Tensor.double, x.split(CHUNK_ROWS)))
        rotation = torch.linalg.eigh(gram).eigenvectors
        coordinates = torch.cat([(chunk.double() @ rotation).float() for chunk in x.split(CHUNK_ROWS)])
        return Eigenbasis(x, rotation, coordinates, rotated=False)
    # only the directions that the images span; QR keeps them orthogonal to the last digit
    q, r = torch.linalg.qr(x.double().T)
    vectors = torch.linalg.eigh(r @ r.T).eigenvectors
    exact = r.T @ vectors
    return Eigenbasis(exact, q @ vectors, exact.float(), rotated=True)


def _sum(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.Tensor.add_, parts)
