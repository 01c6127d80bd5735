"""Features of all images for ``check``, and predictions of classifiers that were not trained on the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from topwork.core.artifacts import Manifest, Splits, class_indices
from topwork.core.config import Config
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data.split_units import make_units, unit_folds

N_FOLDS = 5
MIN_IMAGES_PER_CLASS = 4  # different images, or groups of images: of three or more of them the others are predicted


@dataclass(frozen=True)
class ImageFeatures:
    """Features of the usable images of a manifest, in their order, float32 (N, D), and the device to compute on."""

    manifest: Manifest
    values: np.ndarray
    device: str
    held_out: dict[Hashable, HeldOut] = field(default_factory=dict, compare=False)  # predictions, by what decides them

    def of(self, manifest: Manifest) -> np.ndarray:
        """The features of the usable images of a manifest with fewer images."""
        position = {row.id: i for i, row in enumerate(self.manifest.used)}
        return self.values[[position[row.id] for row in manifest.used]]


@dataclass(frozen=True)
class HeldOut:
    """Predictions of every image by a classifier that was fitted without it.

    Attributes:
        manifest: The usable images.
        labels: Class indices int64 (N,).
        probabilities: float64 (N, K).
        folds: How many parts were held out in turn.
    """

    manifest: Manifest
    labels: np.ndarray
    probabilities: np.ndarray
    folds: int

    @property
    def correct(self) -> np.ndarray:
        """Whether each image is predicted correctly, bool (N,)."""
        return self.probabilities.argmax(axis=1) == self.labels


def load_features(config: Config, manifest: Manifest, progress: Progress, signals: Signals) -> ImageFeatures:
    """The features of all usable images, from the cache or computed."""
    from topwork.compute import devices
    from topwork.pipeline.setup import check, make_context
    from topwork.training.callbacks import Notifier

    empty, labels = np.array([], dtype=np.int64), class_indices((row.label for row in manifest.used), manifest.classes)
    ids = {"train": tuple(row.id for row in manifest.used), "val": (), "test": ()}
    splits = Splits(manifest.classes, ids, {"train": labels, "val": empty, "test": empty})
    check(config, progress)
    device = devices.resolve(config.compute)
    context = make_context(config, manifest, splits, device, Path(), progress, signals, Notifier())
    return ImageFeatures(manifest, context.features.load("train"), str(context.compute.device))


def predict_held_out(features: ImageFeatures, manifest: Manifest, seed: int, folds: int = 0) -> HeldOut:
    """Predict each usable image of a manifest, groups and duplicates held out together.

    Args:
        features: Of these images, or more.
        manifest: Every class has ``MIN_IMAGES_PER_CLASS`` different images or groups.
        seed: Of the folds.
        folds: Their number; 0: 5, or fewer if no class has so many images or groups.
    """
    from topwork.linear.normalize import fit_normalizer
    from topwork.linear.selection import out_of_fold_probabilities

    labels, values = class_indices((row.label for row in manifest.used), manifest.classes), features.of(manifest)
    parts = unit_folds(manifest.used, [row.id for row in manifest.used], folds or N_FOLDS, seed)
    key = seed, len(parts), tuple((row.id, row.group) for row in manifest.used)
    if key not in features.held_out:
        values = fit_normalizer(values)(values)
        found = out_of_fold_probabilities(values, labels, len(manifest.classes), parts, features.device)
        features.held_out[key] = HeldOut(manifest, labels, found, len(parts))
    return features.held_out[key]


def without_small_classes(manifest: Manifest) -> tuple[Manifest, list[str]]:
    """The usable images of classes that have enough images, or groups, for every fold; and the other classes."""
    counts = Counter(label for unit in make_units(manifest.used).values() for label in {row.label for row in unit})
    small = [label for label in manifest.classes if counts[label] < MIN_IMAGES_PER_CLASS]
    return replace(manifest, rows=tuple(row for row in manifest.used if row.label not in small)), small
