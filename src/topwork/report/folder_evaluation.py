"""A run or comparison folder -> its verdict, from the predictions and training times of all runs and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from topwork.core import artifacts, storage
from topwork.core.artifacts import ImageRow, Predictions
from topwork.core.seeds import derive_seed
from topwork.data.split_units import dependent_images
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
        runs = {name: [path / name for path in (folder, *_repeat_folders(folder))] for name in info.strategies}
    found = {name: [_read(path) for path in paths] for name, paths in runs.items()}
    found = {name: predictions for name, predictions in found.items() if predictions and predictions[0] is not None}
    if not found:
        return FolderEvaluation({}, None)
    rounds = [[p for p in predictions if p is not None] for predictions in zip(*found.values(), strict=True)]
    complete = dict(zip(found, zip(*(r for r in rounds if len(r) == len(found)), strict=True), strict=True))
    seed = derive_seed(int(requested.get("seed", 0)), "verdict")
    seconds = {name: _train_seconds(runs[name][0]) for name in complete}
    manifest = folder / "manifest.csv"
    rows = artifacts.read_manifest_rows(manifest) if manifest.is_file() else ()
    if requested.get("folds"):
        return _of_folds(complete, seconds, seed, rows)
    first = {name: predictions[0] for name, predictions in complete.items()}
    if len({p.ids for p in first.values()}) > 1:  # runs with different splits cannot be compared
        return FolderEvaluation(first, None)
    outcomes = [
        Outcome(name, np.stack([p.predicted == p.labels for p in predictions]), seconds[name])
        for name, predictions in complete.items()
    ]
    one = next(iter(first.values()))
    groups = dependent_images(rows, one.ids)
    curves = _read_curves(folder, list(first), one.labels, seed, groups)
    verdict = compare_strategies(outcomes, one.labels, seed, gains=[c.gain for c in curves], groups=groups)
    return FolderEvaluation(first, verdict, curves)


def _read_curves(
    folder: Path, names: Sequence[str], labels: np.ndarray, seed: int, groups: np.ndarray | None
) -> tuple[Curve, ...]:
    """The learning curves of the strategies of a comparison folder, from their complete draws."""
    curves = []
    for name in names:
        paths = sorted((folder / "learning_curves").glob(f"{name}-*.json"))
        draws = [storage.read_json(path)["wrong"] for path in paths]  # by number of training images: wrong test images
        n_sizes = max(map(len, draws), default=0)
        complete = [wrong for wrong in draws if len(wrong) == n_sizes]
        if n_sizes < 3:
            continue
        sizes = sorted(int(size) for size in complete[0])
        errors = np.zeros((len(complete), len(sizes), len(labels)), dtype=bool)
        for draw, wrong in enumerate(complete):
            for step, size in enumerate(sizes):
                errors[draw, step, wrong[str(size)]] = True
        rng = np.random.default_rng(seed)
        curves.append(fit_learning_curve(name, np.array(sizes), errors, labels, rng, groups))
    return tuple(curves)


def _repeat_folders(folder: Path) -> list[Path]:
    """The folders of additional seeds or folds, in order."""
    found = [path for path in (folder / REPEATS).glob("*-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _of_folds(
    complete: dict[str, tuple[Predictions, ...]], seconds: dict[str, float], seed: int, rows: Sequence[ImageRow]
) -> FolderEvaluation:
    pooled = {name: _concatenate(predictions) for name, predictions in complete.items()}
    sizes = [len(p.ids) for p in next(iter(complete.values()))]
    folds = np.repeat(np.arange(len(sizes)), sizes)
    outcomes = [Outcome(name, (p.predicted == p.labels)[None], seconds[name]) for name, p in pooled.items()]
    one = next(iter(pooled.values()))
    groups = dependent_images(rows, one.ids)
    return FolderEvaluation(pooled, compare_strategies(outcomes, one.labels, seed, folds, groups=groups))


def _concatenate(folds: Sequence[Predictions]) -> Predictions:
    return replace(
        folds[0],
        ids=tuple(image for fold in folds for image in fold.ids),
        labels=np.concatenate([fold.labels for fold in folds]),
        scores=np.concatenate([fold.scores for fold in folds]),
        probabilities=np.concatenate([fold.probabilities for fold in folds]),
    )


def _read(run: Path) -> Predictions | None:
    done = (run / "metrics.json").is_file() and (run / "predictions.csv").is_file()
    return artifacts.read_predictions(run / "predictions.csv") if done else None


def _train_seconds(run: Path) -> float:
    return float((storage.read_json(run / "metrics.json").get("costs") or {}).get("train_seconds") or 0.0)
