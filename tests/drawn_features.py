"""Features drawn at random, and the context of a strategy that is trained on them: no images, no network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from topwork.compute.devices import resolve
from topwork.core.artifacts import ImageRow, Manifest, Splits
from topwork.core.config import ComputeConfig, Config, DataConfig
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.training.context import RunContext

SIZE = 36  # features, or pixels of a grey image


class DrawnFeatures:
    """Features of classes around random centers; the first class is rare in training, none is in validation."""

    engine, seconds = "", 0.0

    def __init__(self, classes: int, rare: int, ratio: int, distance: float, positive: bool = True) -> None:
        self.views: set[bool] = set()
        rng = np.random.default_rng(0)
        centers = rng.normal(size=(classes, SIZE))
        centers *= distance / np.linalg.norm(centers, axis=1, keepdims=True)
        counts = {"train": [rare] + [rare * ratio] * (classes - 1), "val": [max(6, 100 // classes)] * classes}
        self.labels = {split: np.repeat(np.arange(classes), many) for split, many in counts.items()}
        self._features = {
            split: (centers[y] + rng.normal(size=(len(y), SIZE)) + 10 * positive).astype(np.float32)
            for split, y in self.labels.items()
        }

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        return self._features[split]

    def training_seconds(self) -> float:
        return 0.0

    def recalls(self, scores: np.ndarray) -> np.ndarray:
        correct = scores.argmax(axis=1) == self.labels["val"]
        return np.bincount(self.labels["val"], correct) / np.bincount(self.labels["val"])

    def rows(self, ids: dict[str, tuple[str, ...]]) -> tuple[ImageRow, ...]:
        """Of all images, each alone in its unit."""
        pairs = [(image, label) for split in ids for image, label in zip(ids[split], self.labels[split], strict=True)]
        return tuple(ImageRow(image, str(label)) for image, label in pairs)

    def context(self, folder: Path, balance: bool) -> RunContext:
        ids = {split: tuple(f"{split}{i}" for i in range(len(y))) for split, y in self.labels.items()}
        manifest = Manifest(folder, self.rows(ids), "drawn")
        splits = Splits(tuple(map(str, range(self.labels["train"].max() + 1))), ids, self.labels)
        config = Config(data=DataConfig(path="drawn"), strategies=("mlp",), balance=balance)
        compute, _ = resolve(ComputeConfig(device="cpu", precision="float32", threads=1))
        backbone = cast("Any", SimpleNamespace(model="drawn", weights_hash=""))
        return RunContext(
            config, manifest, splits, compute, backbone, cast("Any", None), self, folder, Progress(quiet=True),
            Signals(),
        )  # fmt: skip
