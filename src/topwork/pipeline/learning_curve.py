"""Learning curves over labels: strategies trained again on nested subsets of the training images.

The last point of a curve, all images, is the run itself. Each other training is written to
``learning_curves/STRATEGY-DRAW.json`` when it is done, and not repeated: that is how an interrupted curve resumes. C, k
and epochs are selected on the validation set, or by out-of-fold predictions of the subset, which is then one of the
training and validation images; two folds are enough, since they calibrate nothing here. The test set only evaluates.
What trains by gradient descent takes as many optimizer steps on a subset as on all images: the curve shows what labels
are worth, not what a longer training is worth.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import Any

import numpy as np

from topwork.core import config, storage
from topwork.core.base_config import BaseConfig
from topwork.core.predictions import PREDICTIONS, read_predictions
from topwork.core.progress import make_progress
from topwork.core.seeds import derive_seed
from topwork.core.strategy_config import HeldOutConfig, TrainingConfig
from topwork.evaluation.learning_curve import nested_order, subset_sizes
from topwork.strategies import info_of, load
from topwork.strategies.out_of_fold import join_validation
from topwork.training.context import Features, RunContext

FOLDER = "learning_curves"
FOLDS = 2  # at most, of the images of a point
DRAWS = 3  # of the subsets, for strategies that train in seconds; one for those that train on images


def run_learning_curve(name: str, context: RunContext) -> None:
    """Train a strategy of a comparison on every subset of every draw that is not done, with the settings of its run."""
    strategy, comparison = load(name), context.folder
    settings = config.read(comparison / name / "config.toml").settings[name]
    if isinstance(settings, HeldOutConfig):
        settings = settings.model_copy(update={"folds": min(settings.folds, FOLDS)})
        context, _ = join_validation(settings.folds, context)
    splits, labels = context.splits, context.splits.labels["train"]
    sizes = subset_sizes(len(labels), context.num_classes)
    draws = 1 if info_of(name).trains_network else DRAWS
    run = read_predictions(comparison / name / PREDICTIONS["test"])
    last = {str(len(labels)): np.flatnonzero(run.predicted != run.labels).tolist()}
    with context.progress.track(f"{name}: learning curve", draws * len(sizes), "trainings") as bar:
        for draw in range(draws):
            path = comparison / FOLDER / f"{name}-{draw}.json"
            done: dict[str, Any] = storage.read_json(path)["wrong"] if path.is_file() else dict(last)
            order = nested_order(labels, derive_seed(context.seed, "labels", draw))
            for size in sizes:
                if str(size) not in done:
                    folder = comparison / FOLDER / f"{name}-{draw}-{size}"
                    subset = replace(_subset(context, np.sort(order[:size])), folder=folder)
                    own = scale_epochs(settings, len(labels), size)
                    trained = strategy.fit(strategy.resolve(own, subset), subset)
                    wrong = trained.scores("test").argmax(axis=1) != splits.labels["test"]
                    done[str(size)] = np.flatnonzero(wrong).tolist()
                    storage.write_json(path, {"strategy": name, "draw": draw, "wrong": done})
                    shutil.rmtree(folder, ignore_errors=True)
                bar.advance()
                context.signals.raise_if_stopped()


def scale_epochs(settings: BaseConfig, images: int, subset: int) -> BaseConfig:
    """The settings of a run, with so many epochs that a subset gets its number of optimizer steps, and never more.

    Patience grows with the epochs, and a time budget has already determined those of the run.

    Args:
        settings: Resolved; without epochs they stay as they are.
        images, subset: Numbers of training images of the run and of the subset.
    """
    if not isinstance(settings, TrainingConfig):
        return settings
    assert isinstance(settings.epochs, int)
    steps = settings.epochs * _steps_per_epoch(images, settings.batch_size)
    epochs = max(settings.epochs, steps // _steps_per_epoch(subset, settings.batch_size))
    patience = math.ceil(settings.patience * epochs / settings.epochs)
    untimed = {"minutes": None} if "minutes" in type(settings).model_fields else {}
    return settings.model_copy(update={"epochs": epochs, "patience": patience, **untimed})


def _steps_per_epoch(images: int, batch_size: int) -> int:
    """An incomplete last batch is dropped."""
    return images // min(batch_size, images)


class _TrainingSubset:
    """The features of a store, of the training set only those in ``rows``, int64 (n,)."""

    engine, seconds = "", 0.0

    def __init__(self, store: Features, rows: np.ndarray) -> None:
        self._store, self._rows, self.views = store, rows, set[bool]()

    def training_seconds(self) -> float:
        return 0.0

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        features = self._store.load(split, mirrored)
        return features[self._rows] if split == "train" else features


def _subset(context: RunContext, rows: np.ndarray) -> RunContext:
    splits, train = context.splits, context.splits.ids["train"]
    ids = {**splits.ids, "train": tuple(train[i] for i in rows)}
    labels = {**splits.labels, "train": splits.labels["train"][rows]}
    features = _TrainingSubset(context.features, rows)
    splits = replace(splits, ids=ids, labels=labels)
    return replace(context, splits=splits, features=features, progress=make_progress(quiet=True))
