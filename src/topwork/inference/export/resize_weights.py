"""Pillow's filters, and the weights that it makes of them, as operations of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

BITS = 2.0**22  # Pillow's weights are whole multiples of 1 / 2^22
CELLS = 512  # of the table, per pixel of the filter
PI = torch.tensor(math.pi, dtype=torch.float64)  # a tensor: the ONNX exporter rounds a Python float to float32
COARSE = 2.0**10  # heads are whole multiples of its inverse, so that float32 holds their sums and products exactly


@dataclass(frozen=True)
class Axis:
    """An axis that is resized.

    Attributes:
        length: Pixels there are.
        factor: Pixels that were averaged to a block; 1: none.
        side: Pixels there shall be.
        i: int64 (S, 1): which of these are wanted.
        p: int64 (P,): the blocks, and some more.
        seen: bool (P,): which of the P are there.
    """

    length: int
    factor: Any
    side: int
    i: torch.Tensor
    p: torch.Tensor
    seen: torch.Tensor

    @property
    def blocks(self) -> torch.Tensor:
        """float32: ``length / factor``, rounded as Pillow rounds it."""
        return torch.scalar_tensor(self.length, dtype=torch.float32, device=self.p.device) / self.factor


def _bilinear(x: torch.Tensor) -> torch.Tensor:
    return (1 - x).clamp(min=0)


def _bicubic(x: torch.Tensor) -> torch.Tensor:
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: torch.Tensor) -> torch.Tensor:
    angle = torch.where(x == 0, torch.ones_like(x), x * PI)
    value = torch.sin(angle) * torch.sin(angle / 3) * 3 / (angle * angle)
    return torch.where(x == 0, torch.ones_like(x), torch.where(x < 3, value, torch.zeros_like(x)))


FILTERS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "bilinear": (_bilinear, 1),
    "bicubic": (_bicubic, 2),
    "lanczos": (_lanczos, 3),
}
"""The function of the distance, x >= 0, and from where on it is 0."""


class Weights(nn.Module):
    """What Pillow multiplies pixels by when it resizes an axis, step by step as in its ``precompute_coeffs``.

    Args:
        interpolation: A key of ``FILTERS``.
    """

    def __init__(self, interpolation: str) -> None:
        super().__init__()
        self._function, _ = FILTERS[interpolation]

    def forward(self, axis: Axis) -> torch.Tensor:
        """Whole multiples of 1 / 2^22, given as their number, float32 (S, P); each row sums to nearly 2^22."""
        scale = axis.blocks.double() / axis.side
        inverse = 1 / scale.clamp(min=1)
        distance = (axis.p - (axis.i.double() + 0.5) * scale + 0.5) * inverse
        values = self._function(distance.abs()) * axis.seen
        values = values / values.cumsum(1)[:, -1:] * BITS  # a running sum: one term after the other, as Pillow adds
        return (values + torch.where(values < 0, -0.5, 0.5)).trunc().float()


class WeightsWithoutFloat64(nn.Module):
    """``Weights`` for runtimes that have no float64, right but for ties.

    All is float32, within 2^-31 of a weight before it is rounded. The filter comes from a table of cubics, one for each
    512th of a pixel. A value is a head, which is a whole multiple of 1 / 2^10, and a small tail; all that is done with
    heads is exact.

    Args:
        interpolation: A key of ``FILTERS``.
    """

    table: torch.Tensor

    def __init__(self, interpolation: str) -> None:
        super().__init__()
        function, self._end = FILTERS[interpolation]
        nodes = torch.arange(4, dtype=torch.float64) / 3
        cells = torch.arange(self._end * CELLS, dtype=torch.float64)[:, None]
        cubics = torch.linalg.solve(torch.linalg.vander(nodes), function((cells + nodes) / CELLS).T).T
        heads = torch.round(cubics[:, :1] * COARSE) / COARSE
        table = torch.cat([heads, cubics[:, :1] - heads, cubics[:, 1:]], 1)
        self.register_buffer("table", torch.cat([table, torch.zeros(1, 5, dtype=torch.float64)]).float())

    def forward(self, axis: Axis) -> torch.Tensor:
        """As of ``Weights``."""
        place, widened, shift = self._places(axis)
        limit = (self._end + 1) * widened
        place = place.clamp(-limit, limit)
        distance = (place.float() / widened + shift) * CELLS
        side = torch.where(distance < 0, -1, 1)
        cell = torch.floor(distance.abs()).long().clamp(max=self._end * CELLS)
        rest = (side * place * CELLS - cell * widened).float() / widened + side * shift * CELLS
        head, c0, c1, c2, c3 = (self.table[:, i][cell] * axis.seen for i in range(5))
        tail = c0 + rest * (c1 + rest * (c2 + rest * c3))
        heads, tails = head.sum(1, keepdim=True), tail.sum(1, keepdim=True)
        whole = heads + tails
        coarse = torch.round((head + tail) / whole * COARSE) / COARSE
        left = (head - coarse * heads) + (tail - coarse * tails)
        return coarse * BITS + torch.round(left / whole * BITS)

    def _places(self, axis: Axis) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Where each block lies from the centre of each wanted pixel.

        Returns:
            Whole numbers (S, P), in how many of their units a pixel of the filter is wide, and what comes to the
            distance in pixels, float32 (S, P), much less than a 512th.
        """
        i, length, factor, blocks = axis.i, axis.length, axis.factor, axis.blocks
        place = (2 * i + 1) * length - (2 * axis.p + 1) * factor * axis.side
        widened: Any = 2 * torch.sym_max(length, factor * axis.side)
        rounded = (length - factor * torch.floor(blocks) - factor * (blocks - torch.floor(blocks))) / factor
        return place, widened, (place.float() / widened - i - 0.5) * (rounded / blocks)
