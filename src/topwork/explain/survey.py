"""One pass of a network over many images, shared by everyone who wants to see what its layers answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import nn

from topwork.core.errors import DataError, UnknownName
from topwork.explain.layers import Layer, as_map, plain, watching


class Observer(Protocol):
    """Looks at what layers answer while a network runs."""

    def see(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Look at what one layer answers to one batch.

        Args:
            name: Of the layer.
            values: (B, C, H, W), a view of the network's own tensor, which it may overwrite next: keep copies only.
            ids: Of the images, (B,).
            labels: Their class indices, (B,), if they are known.
        """
        ...


@contextmanager
def at_last_calls(
    module: nn.Module, layers: Sequence[Layer], look: Callable[[Layer, torch.Tensor], None]
) -> Iterator[None]:
    """Have ``look(layer, output)`` called once a pass for each layer, at the last of its calls; hooks always go.

    Args:
        module: A backbone; every pass must call a layer as often as ``Layer.calls`` says.
        layers: From ``list_layers`` of this backbone.
        look: Gets the network's own tensor.
    """
    known = {layer.name: layer for layer in layers}
    calls = dict.fromkeys(known, 0)

    def watch(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        calls[name] += 1
        if calls[name] % known[name].calls == 0:
            look(known[name], output)

    with watching(module, list(known), watch):
        yield


def survey(
    module: nn.Module,
    layers: Sequence[Layer],
    batches: Iterable[tuple[torch.Tensor, Sequence[str], Sequence[int] | None]],
    observers: Sequence[Observer],
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Run a network over images once and show every observer what every layer answers.

    Args:
        module: A backbone; in eval mode afterwards.
        layers: From ``list_layers``; their values must have a place in the image or be vectors.
        batches: Normalised images (B, 3, S, S) on the network's device, with ids (B,) and class indices (B,) or None.
        observers: Each sees each layer once per batch, in the order in which the network computes them.

    Returns:
        The network's features float32 (N, D), and the ids (N,), in the order of the batches.

    Raises:
        DataError: There are no images.
        UsageError: A layer's values have no place in the image, or the network is scripted.
    """
    module = plain(module).eval()
    features: list[np.ndarray] = []
    seen: list[str] = []
    ids: Sequence[str] = ()
    labels: Sequence[int] | None = None

    def look(layer: Layer, output: torch.Tensor) -> None:
        values = as_map(output, layer)
        for observer in observers:
            observer.see(layer.name, values, ids, labels)

    with torch.inference_mode(), at_last_calls(module, layers, look):
        for batch in batches:
            x, ids, labels = batch
            features.append(module(x).float().cpu().numpy())
            seen += ids
    if not features:
        raise DataError("There are no images to show to the network. Give at least one.")
    return np.concatenate(features), tuple(seen)


class Pooled:
    """What each layer answers to each image, averaged over all places: N x C numbers a layer, as a probe needs."""

    def __init__(self) -> None:
        self._values: dict[str, list[np.ndarray]] = {}
        self._ids: list[str] = []
        self._labels: list[int] = []

    def see(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Keep the mean over the places of (B, C, H, W)."""
        self._values.setdefault(name, []).append(values.mean(dim=(2, 3), dtype=torch.float32).cpu().numpy())
        if name == next(iter(self._values)):
            self._ids += ids
            self._labels += labels or ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the images seen, (N,)."""
        return tuple(self._ids)

    @property
    def labels(self) -> np.ndarray | None:
        """Class indices int64 (N,); None if those of any image are not known."""
        return np.array(self._labels, dtype=np.int64) if len(self._labels) == len(self._ids) else None

    def features(self, name: str) -> np.ndarray:
        """Pooled outputs of a layer, float32 (N, C).

        Raises:
            UnknownName: The layer was not looked at.
        """
        if name not in self._values:
            raise UnknownName("layer", name, self._values)
        return np.concatenate(self._values[name])
