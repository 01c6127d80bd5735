"""One forward pass over many images, shared by all analyses of layer activations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import nn

from topwork.core.errors import DataError, UnknownName
from topwork.explain.layers import Layer, forward_hooks, to_feature_map, unwrap


class Observer(Protocol):
    """Receives the activations of layers while a network runs."""

    def observe(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Process the activations of one layer for one batch.

        Args:
            name: Of the layer.
            values: (B, C, H, W), a view of the network's own tensor, which it may overwrite next: keep copies only.
            ids: Image ids, (B,).
            labels: Class indices (B,), or None.
        """
        ...


@contextmanager
def hook_last_calls(
    module: nn.Module, layers: Sequence[Layer], callback: Callable[[Layer, torch.Tensor], None]
) -> Iterator[None]:
    """Call ``callback(layer, output)`` once per forward pass for each layer, at the last of its calls.

    Args:
        module: A backbone; every pass must call a layer ``Layer.calls`` times.
        layers: From ``list_layers`` of this backbone.
        callback: Gets the network's own tensor.
    """
    known = {layer.name: layer for layer in layers}
    calls = dict.fromkeys(known, 0)

    def count(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        calls[name] += 1
        if calls[name] % known[name].calls == 0:
            callback(known[name], output)

    with forward_hooks(module, list(known), count):
        yield


def run_with_observers(
    module: nn.Module,
    layers: Sequence[Layer],
    batches: Iterable[tuple[torch.Tensor, Sequence[str], Sequence[int] | None]],
    observers: Sequence[Observer],
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Run a network over images once and pass every layer's activations to every observer.

    Args:
        module: A backbone; in eval mode afterwards.
        layers: From ``list_layers``, spatial ones or vectors.
        batches: Normalised images (B, 3, S, S) on the network's device, ids (B,) and class indices (B,) or None.
        observers: Called once per layer and batch, in the order of the forward pass.

    Returns:
        The network's features float32 (N, D) and the ids (N,), in the order of the batches.

    Raises:
        DataError: There are no images.
        UsageError: A layer has no spatial positions, or the network is scripted.
    """
    module = unwrap(module).eval()
    features: list[np.ndarray] = []
    all_ids: list[str] = []
    ids: Sequence[str] = ()
    labels: Sequence[int] | None = None

    def notify(layer: Layer, output: torch.Tensor) -> None:
        values = to_feature_map(output, layer)
        for observer in observers:
            observer.observe(layer.name, values, ids, labels)

    with torch.inference_mode(), hook_last_calls(module, layers, notify):
        for batch in batches:
            x, ids, labels = batch
            features.append(module(x).float().cpu().numpy())
            all_ids += ids
    if not features:
        raise DataError("No images to run the network on; pass at least one.")
    return np.concatenate(features), tuple(all_ids)


class Pooled:
    """The activations of some layers (None: all) averaged over their positions, as linear probes need them."""

    def __init__(self, names: Collection[str] | None = None) -> None:
        self._names = names
        self._values: dict[str, list[np.ndarray]] = {}

    def observe(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        """Keep the mean over the positions of (B, C, H, W)."""
        if self._names is None or name in self._names:
            self._values.setdefault(name, []).append(values.mean(dim=(2, 3), dtype=torch.float32).cpu().numpy())

    def features(self, name: str) -> np.ndarray:
        """Pooled activations of a layer, float32 (N, C).

        Raises:
            UnknownName: The layer was not observed.
        """
        if name not in self._values:
            raise UnknownName("layer", name, self._values)
        return np.concatenate(self._values[name])
