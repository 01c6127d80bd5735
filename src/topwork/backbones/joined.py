"""Several networks side by side as one: their features, each of length 1, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core.artifacts import InputSpec
from topwork.core.names import module_name

EPSILON = 1e-12  # of a length
CHUNK_ROWS = 8192  # images converted to float64 at a time


class JoinedNetwork(nn.Module):
    """Images (B, 3, S, S), normalized as the first network wants them, to features (B, D1 + D2 + ...).

    Args:
        networks: By their names; each maps images, normalized as its own specification says, to features.
        specs: Of the networks, in their order; they differ only in mean and standard deviation.
        sizes: D1, D2, ...
    """

    def __init__(self, networks: Mapping[str, nn.Module], specs: Sequence[InputSpec], sizes: Sequence[int]) -> None:
        super().__init__()
        self._order = [module_name(name) for name in networks]
        ends = np.cumsum(sizes)
        self._columns = {n: slice(end - size, end) for n, end, size in zip(self._order, ends, sizes, strict=True)}
        first = specs[0]
        for name, network, spec in zip(self._order, networks.values(), specs, strict=True):
            self.add_module(name, network)
            if (spec.mean, spec.std) != (first.mean, first.std):
                scale = torch.tensor(first.std) / torch.tensor(spec.std)
                shift = (torch.tensor(first.mean) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
                self.register_buffer(f"_scale_{name}", scale.view(1, 3, 1, 1), persistent=False)
                self.register_buffer(f"_shift_{name}", shift.view(1, 3, 1, 1), persistent=False)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """By the names of their modules, which begin the names of all layers and tensors."""
        return {name: self.get_submodule(name) for name in self._order}

    def columns(self, layer: str) -> slice:
        """Which features come from the network that a layer belongs to."""
        return self._columns[layer.partition(".")[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features float32 (B, D1 + D2 + ...)."""
        parts = [network(self.input_of(name, x)).float() for name, network in self.networks.items()]
        return torch.cat([functional.normalize(part, dim=1, eps=EPSILON) for part in parts], dim=1)

    def input_of(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """The images as one of the networks wants them normalized."""
        scale = getattr(self, f"_scale_{name}", None)
        return x if scale is None else x * scale + getattr(self, f"_shift_{name}")


def join_features(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Features float32 (N, D1), (N, D2), ... of several networks as those of a ``JoinedNetwork``.

    The bits of a row do not depend on the other rows.
    """
    joined = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)), dtype=np.float32)
    for first in range(0, len(joined), CHUNK_ROWS):
        column = 0
        for part in parts:
            rows = part[first : first + CHUNK_ROWS]
            length = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
            out = joined[first : first + CHUNK_ROWS, column : column + part.shape[1]]
            np.divide(rows, np.maximum(length, EPSILON).astype(np.float32), out=out)
            column += part.shape[1]
    return joined
