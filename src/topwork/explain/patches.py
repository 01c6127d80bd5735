"""What a channel responds to: the positions of its highest activations in all images, from one pass in fixed memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from topwork.explain.receptive_field import ReceptiveField

MID_GRAY = 128  # outside the image


@dataclass(frozen=True)
class Activation:
    """The highest activation of a channel in one image: number of the image, and position in the feature map."""

    image: int
    value: float
    row: int
    column: int


@dataclass
class _LayerState:
    """What is kept of one layer, on the CPU: the top M images of each of its C channels.

    Attributes:
        width: Columns of the feature map.
        sums: Sums over images, float64 (3, C): of the mean over positions, of its square, of the variance.
        best: Activations float32 (C, M), descending; -inf where there is no image yet.
        image, position: Number of the image and row-major position in the feature map, int64 (C, M).
        seen: Number of images.
    """

    width: int
    sums: torch.Tensor
    best: torch.Tensor
    image: torch.Tensor
    position: torch.Tensor
    seen: int = 0


class TopPatches:
    """The highest activations of channels over a stream of images: an observer.

    The result does not depend on the batch size. Of equal activations the first counts: the earlier image, the upper
    row, the left column. Images with a NaN activation are ignored.

    Args:
        layers: Names of the layers to observe; others are ignored.
        limit: Images per channel, each with one position.
    """

    def __init__(self, layers: Collection[str], limit: int = 9) -> None:
        self._layers = layers
        self._limit = limit
        self._states: dict[str, _LayerState] = {}

    def observe(self, name: str, values: torch.Tensor) -> None:
        """Add the activations (B, C, H, W) of a layer for a batch; every image is passed once."""
        if name not in self._layers:
            return
        count, channels, _, width = values.shape
        if name not in self._states:
            none = torch.full((channels, 0), -1)
            sums = torch.zeros(3, channels, dtype=torch.float64)
            self._states[name] = _LayerState(width, sums, none.float(), none, none)
        state = self._states[name]
        values = values.detach().float()
        variance, mean = (x.cpu().double() for x in torch.var_mean(values, dim=(2, 3), correction=0))  # (B, C)
        state.sums += torch.stack([mean.sum(0), mean.square().sum(0), variance.sum(0)])
        found = values.flatten(2).max(dim=2)  # of equal values the first position
        numbers = torch.arange(state.seen, state.seen + count).expand(channels, count)
        best = torch.cat([state.best, found.values.T.cpu().nan_to_num(-torch.inf, torch.inf, -torch.inf)], dim=1)
        image = torch.cat([state.image, numbers], dim=1)
        position = torch.cat([state.position, found.indices.T.cpu()], dim=1)
        order = best.sort(dim=1, descending=True, stable=True).indices[:, : self._limit]  # topk is not stable
        state.best, state.image, state.position = (x.gather(1, order) for x in (best, image, position))
        state.seen += count

    def top(self, name: str, channel: int) -> list[Activation]:
        """The images with the highest activations of a channel, highest first, each with its best position."""
        state = self._states[name]
        return [
            Activation(int(image), float(value), *divmod(int(position), state.width))
            for value, image, position in zip(
                state.best[channel], state.image[channel], state.position[channel], strict=True
            )
            if value > -torch.inf
        ]

    def most_selective(self, name: str, limit: int) -> tuple[int, ...]:
        """The most selective channels of a layer, most selective first, without those that are always 0.

        Selectivity is the distance of the lowest of a channel's top activations from its mean over all positions of all
        images, in standard deviations. The lowest is used because a channel that responds to one image only has nothing
        else to show.
        """
        state = self._states[name]
        mean, square, variance = state.sums / state.seen
        deviation = (variance + square - mean.square()).clamp(min=0).sqrt()
        kept = state.best > -torch.inf
        lowest = torch.where(kept, state.best, torch.inf).amin(dim=1).double()
        alive = (state.sums != 0).any(dim=0) & kept.any(dim=1)
        score = torch.where(deviation > 0, (lowest - mean) / deviation.clamp(min=1e-12), -torch.inf)
        order = score.sort(descending=True, stable=True).indices
        return tuple(order[alive[order]][:limit].tolist())


def crop_receptive_field(pixels: np.ndarray, field: ReceptiveField, activation: Activation, side: int) -> np.ndarray:
    """The part of an image that an activation depends on.

    Args:
        pixels: The network's input, uint8 (S, S, 3).
        field: Of the layer; one that covers the image gives the whole image for every position.
        activation: The position.
        side: Of the result, in pixels.

    Returns:
        uint8 (side, side, 3); pixels outside the image are mid-gray.
    """
    size = len(pixels)
    box = (0, 0, size, size) if field.covers_image else field.box(activation.row, activation.column)
    left, top, right, bottom = box
    patch = np.full((bottom - top, right - left, 3), MID_GRAY, np.uint8)
    rows, columns = slice(max(top, 0), min(bottom, size)), slice(max(left, 0), min(right, size))
    inside = pixels[rows, columns]
    y, x = rows.start - top, columns.start - left
    patch[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    enlarged = side >= 2 * len(patch)  # single pixels should be visible
    how = Image.Resampling.BOX if enlarged else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(patch).resize((side, side), how))
