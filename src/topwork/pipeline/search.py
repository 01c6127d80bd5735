"""Random search for the settings of a strategy, chosen by the images that the strategy holds out.

These are the validation set, or all images of the fit of a head, by its out-of-fold predictions. Trial 0 has the
settings without a search, so that the result is never worse on them. A trial with a ``trial.json`` is not repeated, so
that an interrupted search resumes; that of a failed trial has the reason.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topwork.core import config, storage
from topwork.core.base_config import BaseConfig
from topwork.core.errors import TrainingFailed
from topwork.core.progress import make_progress
from topwork.core.strategy_config import TrainingConfig
from topwork.evaluation import metrics, target_metric
from topwork.evaluation.calibration import fit_temperature
from topwork.strategies.base import Strategy, TrainedStrategy
from topwork.training.context import RunContext
from topwork.training.search_space import sample


def random_search(
    strategy: Strategy, defaults: BaseConfig, explicit: set[str], context: RunContext, trials: int
) -> Any:
    """The best settings on the images held out: by the metric that decides, then lowest log-loss, then earliest.

    Args:
        strategy: The strategy.
        defaults: Its resolved settings.
        explicit: Names of settings that the user chose; they are not searched.
        context: Of the run; each trial has a folder in ``RUN/tune/``.
        trials: At least 1, the defaults included.

    Raises:
        TrainingFailed: All trials have failed.
    """
    space = {name: distribution for name, distribution in strategy.search.items() if name not in explicit}
    folder = context.folder / "tune"
    results = []
    with context.progress.track(f"{strategy.name}: search", trials, "trials") as bar:
        for number in range(trials if space else 1):
            sampled = sample(space, context.seed, strategy.name, number) if number else {}
            if isinstance(defaults, TrainingConfig):
                sampled = defaults.scale_rates(sampled)
            settings = defaults.model_copy(update=sampled)
            results.append(_run_trial(strategy, settings, context, folder / f"{number:03d}"))
            bar.advance()
            context.signals.raise_if_stopped()
    ended = [i for i, result in enumerate(results) if "failed" not in result]
    if not ended:
        raise TrainingFailed(f"All trials have failed; the first: {results[0]['failed']}")
    sign = -1 if target_metric.lower_is_better(context.metric) else 1
    values = {i: results[i].get(target_metric.key(context.metric), results[i]["accuracy"]) for i in ended}
    best = max(ended, key=lambda i: (sign * values[i], -results[i]["log_loss"], -i))
    summary = {"trials": len(results), "best": best, "seconds": sum(r["seconds"] for r in results)}
    storage.write_json(folder / "tune.json", summary)
    failed = f", {len(results) - len(ended)} failed" if len(ended) < len(results) else ""
    shown = {i: target_metric.describe(context.metric, value) for i, value in values.items()}
    first = f"{shown[0]} without a search, " if ended[0] == 0 else ""
    context.progress.log(
        f"  {strategy.name}: {len(results)} trials{failed}; {target_metric.NAMES[context.metric]} on images "
        f"held out {first}{shown[best]} with trial {best}"
    )
    return config.validate(type(defaults), results[best]["settings"], strategy.name)


def _run_trial(strategy: Strategy, settings: BaseConfig, context: RunContext, folder: Path) -> dict[str, Any]:
    path = folder / "trial.json"
    if path.is_file():
        return storage.read_json(path)
    start, feature_seconds = time.monotonic(), context.features.seconds
    trial = replace(context, folder=folder, progress=make_progress(quiet=True))
    resolved = strategy.resolve(settings, trial)
    result = {"settings": resolved.model_dump(mode="json", exclude_none=True)}
    try:
        trained = strategy.fit(resolved, trial)
        scores, labels = trained.held_out(context.splits)
        scores = np.asarray(scores, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise TrainingFailed(f"{strategy.name}: the scores of images held out are not finite.")
        losses = metrics.log_losses(strategy.probabilities(scores, trained.tensors), labels)
        result |= {"accuracy": float((scores.argmax(axis=1) == labels).mean()), "log_loss": float(losses.mean())}
        if context.metric != "accuracy":
            result[target_metric.key(context.metric)] = _value(strategy, trained, context, scores, labels)
    except (TrainingFailed, torch.OutOfMemoryError, MemoryError) as error:
        result["failed"] = str(error) or "out of memory"
        context.progress.log(f"  {strategy.name}: trial {folder.name} failed: {result['failed']}")
    result["seconds"] = time.monotonic() - start - (context.features.seconds - feature_seconds)
    storage.write_json(path, result)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return result


def _value(
    strategy: Strategy, trained: TrainedStrategy, context: RunContext, scores: np.ndarray, labels: np.ndarray
) -> float:
    """The metric that decides on images held out, with the temperature that the trial would get."""
    metric, logits = context.metric, trained.kind == "logit"
    temperature = fit_temperature(scores, labels) if logits and target_metric.needs_probabilities(metric) else 1.0
    probabilities = strategy.probabilities(scores, trained.tensors, temperature)
    return target_metric.value(metric, labels, target_metric.by_image(metric, labels, scores, probabilities))


def search_costs(run: Path) -> dict[str, Any]:
    """Trials and seconds of the search of a run, for its costs; empty without a search."""
    path = run / "tune" / "tune.json"
    return {f"tune_{key}": storage.read_json(path)[key] for key in ("trials", "seconds")} if path.is_file() else {}
