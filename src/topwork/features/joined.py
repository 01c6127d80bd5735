"""Features of several frozen networks side by side; each has the cache that it has alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from topwork.backbones.build import Backbone
from topwork.backbones.joined import join_features
from topwork.compute.collectives import Files
from topwork.compute.devices import DeviceContext
from topwork.core.artifacts import Manifest, Splits
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.features.extract import FeatureStore, best_engine, follow


class JoinedFeatures:
    """The features of a joined network, as ``FeatureStore`` has those of one.

    Args:
        stores: Of the networks, in their order.
    """

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        self._stores = stores
        self._loaded: dict[tuple[str, bool], np.ndarray] = {}
        self.views: set[bool] = set()
        for store in stores:
            store.views = self.views
        self.engine, self.seconds = "", 0.0

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """Features of a split in the order of its images, float32 (N, D1 + D2 + ...); not to be changed."""
        self.views.add(mirrored)
        if (split, mirrored) not in self._loaded:
            if not self.engine:
                self.engine = best_engine(self._stores, split, mirrored)
            for store in self._stores:
                store.engine = self.engine
            parts = [store.read(split, mirrored) for store in self._stores]
            self.seconds = sum(store.seconds for store in self._stores)
            self._loaded[split, mirrored] = join_features(parts)
        return self._loaded[split, mirrored]

    def training_seconds(self) -> float:
        """The time that the features in ``views`` of training and validation images took, now or earlier."""
        return sum(store.training_seconds() for store in self._stores)

    def extract_as_worker(self) -> Files:
        """See ``FeatureStore.extract_as_worker``."""
        return follow(self._stores)


def open_features(
    backbone: Backbone,
    manifest: Manifest,
    splits: Splits,
    compute: DeviceContext,
    folder: Path,
    progress: Progress,
    signals: Signals,
) -> FeatureStore | JoinedFeatures:
    """The features of a network, or of those that are joined; see ``FeatureStore``."""
    shared = manifest, splits, compute, folder, progress, signals
    if not backbone.members:
        return FeatureStore(backbone, *shared)
    return JoinedFeatures([FeatureStore(member, *shared, number) for number, member in enumerate(backbone.members)])
