"""What every layer makes of some photos: its strongest channels, and how many are silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.explain.layers import Layer, as_map, watching


@dataclass(frozen=True)
class View:
    """One layer and one photo.

    Attributes:
        channels: The strongest, strongest first: those whose answer stands out most from their own mean over the photo.
        maps: Their answers, float32 (n, H, W), averaged over areas where the layer has more than ``side`` rows.
        silent: Share of all channels that is 0 everywhere on this photo, in [0, 1].
    """

    channels: tuple[int, ...]
    maps: np.ndarray
    silent: float


def walk(
    module: nn.Module, x: torch.Tensor, layers: Sequence[Layer], sides: Mapping[str, int], most: int
) -> dict[str, list[View]]:
    """Look at some layers with one forward pass; nothing but what is shown is kept.

    Args:
        module: A backbone.
        x: Normalised images (B, 3, S, S).
        layers: From ``list_layers``; those whose values have no place in the image are left out.
        sides: Layer name to the largest number of rows to keep.
        most: Channels to keep.

    Returns:
        Layer name to one view per image.
    """
    known = {layer.name: layer for layer in layers if layer.has_place}
    views: dict[str, list[View]] = {}

    def watch(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        values = as_map(output, known[name]).float()
        views[name] = _views(values, sides[name], most)

    with torch.inference_mode(), watching(module, list(known), watch):
        module.eval()(x)
    return views


def _views(values: torch.Tensor, side: int, most: int) -> list[View]:
    mean = values.mean(dim=(2, 3), keepdim=True)
    standing_out = (values - mean).abs().amax(dim=(2, 3))
    chosen = standing_out.topk(min(most, values.shape[1]), dim=1).indices  # (B, n)
    silent = (values == 0).all(dim=3).all(dim=2).float().mean(dim=1)
    maps = values.gather(1, chosen[:, :, None, None].expand(-1, -1, *values.shape[2:]))
    if max(values.shape[2:]) > side:
        maps = functional.adaptive_avg_pool2d(maps, min(side, values.shape[2]))
    return [
        View(tuple(channels), grid, float(share))
        for channels, grid, share in zip(chosen.tolist(), maps.cpu().numpy(), silent, strict=True)
    ]


class Silence:
    """Which channels of each layer have been 0 everywhere in all images seen: an observer of a survey."""

    def __init__(self) -> None:
        self._silent: dict[str, torch.Tensor] = {}

    def see(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Look at a batch, (B, C, H, W)."""
        silent = (values == 0).all(dim=3).all(dim=2).all(dim=0)
        self._silent[name] = self._silent[name] & silent if name in self._silent else silent

    def share(self, name: str) -> float | None:
        """Share of dead channels of a layer, in [0, 1]; None if it was not looked at."""
        return float(self._silent[name].float().mean()) if name in self._silent else None
