"""The search for settings before a strategy is trained: as many trials for each strategy, judged on val alone.

Trial 0 are the settings without a search, so that a search never ends below them on val. A trial that has its
``trial.json`` is not run again: that is how an interrupted search goes on.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import config, storage
from topwork.core.progress import make_progress
from topwork.evaluation import metrics
from topwork.strategies.base import Strategy
from topwork.training.context import RunContext
from topwork.training.search_space import sample


def tune(strategy: Strategy, base: Any, given: set[str], context: RunContext, trials: int) -> Any:
    """The settings that do best on val.

    Args:
        strategy: What is tuned.
        base: Its settings, resolved.
        given: Names of settings that were asked for; they are not searched.
        context: Of the run; each trial gets a folder in ``RUN/tune/``.
        trials: At least 1, the base settings included.

    Returns:
        Those with the highest accuracy on val, of equals the least log-loss, of equals the earliest.
    """
    space = {name: where for name, where in strategy.search.items() if name not in given}
    folder = context.folder / "tune"
    results = []
    with context.progress.track(f"{strategy.name}: tune", trials, "trials") as bar:
        for number in range(trials if space else 1):
            changed = sample(space, context.seed, strategy.name, number) if number else {}
            wanted = {**base.model_dump(), **changed}
            results.append(_trial(strategy, wanted, context, folder / f"{number:03d}"))
            bar.advance()
            context.signals.raise_if_stopped()
    best = max(range(len(results)), key=lambda i: (results[i]["accuracy"], -results[i]["log_loss"], -i))
    summary = {"trials": len(results), "best": best, "seconds": sum(r["seconds"] for r in results)}
    storage.write_json(folder / "tune.json", summary)
    context.progress.log(
        f"  {strategy.name}: {len(results)} trials; accuracy on val {results[0]['accuracy']:.1%} without a search, "
        f"{results[best]['accuracy']:.1%} with trial {best}"
    )
    return config.validate(strategy.Config, results[best]["settings"], strategy.name)


def _trial(strategy: Strategy, wanted: dict[str, Any], context: RunContext, folder: Path) -> dict[str, Any]:
    path = folder / "trial.json"
    if path.is_file():
        return storage.read_json(path)
    start = time.monotonic()
    inside = replace(context, folder=folder, progress=make_progress(quiet=True))
    settings = strategy.resolve(config.validate(strategy.Config, wanted, strategy.name), inside)
    fitted = strategy.fit(settings, inside)
    labels, scores = context.splits.labels["val"], np.asarray(fitted.scores("val"), dtype=np.float64)
    result = {
        "settings": settings.model_dump(mode="json", exclude_none=True),
        "accuracy": float((scores.argmax(axis=1) == labels).mean()),
        "log_loss": float(metrics.log_losses(strategy.probabilities(scores, fitted.tensors), labels).mean()),
        "seconds": time.monotonic() - start,
    }
    storage.write_json(path, result)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return result


def tuned(run: Path) -> dict[str, Any]:
    """What the search of a run took: ``trials`` and ``seconds``; empty where there was none."""
    path = run / "tune" / "tune.json"
    return storage.read_json(path) if path.is_file() else {}
