"""A comparison folder -> its verdict: reads predictions and costs of all runs in it, those of seeds and folds too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import artifacts, storage
from topwork.core.artifacts import Predictions
from topwork.core.seeds import derive_seed
from topwork.evaluation.learning_curve import Curve, learning_curve
from topwork.evaluation.verdict import Outcome, Verdict, judge

REPEATS = "repeats"


@dataclass(frozen=True)
class Judged:
    """The predictions that a verdict is about, and the verdict.

    Attributes:
        predictions: Strategy name to what it said about the test images: of the first seed, or of all folds together.
        verdict: On them; None if no strategy has finished.
        curves: Over labels.
    """

    predictions: dict[str, Predictions]
    verdict: Verdict | None
    curves: tuple[Curve, ...] = ()


def judge_folder(folder: Path) -> Judged:
    """Judge what has finished in a run or comparison folder.

    Seeds that not all strategies have finished are left out; so are folds.

    Args:
        folder: Has a ``run.json``.

    Raises:
        DataError: The folder has no ``run.json``, or one of a newer format.
    """
    info = artifacts.read_run_info(folder)
    asked = info.details.get("asked") or {}
    if info.kind == "run":
        runs = {info.strategies[0]: [folder]} if info.strategies else {}
    else:
        runs = {name: [path / name for path in (folder, *repeat_folders(folder))] for name in info.strategies}
    read = {name: [_read(path) for path in paths] for name, paths in runs.items()}
    read = {name: found for name, found in read.items() if found and found[0] is not None}
    if not read:
        return Judged({}, None)
    rounds = [r for r in range(len(next(iter(read.values())))) if all(found[r] is not None for found in read.values())]
    kept: dict[str, list[Predictions]] = {name: [_present(found[r]) for r in rounds] for name, found in read.items()}
    seed = derive_seed(int(asked.get("seed", 0)), "verdict")
    costs = {name: _costs(paths[0]) for name, paths in runs.items() if name in kept}
    if asked.get("folds"):
        return _of_folds(kept, costs, seed)
    first = {name: found[0] for name, found in kept.items()}
    same = {p.ids for p in first.values()}
    if len(same) > 1:  # runs of different splits that someone put together: nothing to compare
        return Judged(first, None)
    outcomes = [Outcome(name, np.stack([_right(p) for p in found]), costs[name]) for name, found in kept.items()]
    labels = next(iter(first.values())).labels
    curves = read_curves(folder, [name for name in info.strategies if name in first], labels, seed)
    return Judged(first, judge(outcomes, labels, seed, gains=[c.gain for c in curves]), curves)


def read_curves(folder: Path, names: Sequence[str], labels: np.ndarray, seed: int) -> tuple[Curve, ...]:
    """The learning curves in ``learning_curves/``, of the draws and sizes that are complete.

    Args:
        folder: Of a comparison.
        names: Of its strategies.
        labels: True classes of the test images, int (N,).
        seed: Of the bootstrap.
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
        curves.append(learning_curve(name, np.array(sizes), wrong, labels, np.random.default_rng(seed)))
    return tuple(curves)


def repeat_folders(folder: Path) -> list[Path]:
    """The folders of further seeds or folds, in their order."""
    found = [path for path in (folder / REPEATS).glob("*-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _of_folds(kept: dict[str, list[Predictions]], costs: dict[str, Any], seed: int) -> Judged:
    pooled = {name: pool(found) for name, found in kept.items()}
    sizes = [len(p.ids) for p in next(iter(kept.values()))]
    folds = np.repeat(np.arange(len(sizes)), sizes)
    outcomes = [Outcome(name, _right(p)[None], costs[name]) for name, p in pooled.items()]
    labels = next(iter(pooled.values())).labels
    return Judged(pooled, judge(outcomes, labels, seed, folds))


def pool(parts: list[Predictions]) -> Predictions:
    """Predictions on different images by networks of one kind, one after the other."""
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


def _present(predictions: Predictions | None) -> Predictions:
    assert predictions is not None
    return predictions


def _right(predictions: Predictions) -> np.ndarray:
    return predictions.predicted == predictions.labels


def _costs(run: Path) -> dict[str, Any]:
    return storage.read_json(run / "metrics.json").get("costs") or {}
