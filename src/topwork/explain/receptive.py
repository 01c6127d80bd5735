"""Which pixels a value in a layer can depend on, found by changing pixels and looking who notices.

For the value in the middle of each layer the columns at the left, then at the right edge of an image are changed, one
more each time: the first change that is noticed marks the edge of the receptive field. That holds for every network,
with whatever branches, strides and paddings it has, where the usual arithmetic over kernel sizes fails; at the rim of a
large field a pixel can count for less than float32 notices. Gates that see the mean of the whole image (squeeze and
excitation) are held still, for they only scale channels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import torch
from torch import nn

from topwork.explain.layers import Layer, as_map, plain, watching

GATES = (
    "SqueezeExcite",
    "SEModule",
    "EffectiveSEModule",
    "SqueezeExciteCl",
    "EcaModule",
    "CbamModule",
    "GlobalContext",
)
BATCH = 32
FLAT = 64  # rows of a flat image: two at the usual stride of 32


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer's values, in pixels of the network's input.

    Attributes:
        left, right: First and last column that the middle value depends on; a square field is assumed.
        step: How far fields of neighbouring values lie apart.
        index: Column (and row) of the middle value.
        whole: Whether the field reaches both edges of the image: it may be larger than the image.
    """

    left: int
    right: int
    step: float
    index: int
    whole: bool

    @property
    def size(self) -> int:
        """Side in pixels."""
        return self.right - self.left + 1

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Left, upper, right, lower border of the field of a value, as Pillow counts; it may reach beyond the image."""
        x = self.left + round((column - self.index) * self.step)
        y = self.left + round((row - self.index) * self.step)
        return x, y, x + self.size, y + self.size

    def __str__(self) -> str:
        return "the whole image" if self.whole else f"{self.size} x {self.size} px"


def receptive_fields(module: nn.Module, layers: Sequence[Layer], size: int) -> dict[str, Field]:
    """The receptive field of every layer that has a place.

    Networks of maps that take flat images are given flat ones, which is faster; with others the edges are known to four
    pixels, never too narrow.

    Args:
        module: A backbone.
        layers: From ``list_layers`` at this size.
        size: Side S of the input.

    Returns:
        Layer name to field.
    """
    module = _without_zeros(plain(module))
    known = {layer.name: layer for layer in layers if layer.has_place}
    if not any(layer.arrangement == "tokens" for layer in known.values()):  # whose grid is known to be square only
        with suppress(RuntimeError, AssertionError, ValueError):  # of a network that takes only its own shape
            return _probe(module, known, FLAT, size, step=1)
    return _probe(module, known, size, size, step=4)


def _without_zeros(module: nn.Module) -> nn.Module:
    """A copy whose branches all count: before training, some end in a scale of 0 or too small to be noticed."""
    module = copy.deepcopy(module).eval()
    for parameter in module.parameters():
        if parameter.abs().max() < 1e-3:
            nn.init.normal_(parameter)
    return module


def _probe(module: nn.Module, known: dict[str, Layer], height: int, width: int, step: int) -> dict[str, Field]:
    generator = torch.Generator().manual_seed(0)
    base, other = torch.randn(2, 3, height, width, generator=generator).to(next(module.parameters()))
    inner = width // 2 // step * step
    edges = [(0, c) for c in range(step, inner + width // 8, step)]
    edges += [(c, width) for c in range(inner - width // 8, width, step)]
    middles: dict[str, torch.Tensor] = {}
    grids: dict[str, int] = {}
    noticed: dict[str, list[bool]] = {name: [] for name in known}

    def middle(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        values = as_map(output, known[name])
        grids[name] = values.shape[3]
        values = values[:, :, values.shape[2] // 2, values.shape[3] // 2]
        reference = middles.setdefault(name, values[0].clone())
        noticed[name] += (values != reference).any(dim=1).tolist()

    with torch.inference_mode(), ExitStack() as stack:
        for gate in module.modules():
            if type(gate).__name__ in GATES:
                stack.callback(gate.register_forward_hook(lambda _, given, __: given[0]).remove)
        stack.enter_context(watching(module, list(known), middle))
        rows = [(0, 0), *edges]  # the first is the unchanged image
        rows += [(0, 0)] * (-len(rows) % BATCH)  # one batch shape throughout, so that equal pixels give equal bits
        for start in range(0, len(rows), BATCH):
            images = base.repeat(BATCH, 1, 1, 1)
            for image, (a, b) in zip(images, rows[start : start + BATCH], strict=True):
                image[:, :, a:b] = other[:, :, a:b]
            module(images)
    return {name: _field(seen[1 : len(edges) + 1], edges, grids[name], width, step) for name, seen in noticed.items()}


def _field(noticed: list[bool], edges: list[tuple[int, int]], grid: int, size: int, step: int) -> Field:
    seen = [edge for edge, changed in zip(edges, noticed, strict=True) if changed]
    left = min((b - step for a, b in seen if a == 0), default=0)
    right = max((a + step - 1 for a, b in seen if b == size), default=size - 1)
    return Field(left, right, size / grid, grid // 2, left == 0 and right == size - 1)
