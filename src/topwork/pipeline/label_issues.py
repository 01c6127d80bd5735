"""Labels that look wrong: features of all images, what classifiers say that were fitted without the image, suspects."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace

import numpy as np

from topwork.core.artifacts import Manifest, Splits
from topwork.core.config import Config
from topwork.core.errors import DataError
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data.findings import Finding
from topwork.data.split_units import few, make_units
from topwork.data.splits import make_folds
from topwork.evaluation.intervals import wilson
from topwork.evaluation.label_errors import suspects

_FOLDS = (5, 3, 2)
_ENOUGH = 4  # different images of a class, which two folds need


def wrong_labels(
    asked: Config, manifest: Manifest, notes: list[str], progress: Progress, signals: Signals
) -> list[Finding]:
    """The finding, if there is one; ``notes`` gets what was not examined, and why."""
    manifest = _examined(manifest, notes)
    if len(manifest.classes) < 2:
        return []
    rows, classes = manifest.used, manifest.classes
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[row.label] for row in rows], dtype=np.int64)
    probabilities = _probabilities(asked, manifest, labels, progress, signals)
    guess = probabilities.argmax(axis=1)
    right, commonest = int((guess == labels).sum()), int(np.bincount(labels).max())
    if wilson(right, len(labels))[0] <= commonest / len(labels):
        notes.append(
            f"Labels were not judged: a classifier gets {right / len(labels):.0%} of left-out images right, no more "
            f"than by chance from the commonest label ({commonest / len(labels):.0%})."
        )
        return []
    found, how = suspects(labels, probabilities)
    if not len(found):
        return []
    each = tuple(
        f"labelled {rows[i].label}, looks like {classes[guess[i]]} ({probabilities[i, guess[i]]:.0%})" for i in found
    )
    look = "label looks" if len(found) == 1 else "labels look"
    text = (
        f"{len(found):,} {look} wrong, by {how}: guesses, to be looked at, of a classifier that gets "
        f"{right / len(labels):.0%} of left-out images right"
    )
    return [Finding("label", text, tuple((rows[i].id,) for i in found), True, each)]


def _probabilities(
    asked: Config, manifest: Manifest, labels: np.ndarray, progress: Progress, signals: Signals
) -> np.ndarray:
    """Of the classes, by classifiers that were fitted without the image: float64 (N, K)."""
    from topwork.compute import devices
    from topwork.features import fit_normaliser
    from topwork.linear.selection import out_of_fold_probabilities
    from topwork.pipeline import setup as preparing

    nothing = np.array([], dtype=np.int64)
    whole = Splits(
        manifest.classes,
        {"train": tuple(row.id for row in manifest.used), "val": (), "test": ()},
        {"train": labels, "val": nothing, "test": nothing},
    )
    preparing.check(asked, progress)
    setup = preparing.prepare(asked, manifest, whole, devices.resolve(asked.compute), progress, signals)
    features = setup.features.load("train")
    features, folds = fit_normaliser(features)(features), _folds(manifest, asked.seed)
    return out_of_fold_probabilities(features, labels, len(manifest.classes), folds, str(setup.compute.device))


def _examined(manifest: Manifest, notes: list[str]) -> Manifest:
    """The images of classes that every fold can have some of."""
    counts = Counter(label for unit in make_units(manifest.used).values() for label in {row.label for row in unit})
    small = [label for label in manifest.classes if counts[label] < _ENOUGH]
    if small:
        whose = f" of {few(small)}" if len(manifest.classes) - len(small) > 1 else ""
        notes.append(f"Labels{whose} were not examined: fewer than {_ENOUGH} different images of a class.")
    return replace(manifest, rows=tuple(row for row in manifest.used if row.label not in small))


def _folds(manifest: Manifest, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold, duplicates together, of as many folds as the smallest class allows."""
    place = {row.id: number for number, row in enumerate(manifest.used)}
    for number in _FOLDS:
        with contextlib.suppress(DataError):
            folds = make_folds(manifest, seed, number)
            return [np.array([place[image] for image in splits.ids["test"]], dtype=np.int64) for splits in folds]
    raise AssertionError("a class too small for two folds")
