"""Pillow's resize as operations of a graph: what ``transforms.eval_pixels`` does, for images of any size.

``Image.resize`` with ``reducing_gap=3.0`` first averages whole blocks of pixels of a much larger image, then convolves
rows and columns with a filter that is widened by the scale, and rounds to 8 bits after each step. The convolutions
are matrix products whose weights are computed in the graph from the size of the image (``filters``). Pillow's weights
are whole multiples of 2^-22; here each is cut in two, so that all sums are of whole numbers that float32 holds exactly,
and the pixels are Pillow's. A block's mean comes from running sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from topwork.core.artifacts import InputSpec
from topwork.data.resize import GAP
from topwork.inference.export.resize_weights import BITS, FILTERS, Axis, Weights, WeightsWithoutFloat64

EMPTY = 2  # blocks more than there are: the exporter must see that there are two
ONE = 2.0**24  # what Pillow divides by the number of pixels of a block
HALF = 2.0**11  # a weight is HALF * coarse + fine


class Resize(nn.Module):
    """Whole images squeezed into a square of which the centre is kept, as evaluation does.

    Args:
        spec: What the network is fed.
        float64: Whether the runtime has it; without it a tie in many millions of pixels falls to the other side.
    """

    def __init__(self, spec: InputSpec, float64: bool = True) -> None:
        super().__init__()
        self.side, self.size = spec.resize, spec.size
        self.first = (spec.resize - spec.size) // 2
        kind = Weights if float64 else WeightsWithoutFloat64
        self.weights = kind(spec.interpolation) if spec.interpolation in FILTERS else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, 3) to whole numbers 0..255 as float32 (N, 3, S, S)."""
        height, width = images.shape[1], images.shape[2]
        x = images.permute(0, 3, 1, 2)
        if self.weights is None:
            rows, columns = self._nearest(height, x.device), self._nearest(width, x.device)
            return x.index_select(2, rows).index_select(3, columns).float()
        sums, down, tall = self._blocks(x.to(torch.int32), 2, height)
        sums, across, wide = self._blocks(sums, 3, width)
        x = _mean(sums.float(), tall[:, None] * wide)
        first = self._columns_first(x.shape[2] - EMPTY, x.shape[3] - EMPTY)
        return torch.cond(first, _down_first, _across_first, (x, down, across))

    def _columns_first(self, height: int, width: int) -> torch.Tensor:
        """Whether Pillow 13 convolves columns first, which the rounding between shows: if the height loses over twice
        as many pixels as the width (its pull request 9549)."""
        lost, less = (torch.scalar_tensor(n, dtype=torch.int64) - self.side for n in (height, width))
        return (lost > 0) & (lost > 2 * less)

    def _nearest(self, length: int, device: torch.device) -> torch.Tensor:
        scale = torch.scalar_tensor(length, dtype=torch.float64, device=device) / self.side
        steps = torch.ones(self.side, dtype=torch.float64, device=device)
        steps[0] = 0.5  # Pillow goes from pixel to pixel and sums its rounding errors up: so does this
        return (steps * scale).cumsum(0)[self.first : self.first + self.size].to(torch.int64)

    def _blocks(self, x: torch.Tensor, axis: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums of the blocks along an axis, the weights (S, blocks) of their means, and how many pixels each has."""
        factor: Any = torch.sym_max(length // (GAP * self.side), 1)
        count = (length + factor - 1) // factor + EMPTY
        p = torch.arange(count, device=x.device)
        start = (p * factor).clamp(max=length)
        end = (start + factor).clamp(max=length)
        running = functional.pad(x.cumsum(axis, dtype=torch.int32), (1, 0) if axis == 3 else (0, 0, 1, 0))
        sums = running.index_select(axis, end) - running.index_select(axis, start)
        i = torch.arange(self.first, self.first + self.size, device=x.device)[:, None]
        assert self.weights is not None
        weights = self.weights(Axis(length, factor, self.side, i, p, end > start))
        return sums, weights, (end - start).clamp(min=1).float()


def _across_first(x: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    return _down(_across(x, across), down)


def _down_first(x: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    return _across(_down(x, down), across)


def _across(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    coarse, fine = _halves(weights.T)
    return _rounded(x @ coarse, x @ fine)


def _down(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    coarse, fine = _halves(weights)
    return _rounded(coarse @ x, fine @ x)


def _halves(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    coarse = torch.round(weights / HALF)
    return coarse.float(), (weights - HALF * coarse).float()


def _rounded(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """(HALF * coarse + fine) / BITS, rounded half up to 0..255; every step is exact in float32."""
    carried = torch.floor((fine + BITS / 2) / HALF)
    return torch.floor((coarse + carried) / (BITS / HALF)).clamp(0, 255)


def _mean(sums: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Sums of whole numbers divided by their count as Pillow does it, all in whole numbers that float32 holds.

    Pillow multiplies by 2^24 / count, rounded down: what is left of 2^24 makes a result one less that is hardly whole.
    """
    total = sums + torch.floor(count / 2)
    whole = torch.floor((total + 0.5) / count)
    left = ONE - count * torch.floor((ONE + 0.5) / count)
    short = (total - whole * count) * ONE < total * left
    return whole - short.float()
