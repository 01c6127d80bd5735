"""What a channel responds to: the positions of its highest activations in all images, from one pass in fixed memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from topwork.core.errors import UsageError
from topwork.explain.layers import Layer
from topwork.explain.receptive_field import ReceptiveField

MID_GREY = 128  # outside the image


@dataclass(frozen=True)
class Activation:
    """The highest activation of a channel in one image.

    Attributes:
        id: Image id.
        label: Class index, if known.
        value: The activation.
        row, column: Its position in the feature map.
    """

    id: str
    label: int | None
    value: float
    row: int
    column: int


@dataclass
class _LayerState:
    """What is kept of one layer, on the CPU: K tracked channels with their top M images each.

    Attributes:
        channels: Tracked channels, int64 (K,).
        best: Activations float32 (K, M), descending; -inf where there is no image yet.
        image, position: Number of the image and row-major position in the feature map, int64 (K, M).
        width: Columns of the feature map.
        dead: Channels that were 0 everywhere so far, bool (C,).
        sums: Sums over images, float64 (3, C): of the mean over positions, of its square, of the variance.
        by_class: Sums of the mean over positions per class, float64 (classes, C).
        per_class: Images per class, int64 (classes,).
        seen: Number of images.
        names: Number of an image to id and label, for the images in ``image``.
    """

    channels: torch.Tensor
    best: torch.Tensor
    image: torch.Tensor
    position: torch.Tensor
    width: int
    dead: torch.Tensor
    sums: torch.Tensor
    by_class: torch.Tensor
    per_class: torch.Tensor
    seen: int = 0
    names: dict[int, tuple[str, int | None]] = field(default_factory=dict)


class TopPatches:
    """The highest activations of channels over a stream of images: an observer.

    The result does not depend on the batch size. Of equal activations the first counts: the earlier image, the upper
    row, the left column. Images with a NaN activation are ignored.

    Args:
        layers: Layers to observe; others are ignored.
        channels: Layer name to tracked channels; all channels of layers that are not named.
        limit: Images per channel, each with one position.
        classes: Number of classes; 0 if there are none.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        channels: Mapping[str, Sequence[int]] | None = None,
        limit: int = 9,
        classes: int = 0,
    ) -> None:
        self._layers = {layer.name for layer in layers}
        self._channels = dict(channels or {})
        self._limit = limit
        self._classes = classes
        self._states: dict[str, _LayerState] = {}

    def observe(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Add the activations (B, C, H, W) of a layer for a batch; every image is passed once."""
        if name not in self._layers or not len(ids):
            return
        if name not in self._states:
            self._states[name] = self._new_state(name, values)
        state = self._states[name]
        values = values.detach().float()
        state.dead &= (values == 0).all(dim=3).all(dim=2).all(dim=0).cpu()
        self._add_means(state, values, labels)
        self._add_best(state, values, ids, labels)
        state.seen += len(ids)

    def _new_state(self, name: str, values: torch.Tensor) -> _LayerState:
        count = values.shape[1]
        channels = torch.tensor(list(self._channels.get(name, range(count))), dtype=torch.int64)
        shape = (len(channels), self._limit)
        return _LayerState(
            channels,
            torch.full(shape, -torch.inf),
            torch.full(shape, -1),
            torch.full(shape, -1),
            values.shape[3],
            torch.ones(count, dtype=torch.bool),
            torch.zeros(3, count, dtype=torch.float64),
            torch.zeros(self._classes, count, dtype=torch.float64),
            torch.zeros(self._classes, dtype=torch.int64),
        )

    def _add_means(self, state: _LayerState, values: torch.Tensor, labels: Sequence[int] | None) -> None:
        variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)
        variance, mean = variance.cpu().double(), mean.cpu().double()  # (B, C)
        state.sums += torch.stack([mean.sum(0), mean.square().sum(0), variance.sum(0)])
        if self._classes and labels is not None:
            index = torch.tensor(list(labels))
            state.by_class.index_add_(0, index, mean)
            state.per_class += torch.bincount(index, minlength=self._classes)

    def _add_best(
        self, state: _LayerState, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None
    ) -> None:
        tracked = values if len(state.channels) == values.shape[1] else values[:, state.channels.to(values.device)]
        found = tracked.flatten(2).max(dim=2)  # of equal values the first position
        best = found.values.T.cpu()
        best = torch.where(best.isnan(), -torch.inf, best)
        numbers = torch.arange(state.seen, state.seen + len(ids)).expand_as(best)
        best = torch.cat([state.best, best], dim=1)
        image = torch.cat([state.image, numbers], dim=1)
        position = torch.cat([state.position, found.indices.T.cpu()], dim=1)
        order = best.sort(dim=1, descending=True, stable=True).indices[:, : self._limit]  # topk is not stable
        state.best, state.image, state.position = (x.gather(1, order) for x in (best, image, position))
        names = {
            state.seen + i: (image_id, None if labels is None else int(labels[i])) for i, image_id in enumerate(ids)
        }
        names |= state.names
        state.names = {i: names[i] for i in state.image.unique().tolist() if i >= 0}

    def _state(self, name: str) -> _LayerState:
        if name not in self._states:
            raise UsageError(f"Layer {name} was not observed; observed layers: {', '.join(self._states) or 'none'}.")
        return self._states[name]

    def top(self, name: str, channel: int) -> list[Activation]:
        """The images with the highest activations of a channel, highest first, each with its best position.

        Raises:
            UsageError: The layer was not observed, or the channel is not tracked.
        """
        state = self._state(name)
        rows = (state.channels == channel).nonzero()
        if not len(rows):
            raise UsageError(f"Channel {channel} of layer {name} is not tracked; pass it to TopPatches.")
        row = int(rows[0])
        return [
            Activation(*state.names[int(image)], float(value), *divmod(int(position), state.width))
            for value, image, position in zip(state.best[row], state.image[row], state.position[row], strict=True)
            if value > -torch.inf
        ]

    def class_means(self, name: str) -> np.ndarray | None:
        """Mean activation of every channel for each class, float64 (classes, C).

        Returns:
            A class without images has -inf; None without labels.
        """
        state = self._state(name)
        if not int(state.per_class.sum()):
            return None
        means = state.by_class / state.per_class.clamp(min=1)[:, None]
        means[state.per_class == 0] = -torch.inf
        return means.numpy()

    def most_selective(self, name: str, limit: int) -> tuple[int, ...]:
        """The most selective tracked channels, most selective first, without dead ones.

        Selectivity is the distance of the lowest of a channel's top activations from its mean over all positions of all
        images, in standard deviations. The lowest is used because a channel that responds to one image only has nothing
        else to show.
        """
        state = self._state(name)
        mean, square, variance = (state.sums / max(state.seen, 1))[:, state.channels]
        deviation = (variance + square - mean.square()).clamp(min=0).sqrt()
        kept = state.best > -torch.inf
        lowest = torch.where(kept, state.best, torch.inf).amin(dim=1).double()
        alive = ~state.dead[state.channels] & kept.any(dim=1)
        score = torch.where(deviation > 0, (lowest - mean) / deviation.clamp(min=1e-12), -torch.inf)
        order = score.sort(descending=True, stable=True).indices
        return tuple(state.channels[order[alive[order]][:limit]].tolist())


def crop_receptive_field(pixels: np.ndarray, field: ReceptiveField, activation: Activation, side: int) -> np.ndarray:
    """The part of an image that an activation depends on.

    Args:
        pixels: The network's input, uint8 (S, S, 3).
        field: Of the layer; one that covers the image gives the whole image for every position.
        activation: The position.
        side: Of the result, in pixels.

    Returns:
        uint8 (side, side, 3); pixels outside the image are mid-grey.
    """
    size = len(pixels)
    box = (0, 0, size, size) if field.covers_image else field.box(activation.row, activation.column)
    left, top, right, bottom = box
    patch = np.full((bottom - top, right - left, 3), MID_GREY, np.uint8)
    rows, columns = slice(max(top, 0), min(bottom, size)), slice(max(left, 0), min(right, size))
    inside = pixels[rows, columns]
    y, x = rows.start - top, columns.start - left
    patch[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    enlarged = side >= 2 * len(patch)  # single pixels should be visible
    how = Image.Resampling.BOX if enlarged else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(patch).resize((side, side), how))
