"""A comparison folder -> the strategy that is recommended, by validation predictions and costs, not by any test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import artifacts
from topwork.core.artifacts import ImageRow
from topwork.core.predictions import PREDICTIONS, Predictions, read_outcomes, read_predictions
from topwork.core.seeds import derive_seed
from topwork.data.split_units import dependent_images
from topwork.evaluation import target_metric
from topwork.evaluation.recommend import Candidate, Recommendation, recommend

REPEATS = "repeats"


def recommend_in_folder(folder: Path, names: Collection[str] | None = None) -> Recommendation | None:
    """Choose among the strategies of a comparison that have finished; additional seeds and folds are pooled.

    Args:
        folder: Has a ``run.json``.
        names: Only these; None for all.

    Returns:
        None if none has finished, or if they were not trained on one split.

    Raises:
        DataError: The folder has no ``run.json``, or one of another format.
    """
    info = artifacts.read_run_info(folder)
    runs = {name: paths for name, paths in finished_runs(folder).items() if name in (names or info.strategies)}
    outcomes = {name: [read_outcomes(path / PREDICTIONS["val"]) for path in paths] for name, paths in runs.items()}
    requested = info.details.get("config") or {}
    metric = requested_metric(requested)
    if len({tuple(dict.fromkeys(one.ids for one in of_one)) for of_one in outcomes.values()}) != 1:
        return None
    first = next(iter(outcomes.values()))
    rounds = first if requested.get("folds") else first[:1]  # the images of seeds are the same
    ids = tuple(image for one in rounds for image in one.ids)
    labels = np.unique([label for one in rounds for label in one.labels], return_inverse=True)[1]
    candidates = []
    for name, of_one in outcomes.items():
        correct = np.concatenate([one.correct for one in of_one]).reshape(-1, len(ids))
        known = None
        if metric != "accuracy":
            labels, known = _by_image(metric, runs[name], bool(requested.get("folds")))
        candidates.append(Candidate(name, correct, run_seconds(runs[name][0]), known))
    rows = artifacts.read_manifest_rows(folder / "manifest.csv")
    seed = derive_seed(int(requested.get("seed", 0)), "recommendation")
    return recommend(candidates, labels, seed, _groups(rows, ids), len(set(ids)), metric)


def requested_metric(requested: Mapping[str, Any]) -> str:
    """The metric that decides, of the configuration in ``run.json``."""
    return target_metric.resolve(str(requested.get("metric") or "auto"))


def predictions_by_image(metric: str, predictions: Predictions) -> np.ndarray:
    """``target_metric.by_image`` of a file of predictions, (N,)."""
    return target_metric.by_image(metric, predictions.labels, predictions.scores, predictions.probabilities)


def _by_image(metric: str, runs: Sequence[Path], folds: bool) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) of validation images and the same, (R, N), of seeds, or (1, N) of folds one after the other."""
    read = [read_predictions(run / PREDICTIONS["val"]) for run in runs]
    if folds:
        read = [concatenate_predictions(read)]
    return read[0].labels, np.stack([predictions_by_image(metric, one) for one in read])


def concatenate_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several folds as those of one set of images."""
    return replace(
        parts[0],
        ids=tuple(image for part in parts for image in part.ids),
        labels=np.concatenate([part.labels for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        calibration=None,  # each has its own
    )


def finished_runs(folder: Path) -> dict[str, list[Path]]:
    """The finished runs of each strategy: the first, and those of seeds or folds that all strategies have finished.

    A strategy that does not depend on the seed has one run, whatever the number of seeds.

    Args:
        folder: Of a run or a comparison.
    """
    info = artifacts.read_run_info(folder)
    if info.kind == "run":
        runs = {name: [folder] for name in info.strategies}
    else:
        runs = {name: [path / name for path in (folder, *_repeat_folders(folder))] for name in info.strategies}
    found = {name: paths for name, paths in runs.items() if paths and _is_finished(paths[0])}
    once = {name: paths[:1] for name, paths in found.items() if len(paths) > 1 and _is_fitted_once(*paths[:2])}
    several = {name: paths for name, paths in found.items() if name not in once}
    rounds = [paths for paths in zip(*several.values(), strict=True) if all(map(_is_finished, paths))]
    complete = dict(zip(several, map(list, zip(*rounds, strict=True)), strict=True)) | once
    return {name: complete[name] for name in found}


def run_seconds(run: Path) -> float:
    """``training_seconds`` of a finished run."""
    return training_seconds(artifacts.read_metrics(run).get("costs") or {})


def training_seconds(costs: Mapping[str, Any]) -> float:
    """Training time, with the features that a strategy needs and the search for its settings, of ``metrics.json``."""
    return sum(float(costs.get(name) or 0.0) for name in ("train_seconds", "feature_seconds", "tune_seconds"))


def _repeat_folders(folder: Path) -> list[Path]:
    """The folders of additional seeds or folds, in order."""
    found = [path for path in (folder / REPEATS).glob("*-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _is_finished(run: Path) -> bool:
    return all((run / name).is_file() for name in ("metrics.json", *PREDICTIONS.values()))


def _is_fitted_once(first: Path, second: Path) -> bool:
    """Whether a strategy does not depend on the seed; ``second`` is its folder of the second seed or fold."""
    deterministic = bool(artifacts.read_metrics(first).get("deterministic"))
    return deterministic and second.parent.name.startswith("seed-")


def _groups(rows: Sequence[ImageRow], ids: Sequence[str]) -> np.ndarray | None:
    """Images that belong together, or are one image in several folds, int (N,); None if all are independent."""
    groups = dependent_images(rows, ids)
    return np.unique(ids, return_inverse=True)[1] if groups is None and len(set(ids)) < len(ids) else groups
