"""The weights of a network's first convolution as color images: the only weights that can be read directly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from topwork.explain.layers import unwrap

MAX_KERNEL = 32  # side in pixels
MID_GRAY = 128  # a weight of 0


@dataclass(frozen=True)
class Filters:
    """Filters of one convolution on RGB.

    Attributes:
        layer: Dotted path in the backbone.
        channels: Output channels, ascending, (F,).
        tiles: uint8 (F, k, k, 3): weights on R, G, B; 128 is 0, with one scale for all tiles.
        limit: The largest absolute weight, shown in full color.
    """

    layer: str
    channels: tuple[int, ...]
    tiles: np.ndarray
    limit: float


def first_filters(module: nn.Module, limit: int = 64) -> Filters | None:
    """The filters of the first convolution on all three colors.

    Of parallel branches the first with a kernel larger than one pixel is used. Convolutions that standardize their
    weights (Qiao et al. 2019, arXiv 1903.10520) show the standardized weights, not the stored ones.

    Args:
        module: A backbone.
        limit: Of more filters, those with the largest norm are taken.

    Returns:
        The filters; None if no convolution takes RGB, as in networks that begin by moving pixels into channels.

    >>> first_filters(nn.Sequential(nn.Conv2d(3, 8, 5))).tiles.shape
    (8, 5, 5, 3)
    """
    found = [
        (name, layer)
        for name, layer in unwrap(module).named_modules()
        if isinstance(layer, nn.Conv2d) and layer.weight.shape[1] == 3 and layer.groups == 1
    ]
    found = [(name, layer) for name, layer in found if layer.kernel_size[0] == layer.kernel_size[1] <= MAX_KERNEL]
    if not found:
        return None
    name, layer = next((one for one in found if one[1].kernel_size[0] > 1), found[0])
    weights = _effective_weights(layer).float().cpu()  # (F, 3, k, k)
    order = torch.sort(weights.flatten(1).norm(dim=1), descending=True, stable=True).indices
    channels = order[:limit].sort().values
    shown = weights[channels].permute(0, 2, 3, 1).numpy()
    largest = float(np.abs(shown).max(initial=0.0))
    tiles = np.rint(MID_GRAY + shown / (largest or 1.0) * (255 - MID_GRAY)).astype(np.uint8)
    return Filters(name, tuple(channels.tolist()), tiles, largest)


def _effective_weights(layer: nn.Conv2d) -> torch.Tensor:
    weight = layer.weight.detach()
    if "StdConv" not in type(layer).__name__:
        return weight
    variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True, correction=0)
    eps = layer.eps if isinstance(layer.eps, float) else 0.0
    standard = (weight - mean) / (variance + eps).sqrt()
    gain, scale = getattr(layer, "gain", None), getattr(layer, "scale", 1.0)
    return standard * scale if gain is None else standard * gain.detach() * scale
