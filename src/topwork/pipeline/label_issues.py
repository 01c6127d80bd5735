"""Labels that look wrong, by the predictions of classifiers that were not trained on the image."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from topwork.core.artifacts import Manifest, Splits
from topwork.core.config import Config
from topwork.core.errors import DataError
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data.findings import Finding
from topwork.data.split_units import list_first, make_units
from topwork.data.splits import make_folds
from topwork.evaluation.intervals import wilson
from topwork.evaluation.label_issues import rank_label_issues

N_FOLDS = (5, 3, 2)  # the first for which every class is large enough
MIN_IMAGES_PER_CLASS = 4  # different images, as two folds need


def find_label_issues(
    config: Config, manifest: Manifest, notes: list[str], progress: Progress, signals: Signals
) -> list[Finding]:
    """The finding on labels that look wrong, if there are any; adds to ``notes`` what was not checked, and why."""
    manifest = _without_small_classes(manifest, notes)
    if len(manifest.classes) < 2:
        return []
    rows, classes = manifest.used, manifest.classes
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[row.label] for row in rows], dtype=np.int64)
    probabilities = _out_of_fold_probabilities(config, manifest, labels, progress, signals)
    predicted = probabilities.argmax(axis=1)
    correct, majority = int((predicted == labels).sum()), int(np.bincount(labels).max())
    accuracy, baseline = correct / len(labels), majority / len(labels)
    if wilson(correct, len(labels))[0] <= baseline:
        notes.append(
            f"Labels were not checked: a classifier predicts {accuracy:.0%} of held-out images correctly, which is not "
            f"significantly more than the largest class would give ({baseline:.0%})."
        )
        return []
    found, method = rank_label_issues(labels, probabilities)
    if not len(found):
        return []
    details = tuple(
        f"labelled {rows[i].label}, looks like {classes[predicted[i]]} ({probabilities[i, predicted[i]]:.0%})"
        for i in found
    )
    text = (
        f"{len(found):,} {'label looks' if len(found) == 1 else 'labels look'} wrong, by {method}: candidates for "
        f"review, from a classifier that predicts {accuracy:.0%} of held-out images correctly"
    )
    return [Finding("label", text, tuple((rows[i].id,) for i in found), True, details)]


def _out_of_fold_probabilities(
    config: Config, manifest: Manifest, labels: np.ndarray, progress: Progress, signals: Signals
) -> np.ndarray:
    """Of the classes, by classifiers that were not trained on the image: float64 (N, K)."""
    from topwork.compute import devices
    from topwork.linear.normalize import fit_normalizer
    from topwork.linear.selection import out_of_fold_probabilities
    from topwork.pipeline.setup import check, make_context
    from topwork.training.callbacks import Notifier

    empty = np.array([], dtype=np.int64)
    ids = {"train": tuple(row.id for row in manifest.used), "val": (), "test": ()}
    splits = Splits(manifest.classes, ids, {"train": labels, "val": empty, "test": empty})
    check(config, progress)
    device = devices.resolve(config.compute)
    context = make_context(config, manifest, splits, device, Path(), progress, signals, Notifier())
    features = context.features.load("train")
    features, folds = fit_normalizer(features)(features), _folds(manifest, config.seed)
    return out_of_fold_probabilities(features, labels, len(manifest.classes), folds, str(context.compute.device))


def _without_small_classes(manifest: Manifest, notes: list[str]) -> Manifest:
    """The images of classes that have enough images for every fold."""
    counts = Counter(label for unit in make_units(manifest.used).values() for label in {row.label for row in unit})
    small = [label for label in manifest.classes if counts[label] < MIN_IMAGES_PER_CLASS]
    if small:
        which = f" of {list_first(small)}" if len(manifest.classes) - len(small) > 1 else ""
        notes.append(f"Labels{which} were not checked: fewer than {MIN_IMAGES_PER_CLASS} different images of a class.")
    return replace(manifest, rows=tuple(row for row in manifest.used if row.label not in small))


def _folds(manifest: Manifest, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold, duplicates together, of as many folds as the smallest class allows."""
    row_of = {row.id: number for number, row in enumerate(manifest.used)}
    for number in N_FOLDS:
        with contextlib.suppress(DataError):
            folds = make_folds(manifest, seed, number)
            return [np.array([row_of[image] for image in splits.ids["test"]], dtype=np.int64) for splits in folds]
    raise AssertionError("a class is too small for two folds")
