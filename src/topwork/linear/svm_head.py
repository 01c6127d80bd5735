"""A fitted linear classifier or SVM as a differentiable layer on features, so that explanations reach through it."""

from __future__ import annotations

import torch
from torch import nn

from topwork.features import NormaliserModule


class SVMHead(nn.Module):
    """Normalisation and a linear or radial machine, in float64 as it was fitted.

    Args:
        tensors: ``mean`` and ``scale`` of the normaliser; then ``weight`` (K, D) and ``bias`` (K,) of a linear machine,
            or ``support`` (S, D), ``dual`` (K - 1, S), ``bias`` (pairs,), ``counts`` (K,) and ``gamma`` of a radial one
            in LIBSVM's order (Chang & Lin 2011).
    """

    weight: torch.Tensor | None
    support: torch.Tensor
    dual: torch.Tensor
    bias: torch.Tensor
    counts: torch.Tensor
    gamma: torch.Tensor

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.normalise = NormaliserModule(tensors["mean"], tensors["scale"].float())
        for name in ("weight", "support", "dual", "bias", "counts", "gamma"):
            self.register_buffer(name, tensors.get(name))
        counts = tensors["counts"].tolist() if "counts" in tensors else []
        self._starts = [sum(counts[:i]) for i in range(len(counts) + 1)]  # where the supports of a class begin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, D) to margins float64 (B, K)."""
        z = self.normalise(x.float()).double()
        margins = z @ self.weight.T + self.bias if self.weight is not None else self._rbf(z)
        return torch.cat([-margins, margins], dim=1) if margins.shape[1] == 1 else margins

    def _rbf(self, z: torch.Tensor) -> torch.Tensor:
        """scikit-learn's margins of one class against the rest: votes of the pairs, ties by their sure sums."""
        squares = z.square().sum(1, keepdim=True) + self.support.square().sum(1) - 2 * z @ self.support.T
        kernel = (-self.gamma * squares).exp()  # (B, supports)
        starts, classes = self._starts, len(self.counts)
        if classes == 2:
            return kernel @ self.dual.T + self.bias
        votes, sums = z.new_zeros(2, len(z), classes)
        pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
        unit = torch.eye(classes, dtype=z.dtype, device=z.device)
        for (i, j), bias in zip(pairs, self.bias, strict=True):
            a, b = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            margin = kernel[:, a] @ self.dual[j - 1, a] + kernel[:, b] @ self.dual[i, b] + bias  # > 0: class i
            sums = sums + margin[:, None] * (unit[i] - unit[j])
            votes[:, i] += margin >= 0
            votes[:, j] += margin < 0
        return votes + sums / (3 * (sums.abs() + 1))
