"""What a channel looks for: the places in all images where it answers most, found in one pass with constant memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from topwork.core.errors import UsageError
from topwork.explain.layers import Layer
from topwork.explain.receptive import Field

GREY = 128  # what lies beyond the image


@dataclass(frozen=True)
class Hit:
    """Where a channel answers most in one image.

    Attributes:
        id: Of the image.
        label: Class index, if it is known.
        value: The answer.
        row, column: Its place in the layer's map.
    """

    id: str
    label: int | None
    value: float
    row: int
    column: int


@dataclass
class _State:
    """What is kept of one layer, on the CPU; K channels are tracked, the best M images of each.

    Attributes:
        channels: Tracked channels, int64 (K,).
        best: Answers float32 (K, M), descending; -inf where no image is known yet.
        image, place: Number of the image and row-major place in the map of each, int64 (K, M).
        width: Columns of the map.
        dead: bool (C,).
        sums: Over images, float64 (3, C): of the mean over the map, of its square, of the variance over the map.
        by_class: Sums of the mean over the map per class, float64 (classes, C).
        per_class: Images per class, int64 (classes,).
        seen: Number of images.
        names: Number of an image to id and label, for those images that are among the best.
    """

    channels: torch.Tensor
    best: torch.Tensor
    image: torch.Tensor
    place: torch.Tensor
    width: int
    dead: torch.Tensor
    sums: torch.Tensor
    by_class: torch.Tensor
    per_class: torch.Tensor
    seen: int = 0
    names: dict[int, tuple[str, int | None]] = field(default_factory=dict)


class TopPatches:
    """The strongest answers of channels over a stream of images: an observer of a survey.

    The result does not depend on how the stream is cut into batches. Of equal answers the one that came first counts:
    the earlier image, the upper row, the left column. An image on which a channel answers NaN is no hit of it.

    Args:
        layers: To look at; others are passed over.
        channels: Layer name to the channels whose best places are kept; all channels of layers that are not named.
        most: How many images to keep per channel, each with one place.
        classes: Number of classes; 0 if there are none.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        channels: Mapping[str, Sequence[int]] | None = None,
        most: int = 9,
        classes: int = 0,
    ) -> None:
        self._layers = {layer.name for layer in layers}
        self._channels = dict(channels or {})
        self._most = most
        self._classes = classes
        self._states: dict[str, _State] = {}

    def see(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Look at what a layer answers to some images, each of which is shown once.

        Args:
            name: Of the layer.
            values: (B, C, H, W).
            ids: Of the images, (B,).
            labels: Class indices (B,), if they are known.
        """
        if name not in self._layers:
            return
        state = self._states.setdefault(name, self._new_state(name, values)) if len(ids) else None
        if state is None:
            return
        values = values.detach().float()
        state.dead &= (values == 0).all(dim=3).all(dim=2).all(dim=0).cpu()
        self._add_means(state, values, labels)
        self._add_hits(state, values, ids, labels)
        state.seen += len(ids)

    def _new_state(self, name: str, values: torch.Tensor) -> _State:
        count = values.shape[1]
        channels = torch.tensor(list(self._channels.get(name, range(count))), dtype=torch.int64)
        shape = (len(channels), self._most)
        return _State(
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

    def _add_means(self, state: _State, values: torch.Tensor, labels: Sequence[int] | None) -> None:
        variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)
        variance, mean = variance.cpu().double(), mean.cpu().double()  # (B, C)
        state.sums += torch.stack([mean.sum(0), mean.square().sum(0), variance.sum(0)])
        if self._classes and labels is not None:
            index = torch.tensor(list(labels))
            state.by_class.index_add_(0, index, mean)
            state.per_class += torch.bincount(index, minlength=self._classes)

    def _add_hits(self, state: _State, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        tracked = values if len(state.channels) == values.shape[1] else values[:, state.channels.to(values.device)]
        found = tracked.flatten(2).max(dim=2)  # of equal values the first place
        best = found.values.T.cpu()
        best = torch.where(best.isnan(), -torch.inf, best)
        numbers = torch.arange(state.seen, state.seen + len(ids)).expand_as(best)
        best = torch.cat([state.best, best], dim=1)
        image = torch.cat([state.image, numbers], dim=1)
        place = torch.cat([state.place, found.indices.T.cpu()], dim=1)
        order = best.sort(dim=1, descending=True, stable=True).indices[:, : self._most]  # topk breaks ties at will
        state.best, state.image, state.place = (x.gather(1, order) for x in (best, image, place))
        known = {
            state.seen + i: (image_id, None if labels is None else int(labels[i])) for i, image_id in enumerate(ids)
        }
        known |= state.names
        state.names = {i: known[i] for i in state.image.unique().tolist() if i >= 0}

    def _state(self, name: str) -> _State:
        if name not in self._states:
            known = ", ".join(self._states) or "none"
            raise UsageError(f"Layer {name} was not looked at; layers seen: {known}.")
        return self._states[name]

    def top(self, name: str, channel: int) -> list[Hit]:
        """The images on which a channel answers most, best first, each with its strongest place.

        Raises:
            UsageError: The layer was not looked at, or the channel is not tracked.
        """
        state = self._state(name)
        rows = (state.channels == channel).nonzero()
        if not len(rows):
            raise UsageError(f"Channel {channel} of layer {name} is not tracked; name it when TopPatches is made.")
        row = int(rows[0])
        hits = []
        for value, image, place in zip(state.best[row], state.image[row], state.place[row], strict=True):
            if value > -torch.inf:
                hits.append(Hit(*state.names[int(image)], float(value), *divmod(int(place), state.width)))
        return hits

    def favourites(self, name: str) -> np.ndarray | None:
        """Mean answer of every channel to the images of each class, float64 (classes, C).

        Returns:
            A class without an image has -inf, so that it is nobody's favourite; None if there are no labels.
        """
        state = self._state(name)
        if not int(state.per_class.sum()):
            return None
        means = state.by_class / state.per_class.clamp(min=1)[:, None]
        means[state.per_class == 0] = -torch.inf
        return means.numpy()

    def dead(self, name: str) -> np.ndarray:
        """Channels that were exactly 0 at every place of every image, bool (C,)."""
        return self._state(name).dead.numpy()

    def strongest(self, name: str, most: int) -> tuple[int, ...]:
        """The tracked channels worth showing: the most selective, best first; dead ones never.

        Selectivity is how far the weakest of a channel's top hits lies above its mean over all places of all images, in
        standard deviations over them. The weakest is taken, for a channel that answers to one image only would have
        nothing more to show.
        """
        state = self._state(name)
        mean, square, within = (state.sums / max(state.seen, 1))[:, state.channels]
        deviation = (within + square - mean.square()).clamp(min=0).sqrt()
        kept = state.best > -torch.inf
        weakest = torch.where(kept, state.best, torch.inf).amin(dim=1).double()
        alive = ~state.dead[state.channels] & kept.any(dim=1)
        score = torch.where(deviation > 0, (weakest - mean) / deviation.clamp(min=1e-12), -torch.inf)
        order = score.sort(descending=True, stable=True).indices
        return tuple(state.channels[order[alive[order]][:most]].tolist())


def cut(pixels: np.ndarray, field: Field, hit: Hit, side: int) -> np.ndarray:
    """The part of an image that a hit's value depends on.

    Args:
        pixels: The image as the network was fed, uint8 (S, S, 3).
        field: Receptive field of the layer; one that reaches both edges gives the whole image, wherever the hit is.
        hit: The place.
        side: Of the result in pixels.

    Returns:
        uint8 (side, side, 3); what lies beyond the image is mid grey.
    """
    size = len(pixels)
    left, top, right, bottom = (0, 0, size, size) if field.whole else field.box(hit.row, hit.column)
    patch = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    rows, columns = slice(max(top, 0), min(bottom, size)), slice(max(left, 0), min(right, size))
    inside = pixels[rows, columns]
    y, x = rows.start - top, columns.start - left
    patch[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    enlarged = side >= 2 * len(patch)  # then single pixels are to be seen
    how = Image.Resampling.BOX if enlarged else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(patch).resize((side, side), how))
