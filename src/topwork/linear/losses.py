"""Convex losses of linear classifiers with their derivatives, as ``newton.minimise`` needs them.

Shapes: N images, K scores per image, G problems: K if each column is a problem of its own, else 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch

SampleWeight = float | torch.Tensor  # C, or C times the weight of each image: float64 (N, 1)


def _as_float32(c: SampleWeight) -> SampleWeight:
    return c.float() if isinstance(c, torch.Tensor) else c


@dataclass(frozen=True)
class Loss(ABC):
    """A loss of scores (N, K), summed over the images.

    Attributes:
        positive: bool (N, K), true where the image belongs to the class.
        c: Weight of the loss against the L2 penalty.
    """

    positive: torch.Tensor
    c: SampleWeight

    @abstractmethod
    def sum_per_problem(self, values: torch.Tensor) -> torch.Tensor:
        """Sums (G,) over each problem of values (any, K)."""

    @abstractmethod
    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """The loss float64 (G,)."""

    @abstractmethod
    def score_gradient(self, scores: torch.Tensor) -> torch.Tensor:
        """Gradient by the scores, float64 (N, K)."""

    @abstractmethod
    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """What ``hessian_diagonal`` and ``hvp`` need of the scores, float32 (N, K)."""

    @abstractmethod
    def hessian_diagonal(self, curvature: torch.Tensor) -> torch.Tensor:
        """Second derivative by each score, float32 (N, K)."""

    @abstractmethod
    def hvp(self, curvature: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """Hessian by the scores times a direction, float32 (N, K)."""

    def select(self, columns: torch.Tensor) -> Self:
        """The loss of some columns only, bool (K,)."""
        return replace(self, positive=self.positive[:, columns])


class SquaredHinge(Loss):
    """C sum max(0, 1 - y s)^2 with y = +1 for the class, else -1: each class against the rest is its own problem."""

    def _violation(self, scores: torch.Tensor) -> torch.Tensor:
        return (1 - torch.where(self.positive, scores, -scores)).clamp_(min=0)

    def sum_per_problem(self, values: torch.Tensor) -> torch.Tensor:
        """Sums of the columns, (K,)."""
        return values.sum(dim=0)

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """C violation^2, summed over the images: (K,)."""
        return (self.c * self._violation(scores).square_()).sum(dim=0)

    def score_gradient(self, scores: torch.Tensor) -> torch.Tensor:
        """-2 C y violation."""
        violation = self._violation(scores).mul_(2 * self.c)
        return torch.where(self.positive, -violation, violation)

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """2 C where the margin is violated, else 0."""
        return 2 * _as_float32(self.c) * (self._violation(scores) > 0).float()

    def hessian_diagonal(self, curvature: torch.Tensor) -> torch.Tensor:
        """The curvature: the Hessian is diagonal."""
        return curvature

    def hvp(self, curvature: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """Curvature times direction, element by element."""
        return curvature * direction


class Softmax(Loss):
    """C sum -log softmax(s)[label]: one problem over all classes."""

    def sum_per_problem(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all columns, (1,)."""
        return values.sum().reshape(1)

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """C (logsumexp - score of the label), summed over the images: (1,)."""
        own = torch.where(self.positive, scores, 0.0).sum(dim=1, keepdim=True)
        return (self.c * (scores.logsumexp(dim=1, keepdim=True) - own)).sum().reshape(1)

    def score_gradient(self, scores: torch.Tensor) -> torch.Tensor:
        """C (probabilities - one-hot labels)."""
        return self.c * (scores.softmax(dim=1) - self.positive.double())

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """The probabilities P."""
        return scores.softmax(dim=1).float()

    def hessian_diagonal(self, curvature: torch.Tensor) -> torch.Tensor:
        """C P (1 - P)."""
        return _as_float32(self.c) * curvature * (1 - curvature)

    def hvp(self, curvature: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """C (diag(P) - P P') of each image times its direction."""
        weighted = curvature * direction
        return _as_float32(self.c) * (weighted - curvature * weighted.sum(dim=1, keepdim=True))
