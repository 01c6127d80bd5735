"""Coverage and width of the stated intervals, level and power of the test, on splits drawn from real predictions.

    topwork compare DATA --strategy svm --strategy knn --folds 5 --out POOL
    python benchmarks/coverage.py POOL ...

The pool, every image predicted once by a model that has not seen it, is the truth. Splits are drawn from it with
replacement, of each class its share, at least one image. ``groups``: whole groups are drawn, of GROUP images that
follow each other in the data set (the solar cells lie in the order of their modules).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from topwork.core.predictions import Predictions
from topwork.evaluation import calibration, intervals, metrics
from topwork.evaluation.paired import difference_interval, sign_flip_test
from topwork.report.folder_evaluation import evaluate_folder

SIZES = (50, 100, 300, 1000)
GROUP = 20
Found = dict[str, tuple[float, float] | None]


def values(p: Predictions) -> dict[str, float]:
    """The metrics themselves."""
    confusion = metrics.confusion_matrix(p.labels, p.predicted, len(p.classes))
    hits, support, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    found = {
        "accuracy": float((p.predicted == p.labels).mean()),
        "balanced accuracy": float(metrics.balanced_accuracy(hits, support)),
        "macro-F1": float(metrics.macro_f1(hits, support, predicted)),
        "log-loss": float(metrics.log_losses(p.probabilities, p.labels).mean()),
        "ECE": calibration.reliability(p.probabilities, p.labels).ece,
    }
    if len(p.classes) == 2:
        found["ROC AUC"] = metrics.roc_auc(p.labels == 1, p.scores[:, 1] - p.scores[:, 0]) or 0.0
    return found


def stated(p: Predictions, rng: np.random.Generator, groups: np.ndarray | None) -> Found:
    """The intervals that topwork states."""
    balanced, macro = intervals.confusion_intervals(p.labels, p.predicted, len(p.classes), rng, groups, 100)
    bins = calibration.reliability(p.probabilities, p.labels)
    off = p.probabilities.max(axis=1) - (p.probabilities.argmax(axis=1) == p.labels)
    effect = intervals.clustering(off, groups).design_effect
    found: Found = {
        "accuracy": intervals.share_interval(p.predicted == p.labels, groups),
        "balanced accuracy": balanced,
        "macro-F1": macro,
        "log-loss": intervals.loss_interval(metrics.log_losses(p.probabilities, p.labels), p.labels, groups),
        "ECE": calibration.ece_interval(bins, rng, effect, draws=100),
    }
    if len(p.classes) == 2:
        score = p.scores[:, 1] - p.scores[:, 0]
        found["ROC AUC"] = intervals.roc_auc_interval(p.labels == 1, score, rng, groups, 200)
    return found


def percentiles(p: Predictions, rng: np.random.Generator, groups: np.ndarray | None) -> Found:
    """The usual percentile bootstrap, of images (or of whole groups, if there are any)."""
    drawn = [values(take(p, draw(np.arange(len(p.labels)), groups, rng))) for _ in range(200)]
    ends = {name: np.quantile([d[name] for d in drawn], [0.025, 0.975]) for name in drawn[0]}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def draw(rows: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """As many rows, or groups of rows, with replacement."""
    if groups is None:
        return rng.choice(rows, size=len(rows))
    names = np.unique(groups)
    return np.concatenate([rows[groups == name] for name in rng.choice(names, size=len(names))])


def take(p: Predictions, rows: np.ndarray) -> Predictions:
    """The predictions of some rows."""
    ids = tuple(p.ids[i] for i in rows)
    return Predictions(ids, p.classes, p.labels[rows], p.scores[rows], p.kind, p.probabilities[rows])


def splits(labels: np.ndarray, size: int, grouped: bool, draws: int, rng: np.random.Generator) -> Iterator[tuple]:
    """Rows of drawn splits and their groups."""
    if grouped:
        for _ in range(draws):
            starts = rng.integers(len(labels) - GROUP, size=max(2, size // GROUP))
            yield (starts[:, None] + np.arange(GROUP)).ravel(), np.repeat(np.arange(len(starts)), GROUP)
        return
    by_class = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    counts = [max(1, round(size * len(rows) / len(labels))) for rows in by_class]
    for _ in range(draws):
        yield np.concatenate([rng.choice(rows, size=n) for rows, n in zip(by_class, counts, strict=True)]), None


def cell(a: Predictions, b: Predictions, size: int, grouped: bool, draws: int, seed: int) -> Iterator[str]:
    """A line for each metric: coverage and median width of both kinds of interval; one for the test."""
    rng, truth = np.random.default_rng(seed), values(a)
    kinds: dict[str, Callable[[Predictions, np.random.Generator, np.ndarray | None], Found]]
    kinds = {"stated": stated, "percentile": percentiles}
    covered = {(kind, name): [] for kind in kinds for name in truth}
    widths = {(kind, name): [] for kind in kinds for name in truth}
    right = {name: (p.predicted == p.labels).astype(np.int64) for name, p in (("a", a), ("b", b))}
    gap, level, power, of_gap = float((right["a"] - right["b"]).mean()), 0, 0, 0
    for number, (rows, groups) in enumerate(splits(a.labels, size, grouped, draws, rng)):
        for kind, find in kinds.items():
            if kind == "percentile" and number >= draws // 4:
                continue
            for name, interval in find(take(a, rows), rng, groups).items():
                low, high = interval or (0.0, 1.0)
                covered[kind, name].append(low <= truth[name] <= high)
                widths[kind, name].append(high - low)
        differences = right["a"][rows] - right["b"][rows]
        coin = rng.choice([-1, 1], size=len(rows) if groups is None else groups.max() + 1)
        level += sign_flip_test(differences * (coin if groups is None else coin[groups]), groups) < 0.05
        power += sign_flip_test(differences, groups) < 0.05
        low, high = difference_interval(differences.astype(float), a.labels[rows], rng, 400, groups)
        of_gap += low <= gap <= high
    for name in truth:
        figures = " | ".join(
            f"{100 * np.mean(covered[kind, name]):.1f} | {np.median(widths[kind, name]):.3f}" for kind in kinds
        )
        yield f"{name} | {figures}"
    found, false, true = (100 * n / draws for n in (of_gap, level, power))
    yield f"difference | {found:.1f} | | level {false:.1f} | power {true:.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pools", nargs="+", type=Path, help="comparison folders of two strategies with --folds")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    columns = "pool | images | groups | metric | coverage % | width | percentile: coverage % | width"
    print(f"| {columns} |\n" + "|---" * 8 + "|")
    for pool in options.pools:
        found = evaluate_folder(pool).predictions
        a, b = list(found.values())[:2]
        order = np.argsort(a.ids)
        a, b = take(a, order), take(b, np.argsort(b.ids))
        for grouped in (False, True):
            for size in options.sizes:
                for line in cell(a, b, size, grouped, options.draws, seed=size):
                    print(f"| {pool.name} | {size} | {'yes' if grouped else 'no'} | {line} |", flush=True)


if __name__ == "__main__":
    main()
