"""Select C by out-of-fold predictions of the images that are fitted on, or by a validation set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from topwork.linear.problem import Kind, LinearModel, LinearProblem

Model = TypeVar("Model")
DEFAULT_CS = (1e-3, 1e-2, 1e-1)  # where the strategy has no setting for it
MAX_WORSE = 2  # larger C in a row that do worse end the search: the largest take longest


Score = Callable[[np.ndarray, np.ndarray], float]
"""From scores (N, K) and class indices (N,) of images held out to a number that is higher if they are better."""


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of images float (N, K) whose highest score is that of their class."""
    return float((scores.argmax(axis=1) == labels).mean())


@dataclass(frozen=True)
class Selected(Generic[Model]):
    """A model with its C, and its value (``Score``) and scores (N, K) on images that were held out."""

    value: float
    c: float
    model: Model
    scores: np.ndarray


def select_first_best(trials: Iterable[Selected[Model]]) -> Selected[Model]:
    """The smallest C of the highest value; ``trials``, of rising C, ends after two in a row that are worse."""
    best: Selected[Model] | None = None
    worse = 0
    for trial in trials:
        if best is None or trial.value > best.value:
            best = trial
        worse = worse + 1 if trial.value < best.value else 0
        if worse == MAX_WORSE:
            break
    assert best is not None, "no C to try"
    return best


def select_c(
    kind: Kind,
    Cs: Sequence[float],
    data: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    device: str,
    folds: Sequence[np.ndarray] = (),
    on_step: Callable[[], Any] = lambda: None,
    weights: np.ndarray | None = None,
    score: Score = accuracy,
) -> Selected[LinearModel]:
    """Fit a linear classifier on the training set, with the C that is best on images held out from fits.

    Args:
        Cs: Values of C to choose from.
        data: ``train``, and ``val`` without folds: features float (N, D) on a common scale, class indices int64 (N,).
        folds: Row numbers of ``train`` that are held out in turn; none: the validation set is held out.
        on_step: Called after each value of C.
        weights: Weight of each training image in the loss, float64 (N,); None: 1.
        score: Of which the best C has the highest.

    Returns:
        With the scores of the images that were held out.
    """
    x, labels = data["train"]
    problem, Cs = LinearProblem(x, labels, classes, kind, device, weights=weights), sorted(Cs)
    if len(folds):
        best = select_first_best(cross_validate(problem, labels, Cs, folds, on_step, score))
        return Selected(best.value, best.c, problem.model(problem.fit(best.c, best.model)), best.scores)

    def trials() -> Iterable[Selected[LinearModel]]:
        x_val, labels_val = data["val"]
        for c, model in zip(Cs, problem.path(Cs), strict=True):
            on_step()
            scores = model.scores(x_val)
            yield Selected(score(scores, labels_val), c, model, scores)

    return select_first_best(trials())


def cross_validate(
    problem: LinearProblem,
    labels: np.ndarray,
    Cs: Sequence[float],
    folds: Sequence[np.ndarray],
    on_step: Callable[[], Any] = lambda: None,
    score: Score = accuracy,
) -> Iterable[Selected[torch.Tensor]]:
    """Out-of-fold scores for each of rising C, with the mean of the folds' weights.

    Args:
        labels: Class indices int64 (N,).
        Cs: Rising values of C.
        folds: Row numbers that are held out in turn; together every row once.
        on_step: Called after each value of C.
        score: See ``select_c``.
    """
    for c, fitted in zip(Cs, problem.fold_path(Cs, folds), strict=True):
        on_step()
        scores = join_folds(folds, [problem.scores(w, fold) for w, fold in zip(fitted, folds, strict=True)])
        yield Selected(score(scores, labels), c, sum(fitted[1:], fitted[0]) / len(folds), scores)


def join_folds(folds: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> np.ndarray:
    """The values (N, K) of all rows, from those of each fold's rows."""
    joined = np.empty((sum(map(len, folds)), values[0].shape[1]), values[0].dtype)
    for fold, own in zip(folds, values, strict=True):
        joined[fold] = own
    return joined


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold; of each class, the folds have the same number of images or one more.

    >>> [len(fold) for fold in stratified_folds(np.array([0, 0, 0, 1, 1, 1, 1]), 2, seed=0)]
    [4, 3]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    return [np.sort(by_class[fold::folds]) for fold in range(folds)]
