"""Select C by the validation set, or by cross-validation within the training set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from topwork.core.strategy_config import LinearClassifierConfig
from topwork.linear.problem import Kind, LinearModel, LinearProblem

Model = TypeVar("Model")
DEFAULT_CS = (1e-3, 1e-2, 1e-1)  # where the strategy has no setting for it
MAX_WORSE = 2  # larger C in a row that do worse end the search: the largest take longest


@dataclass(frozen=True)
class Selected(Generic[Model]):
    """A model with its C and its accuracy on images that it was not fitted on."""

    accuracy: float
    c: float
    model: Model


def select_first_best(trials: Iterable[Selected[Model]]) -> Selected[Model]:
    """The smallest C of the highest accuracy; ``trials``, of rising C, ends after two in a row that are worse."""
    best: Selected[Model] | None = None
    worse = 0
    for trial in trials:
        if best is None or trial.accuracy > best.accuracy:
            best = trial
        worse = worse + 1 if trial.accuracy < best.accuracy else 0
        if worse == MAX_WORSE:
            break
    assert best is not None, "no C to try"
    return best


def select_c(
    kind: Kind,
    config: LinearClassifierConfig,
    data: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    device: str,
    seed: int,
    on_step: Callable[[], Any] = lambda: None,
    weights: np.ndarray | None = None,
) -> Selected[LinearModel]:
    """Fit a linear classifier on the training set, with the best C on the validation set or over held-out folds.

    Args:
        data: ``train`` and ``val``: features float (N, D) on a common scale, and class indices int64 (N,).
        seed: Decides which image is in which fold.
        on_step: Called after each value of C.
        weights: Weight of each training image in the loss, float64 (N,); None: 1.
    """
    x, labels = data["train"]
    problem, Cs = LinearProblem(x, labels, classes, kind, device, weights=weights), sorted(config.Cs)
    if config.folds:
        folds = stratified_folds(labels, config.folds, seed)
        best = select_first_best(cross_validate(problem, labels, Cs, folds, on_step))
        return Selected(best.accuracy, best.c, problem.model(problem.fit(best.c, best.model)))

    def trials() -> Iterable[Selected[LinearModel]]:
        x_val, labels_val = data["val"]
        for c, model in zip(Cs, problem.path(Cs), strict=True):
            on_step()
            yield Selected(float((model.scores(x_val).argmax(axis=1) == labels_val).mean()), c, model)

    return select_first_best(trials())


def cross_validate(
    problem: LinearProblem,
    labels: np.ndarray,
    Cs: Sequence[float],
    folds: Sequence[np.ndarray],
    on_step: Callable[[], Any] = lambda: None,
) -> Iterable[Selected[torch.Tensor]]:
    """Accuracy over all held-out images for each of rising C, with the mean of the folds' weights.

    Args:
        labels: Class indices int64 (N,).
        Cs: Rising values of C.
        folds: Row numbers that are held out in turn; together every row once.
        on_step: Called after each value of C.
    """
    for c, fitted in zip(Cs, problem.fold_path(Cs, folds), strict=True):
        on_step()
        pairs = zip(fitted, folds, strict=True)
        correct = sum(int((problem.predict(w, fold) == labels[fold]).sum()) for w, fold in pairs)
        yield Selected(correct / len(labels), c, sum(fitted[1:], fitted[0]) / len(folds))


def out_of_fold_probabilities(
    features: np.ndarray, labels: np.ndarray, classes: int, folds: Sequence[np.ndarray], device: str = "cpu"
) -> np.ndarray:
    """Probabilities float64 (N, K) by softmax classifiers fitted without the image, with the best of ``DEFAULT_CS``.

    Args:
        features: float (N, D), on a common scale.
        labels: Class indices int64 (N,).
        folds: Row numbers that are held out in turn; together every row once.
    """
    problem = LinearProblem(features, labels, classes, "softmax", device)

    def trials() -> Iterable[Selected[np.ndarray]]:
        for c, fitted in zip(DEFAULT_CS, problem.fold_path(DEFAULT_CS, folds), strict=True):
            probabilities = np.empty((len(labels), classes))
            for w, fold in zip(fitted, folds, strict=True):
                scores = torch.from_numpy(problem.model(w).scores(features[fold].astype(np.float64)))
                probabilities[fold] = torch.softmax(scores, dim=1).numpy()
            yield Selected(float((probabilities.argmax(axis=1) == labels).mean()), c, probabilities)

    return select_first_best(trials()).model


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold; of each class, the folds have the same number of images or one more.

    >>> [len(fold) for fold in stratified_folds(np.array([0, 0, 0, 1, 1, 1, 1]), 2, seed=0)]
    [4, 3]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    return [np.sort(by_class[fold::folds]) for fold in range(folds)]
