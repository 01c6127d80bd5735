"""Pillow's resize as operations of a graph: what ``transforms.eval_pixels`` does, for images of any size.

``Image.resize`` with ``reducing_gap=3.0`` first averages whole blocks of pixels of a much larger image, then convolves
rows and columns with a filter that is widened by the scale, and rounds to 8 bits after each step. The convolutions
are matrix products whose weights are computed in the graph from the size of the image. Pillow's weights are whole
multiples of 2^-22; here each is cut in two, so that all sums are of whole numbers that float32 holds exactly, and the
pixels are Pillow's to the last bit. A block's mean comes from running sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from topwork.artifacts import InputSpec

GAP = 3  # reducing_gap in transforms.eval_pixels
BITS = 2.0**22  # Pillow's weights are whole multiples of 1 / 2^22
HALF = 2.0**11  # a weight is HALF * coarse + fine


def _bilinear(x: torch.Tensor) -> torch.Tensor:
    return (1 - x).clamp(min=0)


def _bicubic(x: torch.Tensor) -> torch.Tensor:
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: torch.Tensor) -> torch.Tensor:
    angle = torch.where(x == 0, torch.ones_like(x), x * math.pi)
    value = torch.sin(angle) * torch.sin(angle / 3) * 3 / (angle * angle)
    return torch.where(x == 0, torch.ones_like(x), torch.where(x < 3, value, torch.zeros_like(x)))


FILTERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "lanczos": _lanczos,
}


class Resize(nn.Module):
    """Whole images squeezed into a square of which the centre is kept, as evaluation does.

    Args:
        spec: What the network is fed.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.side, self.size = spec.resize, spec.size
        self.first = (spec.resize - spec.size) // 2
        self.filter = FILTERS.get(spec.interpolation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, 3) to whole numbers 0..255 as float32 (N, 3, S, S)."""
        height, width = images.shape[1], images.shape[2]
        x = images.permute(0, 3, 1, 2)
        if self.filter is None:
            rows, columns = self._nearest(height, x.device), self._nearest(width, x.device)
            return x.index_select(2, rows).index_select(3, columns).float()
        sums, down, tall = self._blocks(x.to(torch.int32), 2, height)
        sums, across, wide = self._blocks(sums, 3, width)
        x = _mean(sums.float(), tall[:, None] * wide, _power_of_two(tall)[:, None] & _power_of_two(wide))
        return torch.cond(self._columns_first(x.shape[2], x.shape[3]), _down_first, _across_first, (x, down, across))

    def _columns_first(self, height: int, width: int) -> torch.Tensor:
        """Which of the two convolutions Pillow 13 does first; found by trying: the rounding between them shows it."""
        tall = torch.scalar_tensor(height, dtype=torch.int64)
        return (tall > self.side) & (tall + self.side > 2 * torch.scalar_tensor(width, dtype=torch.int64))

    def _nearest(self, length: int, device: torch.device) -> torch.Tensor:
        scale = torch.scalar_tensor(length, dtype=torch.float64, device=device) / self.side
        steps = torch.ones(self.side, dtype=torch.float64, device=device)
        steps[0] = 0.5  # Pillow goes from pixel to pixel and sums its rounding errors up: so does this
        return (steps * scale).cumsum(0)[self.first : self.first + self.size].to(torch.int64)

    def _blocks(self, x: torch.Tensor, axis: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums of the blocks along an axis, the weights (S, blocks) of their means, and how many pixels each has."""
        factor: Any = torch.sym_max(length // (GAP * self.side), 1)
        count = (length + factor - 1) // factor + 2  # two more, empty ones: the exporter must see that there are two
        p = torch.arange(count, device=x.device)
        start = (p * factor).clamp(max=length)
        end = (start + factor).clamp(max=length)
        running = functional.pad(x.cumsum(axis, dtype=torch.int32), (1, 0) if axis == 3 else (0, 0, 1, 0))
        sums = running.index_select(axis, end) - running.index_select(axis, start)
        i = torch.arange(self.first, self.first + self.size, device=x.device)[:, None]
        place = ((2 * i + 1) * length - (2 * p + 1) * factor * self.side).double()
        assert self.filter is not None
        widened: Any = 2 * torch.sym_max(length, factor * self.side)
        weights = self.filter((place / widened).abs())
        weights = weights * (end > start)
        weights = weights / weights.sum(1, keepdim=True)
        return sums, torch.round(weights * BITS), (end - start).clamp(min=1).float()


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


def _power_of_two(count: torch.Tensor) -> torch.Tensor:
    powers = torch.tensor([2.0**k for k in range(12)], device=count.device)
    return (count[:, None] == powers).any(1)


def _mean(sums: torch.Tensor, count: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Sums of whole numbers divided by their count as Pillow does it, all in whole numbers that float32 holds.

    Pillow multiplies by 2^24 / count, rounded down: what would come out whole is one less, but for powers of two.
    """
    total = sums + torch.floor(count / 2)
    whole = torch.floor((total + 0.5) / count)
    short = (whole * count == total) & ~exact & (total > 0)
    return whole - short.float()
