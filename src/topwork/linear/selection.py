"""Choose C: on val, or by cross-validation within train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from topwork.core.config import LinearClassifierConfig
from topwork.linear.classifiers import Kind, LinearModel, Problem, cross_validate

Fit = TypeVar("Fit")
WORSE = 2  # larger C that do worse, in a row, end the search: the largest cost most


@dataclass(frozen=True)
class Choice(Generic[Fit]):
    """What was chosen, and the share of images, not fitted on, that it got right."""

    accuracy: float
    c: float
    fit: Fit


def first_best(tried: Iterable[Choice[Fit]]) -> Choice[Fit]:
    """The first of the best of a rising grid of C, tried until two larger C in a row are worse than it."""
    best: Choice[Fit] | None = None
    worse = 0
    for trial in tried:
        if best is None or trial.accuracy > best.accuracy:
            best = trial
        worse = worse + 1 if trial.accuracy < best.accuracy else 0
        if worse == WORSE:
            break
    assert best is not None, "an empty grid"
    return best


def first_best_of(accuracies: Mapping[int, float]) -> tuple[int, float]:
    """The first key with the highest accuracy, and that accuracy."""
    best = max(accuracies, key=lambda key: accuracies[key])
    return best, accuracies[best]


def choose(
    kind: Kind,
    config: LinearClassifierConfig,
    data: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    device: str,
    seed: int,
    tick: Callable[[], Any] = lambda: None,
    weights: np.ndarray | None = None,
) -> Choice[LinearModel]:
    """Fit a linear classifier on train for the C that is best on val, or over held-out folds of train.

    Args:
        kind: The loss.
        config: The values of C, and the number of folds.
        data: ``train`` and ``val``: features float (N, D) on a common scale, and class indices int64 (N,).
        classes: K.
        device: Where to compute.
        seed: Which image falls into which fold.
        tick: Called after each value of C.
        weights: What each image of train counts in the loss, float64 (N,); None: 1.
    """
    x, labels = data["train"]
    problem, grid = Problem(x, labels, classes, kind, device, weights=weights), sorted(config.grid)
    if config.folds:
        return _by_folds(problem, labels, grid, stratified(labels, config.folds, seed), tick)
    return _on_val(problem, grid, data["val"], tick)


def _on_val(
    problem: Problem, grid: Sequence[float], val: tuple[np.ndarray, np.ndarray], tick: Callable[[], Any]
) -> Choice[LinearModel]:
    def tried() -> Iterable[Choice[LinearModel]]:
        for c, model in zip(grid, problem.path(grid), strict=True):
            tick()
            yield Choice(float((model.scores(val[0]).argmax(axis=1) == val[1]).mean()), c, model)

    return first_best(tried())


def _by_folds(
    problem: Problem, labels: np.ndarray, grid: Sequence[float], folds: list[np.ndarray], tick: Callable[[], Any]
) -> Choice[LinearModel]:
    def tried() -> Iterable[Choice[Any]]:
        for c, (accuracy, near) in zip(grid, cross_validate(problem, labels, grid, folds), strict=True):
            tick()
            yield Choice(accuracy, c, near)

    best = first_best(tried())
    return Choice(best.accuracy, best.c, problem.model(problem.fit(best.c, best.fit)))


def stratified(labels: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold; the members of a class are dealt out in turn, the rest of a round to the next class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    dealt = order[np.argsort(labels[order], kind="stable")]
    return [np.sort(dealt[fold::folds]) for fold in range(folds)]
