"""The losses of linear classifiers, as ``newton.minimise`` wants them.

C is one number, or one for each image: float64 (N, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

Strength = float | torch.Tensor


def _single(c: Strength) -> Strength:
    return c.float() if isinstance(c, torch.Tensor) else c


@dataclass(frozen=True)
class SquaredHinge:
    """C sum max(0, 1 - y s)^2, y = +1 where ``positive``, bool (N, K), else -1; each class is a problem of its own."""

    positive: torch.Tensor
    c: Strength

    def _violation(self, scores: torch.Tensor) -> torch.Tensor:
        return (1 - torch.where(self.positive, scores, -scores)).clamp_(min=0)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sums (K,)."""
        return values.sum(dim=0)

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """float64 (K,)."""
        return (self.c * self._violation(scores).square_()).sum(dim=0)

    def slope(self, scores: torch.Tensor) -> torch.Tensor:
        """-2 C y violation."""
        violation = self._violation(scores).mul_(2 * self.c)
        return torch.where(self.positive, -violation, violation)

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """2 C where the margin is violated, else 0."""
        return 2 * _single(self.c) * (self._violation(scores) > 0).float()

    def bend(self, curvature: torch.Tensor) -> torch.Tensor:
        """The curvature itself."""
        return curvature

    def product(self, curvature: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return curvature * change

    def columns(self, keep: torch.Tensor) -> SquaredHinge:
        """The problems of some classes."""
        return replace(self, positive=self.positive[:, keep])


@dataclass(frozen=True)
class Softmax:
    """C sum -log softmax(s)[label], one problem over all classes; ``positive``, bool (N, K), marks the labels."""

    positive: torch.Tensor
    c: Strength

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum (1,)."""
        return values.sum().reshape(1)

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """float64 (1,)."""
        own = torch.where(self.positive, scores, 0.0).sum(dim=1, keepdim=True)
        return (self.c * (scores.logsumexp(dim=1, keepdim=True) - own)).sum().reshape(1)

    def slope(self, scores: torch.Tensor) -> torch.Tensor:
        """C (probability - label)."""
        return self.c * (scores.softmax(dim=1) - self.positive.double())

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """The probabilities P."""
        return scores.softmax(dim=1).float()

    def bend(self, curvature: torch.Tensor) -> torch.Tensor:
        """C P (1 - P)."""
        return _single(self.c) * curvature * (1 - curvature)

    def product(self, curvature: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """C (diag(P) - P P') of each image times its change."""
        weighted = curvature * change
        return _single(self.c) * (weighted - curvature * weighted.sum(dim=1, keepdim=True))

    def columns(self, keep: torch.Tensor) -> Softmax:
        """All or nothing."""
        return replace(self, positive=self.positive[:, keep])
