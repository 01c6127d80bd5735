"""A comparison: its strategies one after another, or several at once, each in a process with a device of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from topwork.bundle.model_card import write_comparison
from topwork.compute import process_pool
from topwork.core import config, folder_lock, storage
from topwork.core.artifacts import RunInfo, Splits
from topwork.core.config import Config
from topwork.core.names import strategy_of
from topwork.core.strategy_config import StrategySettings
from topwork.pipeline.interim import InterimReports
from topwork.pipeline.learning_curve import run_learning_curve
from topwork.pipeline.report_images import load_small
from topwork.pipeline.setup import describe_backbone, repeat_contexts
from topwork.pipeline.strategy_run import run_strategy, write_inputs
from topwork.report.folder_recommendation import REPEATS
from topwork.report.render import write_report
from topwork.report.shown_images import write_folder_thumbnails
from topwork.strategies import info_of, work_order
from topwork.training.context import RunContext


@dataclass(frozen=True)
class TrainingJob:
    """One training of a comparison: its name, and its repeat, e.g. ``"seed-1"``; empty for the first."""

    repeat: str
    name: str

    def title(self, number: int, total: int) -> str:
        """``[2/4] svm``, ``[seed 1] svm``."""
        return f"[{self.repeat.replace('-', ' ') or f'{number}/{total}'}] {self.name}"

    def folder(self, comparison: Path) -> Path:
        """Its run folder."""
        return comparison / REPEATS / self.repeat / self.name if self.repeat else comparison / self.name

    def run(self, context: RunContext, info: RunInfo) -> None:
        """Train it, in a repeat with the settings of the first.

        With folds each searches its own settings: those of another fold were selected with its test images.

        Args:
            context: Of the repeat, in the folder of the comparison.
            info: Of the comparison.
        """
        comparison, config = context.folder, context.config
        settings_from = comparison / self.name if self.repeat and not (config.folds and config.trials) else None
        context = replace(context, folder=self.folder(comparison))
        with folder_lock.lock_folder(context.folder):
            run_strategy(strategy_of(self.name), context, self._info(context, info), settings_from)

    def _info(self, context: RunContext, info: RunInfo) -> RunInfo:
        """Its ``run.json``: with its own backbone, of several."""
        details = dict(info.details)
        if details.pop("backbones", None):
            backbone = details["config"].get("backbone", {}) | {"model": context.backbone.model}
            config = {**details["config"], "models": [], "backbone": backbone}
            details |= {"backbone": describe_backbone(context), "config": config}
        return replace(info, name=self.name, details=details)


def compare(contexts: Mapping[str, RunContext], info: RunInfo, folds: Sequence[Splits], parallel: int) -> None:
    """Train all strategies that are not done yet, and write the comparison.

    Args:
        contexts: Of each training, by its name.
        info: Its ``run.json``.
        folds: The splits of each fold; one without cross-validation.
        parallel: Trainings at the same time.
    """
    context = contexts[info.strategies[0]]
    folder, requested = context.folder, context.config
    write_inputs(context, info)
    of_model = {one.backbone.model: repeat_contexts(one, folds) for one in contexts.values()}
    repeated = {name: of_model[one.backbone.model] for name, one in contexts.items()}
    once = [name for name in requested.strategies if info_of(name).deterministic]
    if requested.n_seeds > 1 and once:
        context.progress.log(f"Fitted once, since other seeds give the same result: {', '.join(once)}")
    order = work_order(requested.strategies)
    interim = InterimReports(context, order)
    for repeats in [""], [repeat for repeat in repeated[order[0]] if repeat]:  # repeats take the settings of the first
        jobs = [
            TrainingJob(repeat, name)
            for repeat in repeats
            for name in order
            if not repeat or requested.folds or not info_of(name).deterministic
        ]
        if parallel > 1 and len(jobs) > 1:
            _run_in_parallel(jobs, contexts, info, parallel, interim)
            continue
        for number, job in enumerate(jobs, 1):
            context.progress.log(job.title(number, len(jobs)))
            job.run(repeated[job.name][job.repeat], info)
            context.signals.raise_if_stopped()
            interim.finished(job.name)
    if not requested.folds and "none" not in requested.learning_curve:
        for name in requested.strategies:
            if info_of(name).deterministic or strategy_of(name) in requested.learning_curve:
                run_learning_curve(name, contexts[name])
    config.write(_resolved(requested, folder, tuple(of_model)), folder / "config.toml")
    write_folder_thumbnails(folder, partial(load_small, context.manifest))
    write_report(folder, "done")
    if len(requested.strategies) > 1:
        recommendation = storage.read_json(folder / "verdict.json")["sentences"][-1]
        for name in requested.strategies:
            write_comparison(folder / name / "model", recommendation)
    replace(info, status="done").write(folder)


def _resolved(requested: Config, folder: Path, models: tuple[str, ...]) -> Config:
    """The configuration with the settings of the runs, which of several backbones each have their own."""
    if len(models) > 1:
        return requested.model_copy(update={"models": models})
    settings = {name: config.read(folder / name / "config.toml").settings[name] for name in requested.strategies}
    return requested.model_copy(update={"settings": StrategySettings.complete(settings)})


def _run_in_parallel(
    jobs: Sequence[TrainingJob],
    contexts: Mapping[str, RunContext],
    info: RunInfo,
    parallel: int,
    interim: InterimReports,
) -> None:
    """Compute the features in this process, then run each training in a process of its own."""
    context = contexts[info.strategies[0]]
    needed = [job for job in jobs if info_of(job.name).features and not _is_finished(job, context.folder)]
    for one in {contexts[job.name].backbone.model: contexts[job.name] for job in needed}.values():
        one.features.load("train")
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
                "name": job.name,
                "compute": _device_share(requested, context.compute.device.type, slot, parallel),
                "quiet": context.progress.quiet,
            }
            file = Path(payloads) / f"{len(os.listdir(payloads))}.json"
            storage.write_json(file, payload)
            return [sys.executable, "-m", "topwork", "worker", str(file)]

        def done(title: str) -> None:
            interim.finished(titles[title].name)

        process_pool.run(list(titles), command, parallel, context.signals, context.progress.log, done)


def _is_finished(job: TrainingJob, comparison: Path) -> bool:
    return (job.folder(comparison) / "metrics.json").is_file()


def _device_share(requested: dict[str, Any], device_type: str, slot: int, parallel: int) -> dict[str, Any]:
    """The requested ``compute`` settings for one of several trainings: its own GPU, or its share of the cores."""
    cores = max(1, len(os.sched_getaffinity(0)) // parallel) if hasattr(os, "sched_getaffinity") else 1
    auto = {"threads": cores, "workers": cores // 2 if device_type == "cpu" else cores}
    share = {name: value for name, value in auto.items() if requested.get(name, "auto") == "auto"}
    return requested | share | ({"device": f"cuda:{slot}"} if device_type == "cuda" else {})
