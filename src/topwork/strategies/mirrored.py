"""Features that are the mean of those of an image and of its mirror image, for heads that see both."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from topwork.training.context import Features


def mean_of_views(plain: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """The mean of two float32 (N, D), with the same bits wherever it is computed."""
    return (plain + mirrored) * np.float32(0.5)


class MirroredFeatures:
    """The features of a store, averaged over each image and its mirror image.

    Args:
        store: Where the features of each view are from.
    """

    def __init__(self, store: Features) -> None:
        self._store, self.views = store, store.views
        self.engine, self.seconds = store.engine, store.seconds
        self._loaded: dict[str, np.ndarray] = {}

    def training_seconds(self) -> float:
        """Of the store, for both views."""
        return self._store.training_seconds()

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """The mean of both views, float32 (N, D); with ``mirrored`` that of the same images, which is equal."""
        if split not in self._loaded:
            self._loaded[split] = mean_of_views(self._store.load(split), self._store.load(split, mirrored=True))
            self.engine, self.seconds = self._store.engine, self._store.seconds
        return self._loaded[split]


class MirroredBackbone(nn.Module):
    """A backbone whose features are those of ``MirroredFeatures``: images (B, 3, S, S) to (B, D).

    Args:
        backbone: Runs on both views in one batch.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of the features of both views."""
        plain, mirrored = self.backbone(torch.cat([x, x.flip(3)])).chunk(2)
        return (plain + mirrored) * 0.5
