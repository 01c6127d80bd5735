"""C among 7 by 5-fold cross-validation, all one-vs-rest machines at once, against LIBLINEAR through scikit-learn.

LIBLINEAR would take hours. It is timed on some classes of one fold, for every C: its classes are problems of their own,
so that its time is that times classes / some classes, times folds. Its final fit, on all images, is timed whole.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from sklearn.svm import LinearSVC

from topwork.linear.problem import LinearProblem
from topwork.linear.selection import cross_validate, stratified_folds

IMAGES, FEATURES, CLASSES = 6500, 1280, 196
GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
FOLDS, SOME = 5, 8


def made_up() -> tuple[np.ndarray, np.ndarray]:
    """Twice as many features float32 and labels as asked: classes around centres, a spectrum that falls off."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, 2 * IMAGES - CLASSES)])
    noise = rng.normal(0, 1, (2 * IMAGES, FEATURES)) * np.exp(-np.arange(FEATURES) / 400)
    features = rng.normal(0, 1, (CLASSES, FEATURES))[labels] * 0.03 + noise
    return (features / np.sqrt(features.var(axis=0).mean())).astype(np.float32), labels


def objectives(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray, c: float) -> np.ndarray:
    """LIBLINEAR's objective of each class."""
    signs = np.where(y[:, None] == np.arange(len(weight)), 1.0, -1.0)
    slack = np.maximum(0, 1 - signs * (x @ weight.T + bias))
    return 0.5 * ((weight**2).sum(axis=1) + bias**2) + c * (slack**2).sum(axis=0)


def main() -> None:
    warnings.simplefilter("ignore")  # LIBLINEAR stops at its limit of steps for the largest C
    features, labels = made_up()
    x, y, new, truth = features[:IMAGES], labels[:IMAGES], features[IMAGES:], labels[IMAGES:]
    start = time.perf_counter()
    problem = LinearProblem(x, y, CLASSES, "hinge")
    folds = stratified_folds(y, FOLDS, 0)
    best = max(cross_validate(problem, y, GRID, folds), key=lambda trial: trial.accuracy)
    chosen, accuracy = best.c, best.accuracy
    machine = problem.model(problem.fit(chosen, best.model))
    ours = time.perf_counter() - start
    print(f"topwork: {ours:.1f} s; chosen C {chosen:g} with {accuracy:.4f} right in {FOLDS} folds", flush=True)

    rest = np.setdiff1d(np.arange(IMAGES), folds[0])
    theirs = 0.0
    for c, fold in zip(GRID, LinearProblem(x[rest], y[rest], CLASSES, "hinge").path(GRID), strict=True):
        start = time.perf_counter()
        fits = [LinearSVC(C=c, dual="auto").fit(x[rest], y[rest] == k) for k in range(SOME)]
        seconds = (time.perf_counter() - start) * CLASSES / SOME * FOLDS
        theirs += seconds
        mine = objectives(fold.weight, fold.bias, x[rest], y[rest], c)[:SOME].sum()
        weight, bias = np.concatenate([f.coef_ for f in fits]), np.concatenate([f.intercept_ for f in fits])
        other = objectives(weight, bias, x[rest], y[rest], c).sum()
        print(f"C {c:g}: LinearSVC {seconds:.0f} s for all folds; objective {mine / other - 1:+.1e} of its", flush=True)
    start = time.perf_counter()
    reference = LinearSVC(C=chosen, dual="auto").fit(x, y)
    theirs += time.perf_counter() - start
    mine, other = machine.scores(new).argmax(axis=1), reference.predict(new)
    print(f"right {(mine == truth).mean():.4f} and {(other == truth).mean():.4f}, equal {(mine == other).mean():.4f}")
    print(
        f"topwork {ours:.1f} s, LinearSVC {theirs:.0f} s, ratio {theirs / ours:.1f}; {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
