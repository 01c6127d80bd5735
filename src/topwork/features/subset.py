"""What strategies need of a store of features, and a store with a part of the training images for learning curves."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Features(Protocol):
    """What strategies need of a store of features.

    Attributes:
        engine: What runs the backbone; empty until it is chosen.
        seconds: Spent in computing features.
    """

    engine: str
    seconds: float

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """Features of a split in the order of its images, float32 (N, D)."""
        ...


class TrainingSubset:
    """Another store with some of its training images.

    Args:
        store: With all images.
        rows: Row numbers of the training images, int64 (n,).
    """

    engine, seconds = "", 0.0

    def __init__(self, store: Features, rows: np.ndarray) -> None:
        self._store, self._rows = store, rows

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """As the store gives them, of the training set only the chosen rows."""
        features = self._store.load(split, mirrored)
        return features[self._rows] if split == "train" else features
