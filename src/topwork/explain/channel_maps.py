"""The most active channels of every layer for an image, and the share of inactive channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.explain.layers import Layer, hook_last_calls, to_feature_map


@dataclass(frozen=True)
class ChannelMaps:
    """The most active channels of one layer for one image.

    Attributes:
        channels: Channels by descending deviation: the largest distance of an activation from the channel's mean.
        maps: Their activations, float32 (n, H, W), averaged over areas if the layer has more than ``side`` rows.
        inactive_share: Share of the layer's channels that are 0 everywhere, in [0, 1].
    """

    channels: tuple[int, ...]
    maps: np.ndarray
    inactive_share: float


def strongest_channels(
    module: nn.Module, x: torch.Tensor, layers: Sequence[Layer], side: int, limit: int
) -> dict[str, list[ChannelMaps]]:
    """The most active channels of layers, from one forward pass.

    Args:
        module: A backbone; in eval mode afterwards.
        x: Normalized images (B, 3, S, S).
        layers: From ``list_layers``; layers without spatial positions are skipped.
        side: Rows of a map, at most.
        limit: Channels per layer, at most.

    Returns:
        Layer name to one entry per image.

    >>> from topwork.explain import list_layers
    >>> module, x = nn.Sequential(nn.Conv2d(3, 8, 3)), torch.rand(1, 3, 32, 32)
    >>> strongest_channels(module, x, list_layers(module, x), side=10, limit=4)["0"][0].maps.shape
    (4, 10, 10)
    """
    found: dict[str, list[ChannelMaps]] = {}

    def add(layer: Layer, output: torch.Tensor) -> None:
        found[layer.name] = _channel_maps(to_feature_map(output, layer).float(), side, limit)

    with torch.inference_mode(), hook_last_calls(module, [layer for layer in layers if layer.is_spatial], add):
        module.eval()(x)
    return found


def _channel_maps(values: torch.Tensor, side: int, limit: int) -> list[ChannelMaps]:
    mean = values.mean(dim=(2, 3), keepdim=True)
    deviation = (values - mean).abs().amax(dim=(2, 3))
    chosen = deviation.topk(min(limit, values.shape[1]), dim=1).indices  # (B, n)
    inactive = (values == 0).all(dim=3).all(dim=2).float().mean(dim=1)
    maps = values.gather(1, chosen[:, :, None, None].expand(-1, -1, *values.shape[2:]))
    if max(values.shape[2:]) > side:
        maps = functional.adaptive_avg_pool2d(maps, min(side, values.shape[2]))
    return [
        ChannelMaps(tuple(channels), grid, float(share))
        for channels, grid, share in zip(chosen.tolist(), maps.cpu().numpy(), inactive, strict=True)
    ]


class InactiveChannels:
    """Channels that were 0 everywhere in all images: an observer."""

    def __init__(self) -> None:
        self._inactive: dict[str, torch.Tensor] = {}

    def observe(self, name: str, values: torch.Tensor) -> None:
        """Add a batch (B, C, H, W)."""
        inactive = (values == 0).all(dim=3).all(dim=2).all(dim=0)
        self._inactive[name] = self._inactive[name] & inactive if name in self._inactive else inactive

    def share(self, name: str) -> float | None:
        """Share of inactive channels of a layer, in [0, 1]; None if it was not observed."""
        return float(self._inactive[name].float().mean()) if name in self._inactive else None
