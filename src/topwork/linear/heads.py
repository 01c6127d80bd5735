"""Fitted classifiers as differentiable layers on features (B, D), so that explanations and exports reach through."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from topwork.linear.normalize import NormalizerModule


class LinearHead(nn.Module):
    """Normalization and a linear layer, in float64 as it was fitted; in float32 where a device has no float64.

    Args:
        tensors: ``mean`` and ``scale`` of the normalizer, ``weight`` (K, D) and ``bias`` (K,); (1, D) and (1,) for the
            hyperplane between two classes.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.normalize = NormalizerModule(tensors["mean"], tensors["scale"].float())
        self.register_buffer("weight", tensors["weight"])
        self.register_buffer("bias", tensors["bias"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, D) to scores float64 (B, K)."""
        return _both_signs(self.normalize(x.float()).to(self.weight.dtype) @ self.weight.T + self.bias)


class RBFHead(nn.Module):
    """Normalization and ``sklearn.svm.SVC.decision_function`` with the RBF kernel, in float64.

    Args:
        tensors: ``mean`` and ``scale`` of the normalizer; ``support`` (S, D), ``dual`` (K - 1, S), ``bias``
            (K (K - 1) / 2,), ``counts`` (K,) and ``gamma`` (1,): support vectors, dual coefficients, intercepts,
            support vectors per class and kernel width as SVC has them (Chang & Lin 2011, LIBSVM).
    """

    support: torch.Tensor
    dual: torch.Tensor
    bias: torch.Tensor
    gamma: torch.Tensor
    wins: torch.Tensor

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.normalize = NormalizerModule(tensors["mean"], tensors["scale"].float())
        for name in ("support", "dual", "bias", "gamma"):
            self.register_buffer(name, tensors[name])
        self.counts = tensors["counts"].tolist()
        pairs = torch.combinations(torch.arange(len(self.counts)))
        self.register_buffer("wins", functional.one_hot(pairs, len(self.counts)).double())  # (pairs, 2, K)
        self.first, self.second = pairs.T.tolist()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, D) to margins float64 (B, K): votes of the classifiers of all pairs, ties by their margins."""
        z = self.normalize(x.float()).to(self.support.dtype)
        squares = z.square().sum(1, keepdim=True) + self.support.square().sum(1) - 2 * z @ self.support.T
        kernel = (-self.gamma * squares).exp()
        if len(self.counts) == 2:
            return _both_signs(kernel @ self.dual.T + self.bias)
        classes = zip(kernel.split(self.counts, dim=1), self.dual.split(self.counts, dim=1), strict=True)
        sums = torch.stack([k @ dual.T for k, dual in classes], dim=1)  # (B, K, K - 1): class i against the others
        others = [j - 1 for j in self.second]
        margins = sums[:, self.first, others] + sums[:, self.second, self.first] + self.bias  # > 0: the first class
        first, second = self.wins.unbind(1)
        votes = (margins >= 0).to(first.dtype) @ first + (margins < 0).to(first.dtype) @ second
        confidence = margins @ (first - second)
        return votes + confidence / (3 * (confidence.abs() + 1))


def _both_signs(margins: torch.Tensor) -> torch.Tensor:
    """Of one margin (B, 1) that of both classes (B, 2); more margins stay."""
    return torch.cat([-margins, margins], dim=1) if margins.shape[1] == 1 else margins
