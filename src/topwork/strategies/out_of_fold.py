"""What a head is fitted on: the training and validation images together, while out-of-fold predictions choose.

Each image is predicted by a fit without its fold, which holds whole units: duplicates and images of one group. These
predictions choose C, k or the epoch and calibrate the probabilities, and no image is kept from the final fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from topwork.core.seeds import derive_seed
from topwork.data.split_units import unit_folds
from topwork.evaluation import target_metric
from topwork.linear.selection import Score, stratified_folds
from topwork.training.context import Features, RunContext
from topwork.training.image_task import calibrated


class _JoinedFeatures:
    """The features of a store, with those of the validation images after those of the training images."""

    engine, seconds = "", 0.0

    def __init__(self, store: Features) -> None:
        self._store, self.views = store, store.views

    def training_seconds(self) -> float:
        return self._store.training_seconds()

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        if split != "train":
            found = self._store.load(split, mirrored)
            return found[:0] if split == "val" else found
        return np.concatenate([self._store.load("train", mirrored), self._store.load("val", mirrored)])


def join_validation(folds: int, context: RunContext) -> tuple[RunContext, list[np.ndarray]]:
    """The context that a head is fitted in, and the row numbers of its training images that are held out in turn.

    Args:
        folds: Their number; fewer if no class has so many units. 0: the validation images stay apart.
        context: Of the run.

    Returns:
        The training images, followed by the validation images, as training images, and the folds. The unchanged context
        and no folds if all images are one unit, so that only the validation set can be held out.
    """
    if not folds:
        return context, []
    joined, validates = joined_context(context), len(context.splits.ids["val"]) > 0
    seed = derive_seed(context.seed, "selection")
    held_out = unit_folds(context.manifest.used, joined.splits.ids["train"], folds, seed)
    if not held_out and validates:
        return context, []
    return joined, held_out or stratified_folds(joined.splits.labels["train"], 2, seed)


def joined_context(context: RunContext) -> RunContext:
    """The context with the validation images, after the training images, as training images."""
    splits = context.splits
    ids = {**splits.ids, "train": splits.ids["train"] + splits.ids["val"], "val": ()}
    labels = np.concatenate([splits.labels["train"], splits.labels["val"]])
    labels = {**splits.labels, "train": labels, "val": labels[:0]}
    return replace(context, splits=replace(splits, ids=ids, labels=labels), features=_JoinedFeatures(context.features))


def selection_entry(folds: Sequence[np.ndarray], metric: str, score: float) -> dict[str, float]:
    """The metric that C, k or the epoch is chosen by, with its name; ``score`` is that of ``make_score``."""
    name = target_metric.NAMES[metric]
    images = f"{len(folds)}-fold" if folds else "val"
    return {f"{images} {name}": -score if target_metric.lower_is_better(metric) else score}


def make_score(metric: str, calibrate: Callable[[np.ndarray, np.ndarray], np.ndarray] = calibrated) -> Score:
    """The metric of scores (N, K) and labels (N,), higher where it is better.

    Args:
        metric: A key of ``target_metric.NAMES``.
        calibrate: From scores and labels to probabilities (N, K), for metrics that need them.
    """

    def score(scores: np.ndarray, labels: np.ndarray) -> float:
        probabilities = calibrate(scores, labels) if target_metric.needs_probabilities(metric) else None
        return target_metric.gain(metric, labels, target_metric.by_image(metric, labels, scores, probabilities))

    return score
