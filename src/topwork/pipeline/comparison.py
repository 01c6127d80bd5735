"""A comparison: its strategies one after another, or several at once, each in a process with a device of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from topwork.bundle.model_card import write_comparison
from topwork.compute import process_pool
from topwork.core import config, folder_lock, storage
from topwork.core.artifacts import RunInfo, Splits
from topwork.core.strategy_config import StrategySettings
from topwork.pipeline.interim import InterimReports
from topwork.pipeline.learning_curve import run_learning_curve
from topwork.pipeline.report_images import load_small
from topwork.pipeline.setup import repeat_contexts
from topwork.pipeline.strategy_run import run_strategy, write_inputs
from topwork.report.folder_recommendation import REPEATS
from topwork.report.render import write_report
from topwork.report.shown_images import write_folder_thumbnails
from topwork.strategies import STRATEGIES, work_order
from topwork.training.context import RunContext


@dataclass(frozen=True)
class TrainingJob:
    """One training of a comparison: a strategy, and its repeat, e.g. ``"seed-1"``; empty for the first."""

    repeat: str
    strategy: str

    def title(self, number: int, total: int) -> str:
        """``[2/4] svm``, ``[seed 1] svm``."""
        return f"[{self.repeat.replace('-', ' ') or f'{number}/{total}'}] {self.strategy}"

    def folder(self, comparison: Path) -> Path:
        """Its run folder."""
        return comparison / REPEATS / self.repeat / self.strategy if self.repeat else comparison / self.strategy

    def run(self, context: RunContext, info: RunInfo) -> None:
        """Train it, in a repeat with the settings of the first.

        With folds each searches its own settings: those of another fold were selected with its test images.

        Args:
            context: Of the repeat, in the folder of the comparison.
            info: Of the comparison.
        """
        comparison, config = context.folder, context.config
        settings_from = comparison / self.strategy if self.repeat and not (config.folds and config.trials) else None
        context = replace(context, folder=self.folder(comparison))
        with folder_lock.lock_folder(context.folder):
            run_strategy(self.strategy, context, replace(info, name=self.strategy), settings_from)


def compare(context: RunContext, info: RunInfo, folds: Sequence[Splits], parallel: int) -> None:
    """Train all strategies that are not done yet, and write the comparison.

    Args:
        context: Of the comparison.
        info: Its ``run.json``.
        folds: The splits of each fold; one without cross-validation.
        parallel: Trainings at the same time.
    """
    folder, requested = context.folder, context.config
    write_inputs(context, info)
    contexts = repeat_contexts(context, folds)
    once = [name for name in requested.strategies if STRATEGIES[name].deterministic]
    if requested.n_seeds > 1 and once:
        context.progress.log(f"Fitted once, since other seeds give the same result: {', '.join(once)}")
    order = work_order(requested.strategies)
    interim = InterimReports(context, order)
    for repeats in [""], [repeat for repeat in contexts if repeat]:  # repeats take the settings of the first
        jobs = [
            TrainingJob(repeat, name)
            for repeat in repeats
            for name in order
            if not repeat or requested.folds or not STRATEGIES[name].deterministic
        ]
        if parallel > 1 and len(jobs) > 1:
            _run_in_parallel(jobs, context, info, parallel, interim)
            continue
        for number, job in enumerate(jobs, 1):
            context.progress.log(job.title(number, len(jobs)))
            job.run(contexts[job.repeat], info)
            context.signals.raise_if_stopped()
            interim.finished(job.strategy)
    if not requested.folds and "none" not in requested.learning_curve:
        for name in requested.strategies:
            if STRATEGIES[name].deterministic or name in requested.learning_curve:
                run_learning_curve(name, context)
    settings = {name: config.read(folder / name / "config.toml").settings[name] for name in info.strategies}
    resolved = requested.model_copy(update={"settings": StrategySettings.complete(settings)})
    config.write(resolved, folder / "config.toml")
    write_folder_thumbnails(folder, partial(load_small, context.manifest))
    write_report(folder, "done")
    if len(requested.strategies) > 1:
        recommendation = storage.read_json(folder / "verdict.json")["sentences"][-1]
        for name in requested.strategies:
            write_comparison(folder / name / "model", recommendation)
    replace(info, status="done").write(folder)


def _run_in_parallel(
    jobs: Sequence[TrainingJob], context: RunContext, info: RunInfo, parallel: int, interim: InterimReports
) -> None:
    """Compute the features in this process, then run each training in a process of its own."""
    first = next((job for job in jobs if STRATEGIES[job.strategy].features), None)
    if first and not (first.folder(context.folder) / "metrics.json").is_file():
        context.features.load("train")
    requested = info.details["config"].get("compute", {})
    titles = {job.title(number, len(jobs)): job for number, job in enumerate(jobs, 1)}

    with tempfile.TemporaryDirectory() as payloads:

        def command(title: str, slot: int) -> list[str]:
            job = titles[title]
            payload = {
                "kind": "comparison",
                "parent": os.getpid(),
                "folder": str(context.folder.absolute()),
                "repeat": job.repeat,
                "strategy": job.strategy,
                "compute": _device_share(requested, context.compute.device.type, slot, parallel),
                "quiet": context.progress.quiet,
            }
            file = Path(payloads) / f"{len(os.listdir(payloads))}.json"
            storage.write_json(file, payload)
            return [sys.executable, "-m", "topwork", "worker", str(file)]

        def done(title: str) -> None:
            interim.finished(titles[title].strategy)

        process_pool.run(list(titles), command, parallel, context.signals, context.progress.log, done)


def _device_share(requested: dict[str, Any], device_type: str, slot: int, parallel: int) -> dict[str, Any]:
    """The requested ``compute`` settings for one of several trainings: its own GPU, or its share of the cores."""
    cores = max(1, len(os.sched_getaffinity(0)) // parallel) if hasattr(os, "sched_getaffinity") else 1
    auto = {"threads": cores, "workers": cores // 2 if device_type == "cpu" else cores}
    share = {name: value for name, value in auto.items() if requested.get(name, "auto") == "auto"}
    return requested | share | ({"device": f"cuda:{slot}"} if device_type == "cuda" else {})
