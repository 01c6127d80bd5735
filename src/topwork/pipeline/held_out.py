"""Features of all images for ``check``, and predictions of classifiers that were not trained on the image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from topwork.core.artifacts import Manifest, Splits, class_indices
from topwork.core.config import Config
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data.split_units import dependent_images, make_units, unit_folds

if TYPE_CHECKING:
    from topwork.linear.leave_out import LeaveOut

N_FOLDS = 5
MIN_IMAGES_PER_CLASS = 4  # different images, or groups of images


@dataclass(frozen=True)
class ImageFeatures:
    """Features of the usable images of a manifest, in their order, float32 (N, D)."""

    manifest: Manifest
    values: np.ndarray
    fits: dict[tuple[str, ...], LeaveOut] = field(default_factory=dict, compare=False)  # by the images

    def of(self, manifest: Manifest) -> np.ndarray:
        """The features of the usable images of a manifest with fewer images."""
        position = {row.id: i for i, row in enumerate(self.manifest.used)}
        return self.values[[position[row.id] for row in manifest.used]]


@dataclass(frozen=True)
class HeldOut:
    """Predictions of every image by a classifier that was fitted without it.

    Attributes:
        labels: Class indices int64 (N,).
        scores: About 1 for the class of an image and 0 for the others, float64 (N, K).
    """

    labels: np.ndarray
    scores: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each image is predicted correctly, bool (N,)."""
        return self.scores.argmax(axis=1) == self.labels


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
    return ImageFeatures(manifest, context.features.load("train"))


def predict_held_out(features: ImageFeatures, manifest: Manifest) -> HeldOut:
    """Predict each usable image of a manifest by a ridge regression that was fitted without its group and duplicates.

    Args:
        features: Of these images, or more.
        manifest: Every class has ``MIN_IMAGES_PER_CLASS`` different images or groups.
    """
    return _predict(features, manifest, dependent_images(manifest.used, _ids(manifest)))


def predict_folds(features: ImageFeatures, manifest: Manifest, seed: int, folds: int = N_FOLDS) -> tuple[HeldOut, int]:
    """The same by ridge regressions that were fitted without a fold of whole groups, and the number of folds.

    Args:
        features: Of these images, or more.
        manifest: Every class has ``MIN_IMAGES_PER_CLASS`` different images or groups.
        seed: Of the folds.
        folds: Their number; fewer if no class has so many images or groups.
    """
    fold_of = np.empty(len(manifest.used), dtype=np.int64)
    parts = unit_folds(manifest.used, _ids(manifest), folds, seed)
    for number, part in enumerate(parts):
        fold_of[part] = number
    return _predict(features, manifest, fold_of), len(parts)


def _predict(features: ImageFeatures, manifest: Manifest, units: np.ndarray | None) -> HeldOut:
    from topwork.linear.leave_out import LeaveOut
    from topwork.linear.normalize import fit_normalizer

    ids, labels = _ids(manifest), class_indices((row.label for row in manifest.used), manifest.classes)
    if ids not in features.fits:
        values = features.of(manifest)
        features.fits[ids] = LeaveOut(fit_normalizer(values)(values))
    return HeldOut(labels, features.fits[ids].scores(labels, len(manifest.classes), units))


def _ids(manifest: Manifest) -> tuple[str, ...]:
    return tuple(row.id for row in manifest.used)


def without_small_classes(manifest: Manifest) -> tuple[Manifest, list[str]]:
    """The usable images of classes that have enough images, or groups, for every fold; and the other classes."""
    counts = Counter(label for unit in make_units(manifest.used).values() for label in {row.label for row in unit})
    small = [label for label in manifest.classes if counts[label] < MIN_IMAGES_PER_CLASS]
    return replace(manifest, rows=tuple(row for row in manifest.used if row.label not in small)), small
