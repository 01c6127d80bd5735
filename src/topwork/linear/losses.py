"""Convex losses of linear classifiers with their derivatives, as ``newton.minimize`` needs them.

Both losses are summed over the images. ``curvature`` has what ``hessian_diagonal`` (second derivative by each score)
and ``hvp`` (Hessian by the scores times a direction) need of the scores.
Shapes: N images, K scores per image, G problems: K if each column is a problem of its own, else 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch

SampleWeight = float | torch.Tensor  # C, or C times the weight of each image, float64 (N, 1), also by column: (N, K)


def _as_float32(c: SampleWeight) -> SampleWeight:
    return c.float() if isinstance(c, torch.Tensor) else c


@dataclass(frozen=True)
class _Loss:
    """A loss.

    Attributes:
        positive: bool (N, K), true where the image belongs to the class.
        c: Weight of the loss against the L2 penalty.
    """

    positive: torch.Tensor
    c: SampleWeight

    def select(self, columns: torch.Tensor) -> Self:
        """The loss of some columns only, bool (K,)."""
        c = self.c[:, columns] if isinstance(self.c, torch.Tensor) and self.c.shape[1] > 1 else self.c
        return replace(self, positive=self.positive[:, columns], c=c)


class SquaredHinge(_Loss):
    """C sum max(0, 1 - y s)^2 with y = +1 for the class, else -1: each class against the rest is its own problem."""

    def _violation(self, scores: torch.Tensor) -> torch.Tensor:
        return (1 - torch.where(self.positive, scores, -scores)).clamp_(min=0)

    def sum_per_problem(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over each problem of values (any, K): float (K,)."""
        return values.sum(dim=0)

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """C violation^2, float64 (K,)."""
        return (self.c * self._violation(scores).square_()).sum(dim=0)

    def score_gradient(self, scores: torch.Tensor) -> torch.Tensor:
        """-2 C y violation, float64 (N, K)."""
        violation = self._violation(scores).mul_(2 * self.c)
        return torch.where(self.positive, -violation, violation)

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """2 C where the margin is violated, else 0: float32 (N, K)."""
        return 2 * _as_float32(self.c) * (self._violation(scores) > 0).float()

    def hessian_diagonal(self, curvature: torch.Tensor) -> torch.Tensor:
        """The curvature itself, since the Hessian is diagonal: float32 (N, K)."""
        return curvature

    def hvp(self, curvature: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """Curvature times direction, element by element: float32 (N, K)."""
        return curvature * direction


class Softmax(_Loss):
    """C sum -log softmax(s)[label]: one problem over all classes."""

    def sum_per_problem(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of values (any, K), float (1,)."""
        return values.sum().reshape(1)

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """C (logsumexp - score of the label), float64 (1,)."""
        own = torch.where(self.positive, scores, 0.0).sum(dim=1, keepdim=True)
        return (self.c * (scores.logsumexp(dim=1, keepdim=True) - own)).sum().reshape(1)

    def score_gradient(self, scores: torch.Tensor) -> torch.Tensor:
        """C (probabilities - one-hot labels), float64 (N, K)."""
        return self.c * (scores.softmax(dim=1) - self.positive.double())

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """The probabilities P, float32 (N, K)."""
        return scores.softmax(dim=1).float()

    def hessian_diagonal(self, curvature: torch.Tensor) -> torch.Tensor:
        """C P (1 - P), float32 (N, K)."""
        return _as_float32(self.c) * curvature * (1 - curvature)

    def hvp(self, curvature: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """C (diag(P) - P P') of each image times its direction, float32 (N, K)."""
        weighted = curvature * direction
        return _as_float32(self.c) * (weighted - curvature * weighted.sum(dim=1, keepdim=True))


Loss = SquaredHinge | Softmax
