"""One forward pass over many images, shared by all analyses of layer activations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from topwork.core.errors import DataError
from topwork.explain.layers import Layer, hook_last_calls, to_feature_map, unwrap


class Observer(Protocol):
    """Receives the activations of layers while a network runs."""

    def observe(self, name: str, values: torch.Tensor) -> None:
        """Process the activations (B, C, H, W) of one layer for one batch.

        They are a view of the network's own tensor, which it may overwrite next: keep copies only.
        """
        ...


def run_with_observers(
    module: nn.Module, layers: Sequence[Layer], batches: Iterable[torch.Tensor], observers: Sequence[Observer]
) -> np.ndarray:
    """Run a network over images once and pass every layer's activations to every observer.

    Args:
        module: A backbone; in eval mode afterwards.
        layers: From ``list_layers``, spatial ones or vectors.
        batches: Normalized images (B, 3, S, S) on the network's device.
        observers: Called once per layer and batch, in the order of the forward pass.

    Returns:
        The network's features float32 (N, D), in the order of the batches.

    Raises:
        DataError: There are no images.
        UsageError: A layer has no spatial positions, or the network is scripted.
    """
    module = unwrap(module).eval()

    def notify(layer: Layer, output: torch.Tensor) -> None:
        values = to_feature_map(output, layer)
        for observer in observers:
            observer.observe(layer.name, values)

    with torch.inference_mode(), hook_last_calls(module, layers, notify):
        features = [module(x).float().cpu().numpy() for x in batches]
    if not features:
        raise DataError("No images to run the network on; pass at least one.")
    return np.concatenate(features)


class Pooled:
    """An observer of the activations of some layers averaged over their positions, as linear probes need them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._values: dict[str, list[np.ndarray]] = {}

    def observe(self, name: str, values: torch.Tensor) -> None:
        """Keep the mean over the positions of (B, C, H, W)."""
        if name in self._names:
            self._values.setdefault(name, []).append(values.mean(dim=(2, 3), dtype=torch.float32).cpu().numpy())

    def features(self, name: str) -> np.ndarray:
        """Pooled activations of an observed layer, float32 (N, C)."""
        return np.concatenate(self._values[name])
