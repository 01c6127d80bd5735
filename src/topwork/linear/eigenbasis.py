"""Features as seen from the eigenvectors of X'X, which all problems on them share.

There the second derivatives of a linear model's loss are nearly diagonal, so that their diagonal is a preconditioner
that costs one product. Legend: N images, D features, the constant one included, R = min(N, D) directions, K columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch

ROWS = 8192  # read at a time where float64 would double the memory


@dataclass(frozen=True)
class Eigenbasis:
    """N images in R directions.

    Attributes:
        features: (N, D) as given, with the constant as last column.
        rotation: float64 (D, R), orthonormal columns: the eigenvectors.
        rotated: float32 (N, R), ``features @ rotation``, for products that need not be exact.
    """

    features: torch.Tensor
    rotation: torch.Tensor
    rotated: torch.Tensor

    def rows(self, index: torch.Tensor) -> Eigenbasis:
        """Some of the images, in the same directions."""
        return replace(self, features=self.features[index], rotated=self.rotated[index])

    def scores(self, w: torch.Tensor) -> torch.Tensor:
        """float64 (N, K) of weights float64 (R, K)."""
        weight = self.rotation @ w
        return torch.cat([chunk.double() @ weight for chunk in self.features.split(ROWS)])

    def pull(self, slope: torch.Tensor) -> torch.Tensor:
        """From slopes float64 (N, K) by the scores to slopes (R, K) by the weights."""
        parts = zip(self.features.split(ROWS), slope.split(ROWS), strict=True)
        return self.rotation.T @ _sum(chunk.double().T @ part for chunk, part in parts)

    def diagonal(self, bend: torch.Tensor) -> torch.Tensor:
        """float32 (R, K): squared features of all images, weighted by ``bend`` float32 (N, K)."""
        parts = zip(self.rotated.split(ROWS), bend.split(ROWS), strict=True)
        return _sum(chunk.square().T @ part for chunk, part in parts)

    def weights(self, w: torch.Tensor) -> np.ndarray:
        """float64 (K, D) on the features as given, the constant one last."""
        return (self.rotation @ w).T.cpu().numpy().copy()


def eigenbasis(features: np.ndarray, constant: float, device: str = "cpu") -> Eigenbasis:
    """Append a constant feature and rotate.

    Args:
        features: float (N, D - 1).
        constant: Value of the feature that carries the bias; the larger, the less the bias is penalised.
        device: Where to compute; it must know float64.
    """
    x = torch.from_numpy(np.pad(features, ((0, 0), (0, 1)), constant_values=constant)).to(device)
    if len(x) >= x.shape[1]:
        rotation = torch.linalg.eigh(_sum(chunk.T @ chunk for chunk in map(torch.Tensor.double, x.split(ROWS))))[1]
    else:  # the directions that some image has; QR keeps them at right angles to the last digit
        q, r = torch.linalg.qr(x.double().T)
        rotation = q @ torch.linalg.eigh(r @ r.T)[1]
    rotated = torch.cat([(chunk.double() @ rotation).float() for chunk in x.split(ROWS)])
    return Eigenbasis(x, rotation, rotated)


def _sum(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.Tensor.add_, parts)
