"""The weights of a network's first convolution as colour pictures: the only weights that a person can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from topwork.explain.layers import plain

LARGEST = 32  # side of a kernel in pixels
GREY = 128  # a weight of 0


@dataclass(frozen=True)
class Filters:
    """Filters of one convolution on RGB.

    Attributes:
        layer: Dotted path in the backbone.
        channels: Output channels, ascending, (F,).
        tiles: uint8 (F, k, k, 3): weights on R, G, B; 128 is 0, and one scale holds for all tiles.
        limit: The absolute weight that is full colour: the largest of those shown.
    """

    layer: str
    channels: tuple[int, ...]
    tiles: np.ndarray
    limit: float


def first_filters(module: nn.Module, most: int = 64) -> Filters | None:
    """The filters of the first convolution that takes all three colours.

    Of branches side by side the first larger than a pixel counts. What a convolution that standardises its weights
    (Qiao et al. 2019, arXiv 1903.10520) computes with is shown, not what it stores.

    Args:
        module: A backbone.
        most: If there are more filters, those with the largest norm are taken.

    Returns:
        The filters; None if no convolution takes images, as in networks that begin by moving pixels into channels.
    """
    found = [
        (name, layer)
        for name, layer in plain(module).named_modules()
        if isinstance(layer, nn.Conv2d) and layer.weight.shape[1] == 3 and layer.groups == 1
    ]
    found = [(name, layer) for name, layer in found if layer.kernel_size[0] == layer.kernel_size[1] <= LARGEST]
    if not found:
        return None
    name, layer = next((one for one in found if one[1].kernel_size[0] > 1), found[0])
    weights = _effective(layer).float().cpu()  # (F, 3, k, k)
    order = torch.sort(weights.flatten(1).norm(dim=1), descending=True, stable=True).indices
    channels = order[:most].sort().values
    shown = weights[channels].permute(0, 2, 3, 1).numpy()
    limit = float(np.abs(shown).max(initial=0.0))
    tiles = np.rint(GREY + shown / (limit or 1.0) * (255 - GREY)).astype(np.uint8)
    return Filters(name, tuple(channels.tolist()), tiles, limit)


def _effective(layer: nn.Conv2d) -> torch.Tensor:
    weight = layer.weight.detach()
    if "StdConv" not in type(layer).__name__:
        return weight
    variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True, correction=0)
    eps = layer.eps if isinstance(layer.eps, float) else 0.0
    standard = (weight - mean) / (variance + eps).sqrt()
    gain, scale = getattr(layer, "gain", None), getattr(layer, "scale", 1.0)
    return standard * scale if gain is None else standard * gain.detach() * scale
