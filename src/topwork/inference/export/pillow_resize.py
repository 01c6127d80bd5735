"""Pillow's resize as operations of a graph: what ``transforms.eval_transform`` does, for images of any size.

``Image.resize`` with ``reducing_gap=3.0`` first averages blocks of pixels of a much larger image, then convolves rows
and columns with a filter that is widened by the scale, and rounds to 8 bits after each step. Here the convolutions are
matrix products whose weights are computed in the graph from the size of the image (``resize_weights``). Pillow's
weights are integer multiples of 2^-22; each is split into a high and a low part, so that all sums are sums of integers
that float32 represents exactly, and the pixels equal Pillow's. The mean of a block comes from running sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from topwork.core.artifacts import InputSpec
from topwork.data.resize import REDUCING_GAP
from topwork.inference.export.resize_weights import FILTERS, WEIGHT_SCALE, Axis, Float32Weights, Float64Weights

PADDING_BLOCKS = 2  # blocks beyond the image: the exporter must see that there are at least two
MEAN_SCALE = 2.0**24  # Pillow divides by a count through the product with 2^24 / count
HIGH_SCALE = 2.0**11  # a weight is HIGH_SCALE * high + low


class Resize(nn.Module):
    """Resizes the image to a square and keeps its center, as evaluation does.

    Args:
        spec: What the network is fed.
        float64: Whether the runtime supports it; without it one pixel in many millions differs by 1.
    """

    def __init__(self, spec: InputSpec, float64: bool = True) -> None:
        super().__init__()
        self.side, self.size = spec.resize_size, spec.size
        self.first = (spec.resize_size - spec.size) // 2
        weights_class = Float64Weights if float64 else Float32Weights
        self.weights = weights_class(spec.interpolation) if spec.interpolation in FILTERS else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, 3) to integers 0..255 as float32 (N, 3, S, S)."""
        height, width = images.shape[1], images.shape[2]
        x = images.permute(0, 3, 1, 2)
        if self.weights is None:
            rows, columns = self._nearest(height, x.device), self._nearest(width, x.device)
            return x.index_select(2, rows).index_select(3, columns).float()
        sums, vertical, block_heights = self._blocks(x.to(torch.int32), 2, height)
        sums, horizontal, block_widths = self._blocks(sums, 3, width)
        x = _mean(sums.float(), block_heights[:, None] * block_widths)
        height_first = self._is_height_first(x.shape[2] - PADDING_BLOCKS, x.shape[3] - PADDING_BLOCKS)
        return torch.cond(height_first, _resize_height_first, _resize_width_first, (x, vertical, horizontal))

    def _is_height_first(self, height: int, width: int) -> torch.Tensor:
        """Whether Pillow 13 resizes the height first, which shows in the rounding between: if the height is reduced by
        more than twice as many pixels as the width (Pillow's pull request 9549)."""
        reduction, width_reduction = (
            torch.scalar_tensor(length, dtype=torch.int64) - self.side for length in (height, width)
        )
        return (reduction > 0) & (reduction > 2 * width_reduction)

    def _nearest(self, length: int, device: torch.device) -> torch.Tensor:
        scale = torch.scalar_tensor(length, dtype=torch.float64, device=device) / self.side
        steps = torch.ones(self.side, dtype=torch.float64, device=device)
        steps[0] = 0.5  # Pillow adds the step from pixel to pixel and so accumulates rounding errors; so does this
        return (steps * scale).cumsum(0)[self.first : self.first + self.size].to(torch.int64)

    def _blocks(self, x: torch.Tensor, axis: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums of the blocks along an axis, the weights (S, blocks) of their means, and the pixels of each block."""
        factor: Any = torch.sym_max(length // (REDUCING_GAP * self.side), 1)
        count = (length + factor - 1) // factor + PADDING_BLOCKS
        blocks = torch.arange(count, device=x.device)
        start = (blocks * factor).clamp(max=length)
        end = (start + factor).clamp(max=length)
        running = functional.pad(x.cumsum(axis, dtype=torch.int32), (1, 0) if axis == 3 else (0, 0, 1, 0))
        sums = running.index_select(axis, end) - running.index_select(axis, start)
        outputs = torch.arange(self.first, self.first + self.size, device=x.device)[:, None]
        assert self.weights is not None
        weights = self.weights(Axis(length, factor, self.side, outputs, blocks, end > start))
        return sums, weights, (end - start).clamp(min=1).float()


def _resize_width_first(x: torch.Tensor, vertical: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
    return _resize_height(_resize_width(x, horizontal), vertical)


def _resize_height_first(x: torch.Tensor, vertical: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
    return _resize_width(_resize_height(x, vertical), horizontal)


def _resize_width(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    high, low = _split(weights.T)
    return _rounded(x @ high, x @ low)


def _resize_height(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    high, low = _split(weights)
    return _rounded(high @ x, low @ x)


def _split(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    high = torch.round(weights / HIGH_SCALE)
    return high.float(), (weights - HIGH_SCALE * high).float()


def _rounded(high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """(HIGH_SCALE * high + low) / WEIGHT_SCALE, rounded half up to 0..255; every step is exact in float32."""
    carried = torch.floor((low + WEIGHT_SCALE / 2) / HIGH_SCALE)
    return torch.floor((high + carried) / (WEIGHT_SCALE / HIGH_SCALE)).clamp(0, 255)


def _mean(sums: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Integer sums divided by their count as Pillow does it, in integers that float32 represents exactly.

    Pillow multiplies by 2^24 / count rounded down; the remainder makes a mean that is barely an integer one less.
    """
    total = sums + torch.floor(count / 2)
    quotient = torch.floor((total + 0.5) / count)
    remainder = MEAN_SCALE - count * torch.floor((MEAN_SCALE + 0.5) / count)
    is_one_less = (total - quotient * count) * MEAN_SCALE < total * remainder
    return quotient - is_one_less.float()
