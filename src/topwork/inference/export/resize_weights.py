"""Pillow's resampling filters, and the weights that Pillow computes from them, as operations of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

WEIGHT_SCALE = 2.0**22  # Pillow's weights are integer multiples of its inverse
TABLE_CELLS_PER_PIXEL = 512
HIGH_PART_SCALE = 2.0**10  # likewise of high parts, so that float32 holds their sums and products exactly
PI = torch.tensor(math.pi, dtype=torch.float64)  # a tensor: the ONNX exporter rounds a Python float to float32


@dataclass(frozen=True)
class Axis:
    """An axis that is resized.

    Attributes:
        length: Number of input pixels.
        factor: Input pixels per block.
        side: Number of output pixels of the whole axis.
        outputs: int64 (S, 1), index of each output pixel that is kept.
        blocks: int64 (P,), index of each block, with some beyond the image.
        block_exists: bool (P,), whether the block is inside the image.
    """

    length: int
    factor: Any
    side: int
    outputs: torch.Tensor
    blocks: torch.Tensor
    block_exists: torch.Tensor

    @property
    def reduced_length(self) -> torch.Tensor:
        """float32: ``length / factor``, rounded as Pillow rounds it."""
        return torch.scalar_tensor(self.length, dtype=torch.float32, device=self.blocks.device) / self.factor


def _bilinear(x: torch.Tensor) -> torch.Tensor:
    return (1 - x).clamp(min=0)


def _bicubic(x: torch.Tensor) -> torch.Tensor:
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, inner, torch.where(x < 2, outer, torch.zeros_like(x)))


def _lanczos(x: torch.Tensor) -> torch.Tensor:
    angle = torch.where(x == 0, torch.ones_like(x), x * PI)
    value = torch.sin(angle) * torch.sin(angle / 3) * 3 / (angle * angle)
    return torch.where(x == 0, torch.ones_like(x), torch.where(x < 3, value, torch.zeros_like(x)))


FILTERS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "bilinear": (_bilinear, 1),
    "bicubic": (_bicubic, 2),
    "lanczos": (_lanczos, 3),
}
"""Function of the distance x >= 0, and its support: the distance from which it is 0."""


class Float64Weights(nn.Module):
    """The weights of Pillow's ``precompute_coeffs``, step by step, for a key of ``FILTERS``."""

    def __init__(self, interpolation: str) -> None:
        super().__init__()
        self._function, _ = FILTERS[interpolation]

    def forward(self, axis: Axis) -> torch.Tensor:
        """Weights times 2^22, integers as float32 (S, P); each row sums to about 2^22."""
        scale = axis.reduced_length.double() / axis.side
        inverse = 1 / scale.clamp(min=1)
        distance = (axis.blocks - (axis.outputs.double() + 0.5) * scale + 0.5) * inverse
        values = self._function(distance.abs()) * axis.block_exists
        values = values / values.cumsum(1)[:, -1:] * WEIGHT_SCALE  # a running sum adds one by one, as Pillow does
        return (values + torch.where(values < 0, -0.5, 0.5)).trunc().float()


class Float32Weights(nn.Module):
    """``Float64Weights`` for runtimes without float64; only ties may be rounded otherwise.

    All in float32, within 2^-31 of a weight before it is rounded. The filter comes from a table of cubics, one for each
    512th of a pixel. A value has a high part, an integer multiple of 2^-10, and a small low part; all operations on
    high parts are exact.
    """

    table: torch.Tensor

    def __init__(self, interpolation: str) -> None:
        super().__init__()
        function, self._support = FILTERS[interpolation]
        nodes = torch.arange(4, dtype=torch.float64) / 3
        cells = torch.arange(self._support * TABLE_CELLS_PER_PIXEL, dtype=torch.float64)[:, None]
        values = function((cells + nodes) / TABLE_CELLS_PER_PIXEL)
        cubics = torch.linalg.solve(torch.linalg.vander(nodes), values.T).T
        high = torch.round(cubics[:, :1] * HIGH_PART_SCALE) / HIGH_PART_SCALE
        table = torch.cat([high, cubics[:, :1] - high, cubics[:, 1:]], 1)
        self.register_buffer("table", torch.cat([table, torch.zeros(1, 5, dtype=torch.float64)]).float())

    def forward(self, axis: Axis) -> torch.Tensor:
        """As of ``Float64Weights``."""
        offset, units, shift = self._offsets(axis)
        limit = (self._support + 1) * units
        offset = offset.clamp(-limit, limit)
        distance = (offset.float() / units + shift) * TABLE_CELLS_PER_PIXEL
        sign = torch.where(distance < 0, -1, 1)
        cell = torch.floor(distance.abs()).long().clamp(max=self._support * TABLE_CELLS_PER_PIXEL)
        rest = (sign * offset * TABLE_CELLS_PER_PIXEL - cell * units).float() / units
        rest = rest + sign * shift * TABLE_CELLS_PER_PIXEL
        high, c0, c1, c2, c3 = (self.table[:, i][cell] * axis.block_exists for i in range(5))
        low = c0 + rest * (c1 + rest * (c2 + rest * c3))
        high_sum, low_sum = high.sum(1, keepdim=True), low.sum(1, keepdim=True)
        total = high_sum + low_sum
        coarse = torch.round((high + low) / total * HIGH_PART_SCALE) / HIGH_PART_SCALE
        remainder = (high - coarse * high_sum) + (low - coarse * low_sum)
        return coarse * WEIGHT_SCALE + torch.round(remainder / total * WEIGHT_SCALE)

    def _offsets(self, axis: Axis) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Offset of each block from the center of each output pixel.

        Returns:
            The offset in integer units (S, P), the number of these units per pixel of the filter, and a correction of
            the offset in pixels, float32 (S, P), much less than a 512th.
        """
        outputs, length, factor, reduced = axis.outputs, axis.length, axis.factor, axis.reduced_length
        offset = (2 * outputs + 1) * length - (2 * axis.blocks + 1) * factor * axis.side
        units: Any = 2 * torch.sym_max(length, factor * axis.side)
        rounded = (length - factor * torch.floor(reduced) - factor * (reduced - torch.floor(reduced))) / factor
        return offset, units, (offset.float() / units - outputs - 0.5) * (rounded / reduced)
