"""Features of a part of the training images, for learning curves: what is asked for again is kept in memory."""

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
        """Features of a part in the order of the split, float32 (N, D)."""
        ...


class Held:
    """Another store, read once."""

    engine, seconds = "", 0.0

    def __init__(self, store: Features) -> None:
        self._store = store
        self._known: dict[tuple[str, bool], np.ndarray] = {}

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """As in the store."""
        if (split, mirrored) not in self._known:
            self._known[split, mirrored] = self._store.load(split, mirrored)
        return self._known[split, mirrored]


class Subset:
    """Another store with some of its training images.

    Args:
        store: With all.
        rows: Which ones, int64 (n,).
    """

    engine, seconds = "", 0.0

    def __init__(self, store: Features, rows: np.ndarray) -> None:
        self._store, self._rows = store, rows

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """As in the store, of train only the chosen rows."""
        features = self._store.load(split, mirrored)
        return features[self._rows] if split == "train" else features
