"""A run or comparison folder -> its verdict, from the predictions and costs of all runs, including seeds and folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import artifacts, storage
from topwork.core.artifacts import Predictions
from topwork.core.seeds import derive_seed
from topwork.evaluation.learning_curve import Curve, fit_learning_curve
from topwork.evaluation.verdict import Outcome, Verdict, compare_strategies

REPEATS = "repeats"


@dataclass(frozen=True)
class FolderEvaluation:
    """The evaluation of a folder.

    Attributes:
        predictions: On the test images by strategy: of the first seed, or of all folds together.
        verdict: None if no strategy has finished.
        curves: Learning curves.
    """

    predictions: dict[str, Predictions]
    verdict: Verdict | None
    curves: tuple[Curve, ...] = ()


def evaluate_folder(folder: Path) -> FolderEvaluation:
    """Evaluate what has finished in a run or comparison folder.

    Seeds and folds that not all strategies have finished are ignored.

    Args:
        folder: Has a ``run.json``.

    Raises:
        DataError: The folder has no ``run.json``, or one of a newer format.
    """
    info = artifacts.read_run_info(folder)
    requested = info.details.get("config") or {}
    if info.kind == "run":
        runs = {info.strategies[0]: [folder]} if info.strategies else {}
    else:
        runs = {name: [path / name for path in (folder, *repeat_folders(folder))] for name in info.strategies}
    all_predictions = {name: [_read(path) for path in paths] for name, paths in runs.items()}
    all_predictions = {name: found for name, found in all_predictions.items() if found and found[0] is not None}
    if not all_predictions:
        return FolderEvaluation({}, None)
    rounds = [
        r
        for r in range(len(next(iter(all_predictions.values()))))
        if all(found[r] is not None for found in all_predictions.values())
    ]
    complete: dict[str, list[Predictions]] = {
        name: [_require(found[r]) for r in rounds] for name, found in all_predictions.items()
    }
    seed = derive_seed(int(requested.get("seed", 0)), "verdict")
    costs = {name: _costs(paths[0]) for name, paths in runs.items() if name in complete}
    if requested.get("folds"):
        return _of_folds(complete, costs, seed)
    first = {name: found[0] for name, found in complete.items()}
    same = {p.ids for p in first.values()}
    if len(same) > 1:  # runs with different splits cannot be compared
        return FolderEvaluation(first, None)
    outcomes = [Outcome(name, np.stack([_correct(p) for p in found]), costs[name]) for name, found in complete.items()]
    labels = next(iter(first.values())).labels
    curves = read_curves(folder, [name for name in info.strategies if name in first], labels, seed)
    return FolderEvaluation(first, compare_strategies(outcomes, labels, seed, gains=[c.gain for c in curves]), curves)


def read_curves(folder: Path, names: Sequence[str], labels: np.ndarray, seed: int) -> tuple[Curve, ...]:
    """The learning curves of a comparison folder, from its complete draws.

    Args:
        folder: Comparison folder.
        names: Strategies.
        labels: True classes of the test images, int (N,).
        seed: Seed of the bootstrap.
    """
    curves = []
    for name in names:
        found = [
            storage.read_json(path)["wrong"] for path in sorted((folder / "learning_curves").glob(f"{name}-*.json"))
        ]
        longest = max((len(one) for one in found), default=0)
        whole = [one for one in found if len(one) == longest]
        if longest < 3:
            continue
        sizes = sorted(int(size) for size in whole[0])
        wrong = np.zeros((len(whole), len(sizes), len(labels)), dtype=bool)
        for draw, one in enumerate(whole):
            for step, size in enumerate(sizes):
                wrong[draw, step, one[str(size)]] = True
        curves.append(fit_learning_curve(name, np.array(sizes), wrong, labels, np.random.default_rng(seed)))
    return tuple(curves)


def repeat_folders(folder: Path) -> list[Path]:
    """The folders of additional seeds or folds, in order."""
    found = [path for path in (folder / REPEATS).glob("*-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _of_folds(complete: dict[str, list[Predictions]], costs: dict[str, Any], seed: int) -> FolderEvaluation:
    pooled = {name: concatenate_folds(found) for name, found in complete.items()}
    sizes = [len(p.ids) for p in next(iter(complete.values()))]
    folds = np.repeat(np.arange(len(sizes)), sizes)
    outcomes = [Outcome(name, _correct(p)[None], costs[name]) for name, p in pooled.items()]
    labels = next(iter(pooled.values())).labels
    return FolderEvaluation(pooled, compare_strategies(outcomes, labels, seed, folds))


def concatenate_folds(parts: list[Predictions]) -> Predictions:
    """Concatenate the predictions of several folds."""
    first = parts[0]
    return Predictions(
        tuple(image for part in parts for image in part.ids),
        first.classes,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.scores for part in parts]),
        first.kind,
        np.concatenate([part.probabilities for part in parts]),
    )


def _read(run: Path) -> Predictions | None:
    done = (run / "metrics.json").is_file() and (run / "predictions.csv").is_file()
    return artifacts.read_predictions(run / "predictions.csv") if done else None


def _require(predictions: Predictions | None) -> Predictions:
    assert predictions is not None
    return predictions


def _correct(predictions: Predictions) -> np.ndarray:
    return predictions.predicted == predictions.labels


def _costs(run: Path) -> dict[str, Any]:
    return storage.read_json(run / "metrics.json").get("costs") or {}
