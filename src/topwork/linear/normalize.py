"""Bring features to a scale on which a linear penalty is fair.

Power normalization (the signed square root; Perronnin et al. 2010) compresses large features, then one common scale
is divided out. A scale per feature would amplify the noise of features that hardly vary. docs/maintainers/lab-log.md
has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

CHUNK_ROWS = 8192  # images converted to float64 at a time


@dataclass(frozen=True)
class Normalizer:
    """x -> (power(x) - mean) / scale.

    Attributes:
        mean: float32 (D,).
        scale: Root of the mean variance of the features, one number.
        power: Whether the signed square root is taken first.
    """

    mean: np.ndarray
    scale: float
    power: bool

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, D) to float32 (N, D)."""
        values = _signed_sqrt(features, self.power)
        np.subtract(values, self.mean, out=values)
        return np.divide(values, np.float32(self.scale), out=values)


def fit_normalizer(features: np.ndarray, power: bool = True) -> Normalizer:
    """The normalizer of training features float32 (N, D)."""
    count = len(features)
    chunks = [features[start : start + CHUNK_ROWS] for start in range(0, count, CHUNK_ROWS)]
    mean = np.sum([_signed_sqrt(chunk, power).sum(axis=0, dtype=np.float64) for chunk in chunks], axis=0) / count
    variance = np.sum([np.square(_signed_sqrt(chunk, power) - mean).sum(axis=0) for chunk in chunks], axis=0) / count
    return Normalizer(mean.astype(np.float32), float(np.sqrt(variance.mean())) or 1.0, power)


def _signed_sqrt(features: np.ndarray, power: bool) -> np.ndarray:
    """A copy, with the signed square root if ``power``."""
    if not power:
        return features.copy()
    root = np.abs(features)
    return np.copysign(np.sqrt(root, out=root), features, out=root)


class NormalizerModule(nn.Module):
    """A ``Normalizer`` with ``power`` as the fixed first layer of a head; its gradient at 0 is 0."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float (B, D) to (B, D)."""
        root = x.sign() * torch.where(x == 0, 1.0, x.abs()).sqrt()
        return (root - self.mean) / self.scale
