"""A run or comparison folder -> its verdict, from the predictions and training times of all runs and repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import artifacts, storage
from topwork.core.artifacts import ImageRow
from topwork.core.errors import CorruptFile
from topwork.core.predictions import PREDICTIONS, Predictions, read_predictions
from topwork.core.seeds import derive_seed
from topwork.data.split_units import dependent_images
from topwork.evaluation import evaluate, target_metric
from topwork.evaluation.cut_short import CutShort
from topwork.evaluation.intervals import Interval
from topwork.evaluation.learning_curve import Curve, fit_learning_curve
from topwork.evaluation.recommend import Recommendation
from topwork.evaluation.verdict import Outcome, Verdict, compare_strategies
from topwork.report.folder_recommendation import (
    concatenate_predictions,
    finished_runs,
    predictions_by_image,
    recommend_in_folder,
    requested_metric,
    run_seconds,
)

_UNDEFINED: dict[str, Any] = {"low": None, "high": None}


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
    info, runs = artifacts.read_run_info(folder), finished_runs(folder)
    requested = info.details.get("config") or {}
    if not runs:
        return FolderEvaluation({}, None)
    complete = {
        name: tuple(read_predictions(path / PREDICTIONS["test"]) for path in paths) for name, paths in runs.items()
    }
    seed = derive_seed(int(requested.get("seed", 0)), "verdict")
    costs = {name: (run_seconds(paths[0]), _cut_short(paths[0])) for name, paths in runs.items()}
    chosen = recommend_in_folder(folder) if info.kind == "comparison" else None
    rows = artifacts.read_manifest_rows(folder / "manifest.csv")
    if requested.get("folds"):
        return _of_folds(complete, costs, requested, rows, chosen)
    first = {name: predictions[0] for name, predictions in complete.items()}
    if len({p.ids for p in first.values()}) > 1:  # runs with different splits cannot be compared
        return FolderEvaluation(first, None)
    one, metric = next(iter(first.values())), requested_metric(requested)
    groups = dependent_images(rows, one.ids)
    outcomes = [
        Outcome(
            name, np.stack([p.predicted == p.labels for p in predictions]), *costs[name],
            *_of_metric(metric, predictions, int(requested.get("seed", 0)), groups),
        )
        for name, predictions in complete.items()
    ]  # fmt: skip
    curves = _read_curves(folder, list(first), one.labels, seed, groups)
    gains = [c.gain for c in curves]
    verdict = compare_strategies(
        outcomes, one.labels, seed, gains=gains, groups=groups, recommendation=chosen, metric=metric
    )
    return FolderEvaluation(first, verdict, curves)


def read_test_predictions(folder: Path) -> dict[str, Predictions]:
    """Predictions on the test images by strategy that has finished: of the first seed, or of all folds together."""
    folds = (artifacts.read_run_info(folder).details.get("config") or {}).get("folds")
    found = {}
    for name, paths in finished_runs(folder).items():
        read = [read_predictions(path / PREDICTIONS["test"]) for path in (paths if folds else paths[:1])]
        found[name] = concatenate_predictions(read) if folds else read[0]
    return found


def _of_metric(
    metric: str, predictions: Sequence[Predictions], seed: int, groups: np.ndarray | None
) -> tuple[np.ndarray | None, Interval | None]:
    """What ``Outcome`` needs of a metric other than accuracy: by image, (R, N), and the interval, as in the table.

    Of several seeds the mean of their intervals: never narrower than that of the mean over seeds.
    """
    if metric == "accuracy":
        return None, None
    key = target_metric.key(metric)
    found: list[dict[str, Any]] = [
        evaluate(p, seed + number, groups, metric).get(key) or _UNDEFINED for number, p in enumerate(predictions)
    ]
    limits = {"low": 0.0, "high": target_metric.MAX_LOG_LOSS if target_metric.lower_is_better(metric) else 1.0}
    ends = {end: [limit if one[end] is None else one[end] for one in found] for end, limit in limits.items()}
    low, high = (sum(values) / len(values) for values in ends.values())
    return np.stack([predictions_by_image(metric, p) for p in predictions]), (low, high)


def evaluate_folds(folder: Path, evaluation: FolderEvaluation) -> dict[str, dict[str, Any]]:
    """Test metrics over all folds by strategy, as ``evaluate`` gives them; empty without cross-validation.

    Args:
        folder: Of a comparison.
        evaluation: Of the same folder.
    """
    if evaluation.verdict is None or evaluation.verdict.repeats[0] != "folds":
        return {}
    seed = int((artifacts.read_run_info(folder).details.get("config") or {}).get("seed", 0))
    rows = artifacts.read_manifest_rows(folder / "manifest.csv")
    metric = evaluation.verdict.metric
    return {
        name: evaluate(p, seed, dependent_images(rows, p.ids), metric) for name, p in evaluation.predictions.items()
    }


def _read_curves(
    folder: Path, names: Sequence[str], labels: np.ndarray, seed: int, groups: np.ndarray | None
) -> tuple[Curve, ...]:
    """The learning curves of the strategies of a comparison folder, from their complete draws."""
    curves = []
    for name in names:
        paths = sorted((folder / "learning_curves").glob(f"{name}-*.json"))
        # by number of training images: wrong test images
        draws = [storage.read_json(path, "Draw")["wrong"] for path in paths]
        if any(max(wrong, default=0) >= len(labels) for draw in draws for wrong in draw.values()):
            raise CorruptFile(f"{paths[0]}, or one beside it, names a test image that there is not. Train again.")
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


def _of_folds(
    complete: dict[str, tuple[Predictions, ...]],
    costs: dict[str, tuple[float, CutShort | None]],
    requested: Mapping[str, Any],
    rows: Sequence[ImageRow],
    chosen: Recommendation | None,
) -> FolderEvaluation:
    pooled = {name: concatenate_predictions(predictions) for name, predictions in complete.items()}
    sizes = [len(p.ids) for p in next(iter(complete.values()))]
    folds = np.repeat(np.arange(len(sizes)), sizes)
    one, metric, own = next(iter(pooled.values())), requested_metric(requested), int(requested.get("seed", 0))
    groups, seed = dependent_images(rows, one.ids), derive_seed(own, "verdict")
    outcomes = [
        Outcome(name, (p.predicted == p.labels)[None], *costs[name], *_of_metric(metric, [p], own, groups))
        for name, p in pooled.items()
    ]
    verdict = compare_strategies(outcomes, one.labels, seed, folds, groups=groups, recommendation=chosen, metric=metric)
    return FolderEvaluation(pooled, verdict)


def _cut_short(run: Path) -> CutShort | None:
    found = artifacts.read_metrics(run).get("cut_short")
    return CutShort(**found) if found else None
