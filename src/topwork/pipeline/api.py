"""``compare`` and ``train``: from a configuration to a folder of results. The stages are in ``job``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topwork.compute.ranks import under_torchrun, world
from topwork.core import config as configuration
from topwork.core.errors import UsageError
from topwork.core.options import OptionValue, option_names, with_options
from topwork.core.progress import make_progress
from topwork.pipeline import configure
from topwork.pipeline.job import Job
from topwork.pipeline.resume import keep_explicit, refuse_changes, requested_config
from topwork.report.results import Comparison, Run, format_verdict, table
from topwork.strategies import STRATEGIES


@with_options(option_names("compare"))
def compare(
    data: str | Path | None = None,
    *,
    strategies: Sequence[str] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    quiet: bool = False,
    log_to: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
    parallel: int | None = None,
    **options: OptionValue,
) -> Comparison:
    """Train several strategies on one backbone and one split, and put them side by side.

    Args:
        data: A folder of class folders, or the name of a data set that a source knows.
        strategies: Names; the usual four if None, or those of the configuration file.
        out: Folder to write to; ``runs/<data>-compare-<model>`` if None.
        resume: Resume the comparison in that folder; the settings must be the same.
        overwrite: Replace it.
        config: A TOML file of settings.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        quiet: Print nothing.
        log_to: Programs that every epoch is logged to: ``"tensorboard"``. A resumed run keeps its own.
        callbacks: Objects with some of the methods of ``topwork.Callback``, which are called too.
        parallel: Trainings at the same time, one a GPU or a share of the cores; one if None.
        **options: Single settings by the names of the command line: ``model``, ``epochs``, ``seed``, ...

    Returns:
        The comparison, with ``.metrics``, ``.history``, ``.path`` and a table in notebooks.

    Raises:
        TopworkError: See ``errors``; every message is one line with a way out.
    """
    if under_torchrun():
        raise UsageError("compare does not run under torchrun. Leave torchrun out, or use `topwork train`.")
    requested = configure.build(data, strategies, config, sets, options=options)
    if (parallel or 1) > 1 and callbacks:
        raise UsageError("Callbacks cannot be passed to other processes. Leave parallel out.")
    job = Job(
        requested,
        "comparison",
        _path(out),
        resume,
        overwrite,
        make_progress(quiet),
        log_to,
        callbacks,
        parallel=parallel or 1,
    )
    job.run()
    return Comparison(job.folder)


@with_options(option_names("train"))
def train(
    data: str | Path | None = None,
    strategy: str | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    overwrite: bool = False,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    quiet: bool = False,
    log_to: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
    devices: int | None = None,
    max_restarts: int | None = None,
    **options: OptionValue,
) -> Run:
    """Train one strategy; see ``compare`` for the arguments.

    Args:
        data: The images; may be left out with ``resume``.
        strategy: ``scratch``, ``mlp``, ``svm`` or ``finetune``; the last if None.
        resume: Folder of a run to resume; everything is taken from it.
        devices: Processes of this machine that train together, one a GPU or a share of the cores; this one alone if
            None. Under torchrun leave it out.
        max_restarts: How often a process that dies is started again, with all others, from the last checkpoint.
    """
    if under_torchrun():
        if devices or max_restarts:
            raise UsageError("The number of processes is set by torchrun; remove --devices and --max-restarts.")
        if out is None and resume is None:
            raise UsageError("Under torchrun give --out, so that a restart finds the run.")
        if not world().is_main:
            from topwork.pipeline.peers import train_with_rank_0

            train_with_rank_0()
            return Run(Path(str(resume or out)))
    if resume is not None:
        requested = requested_config(Path(resume))
        explicit = {k: v for k, v in options.items() if v is not None}
        if data is not None or strategy is not None or config is not None or sets or explicit:
            name = strategy or requested.strategies[0]
            again = keep_explicit(
                configure.build(data or requested.data.path, [name], config, sets, options=explicit), requested
            )
            refuse_changes(again, requested, Path(resume))
            requested = again  # the same, or more epochs
        out = resume
    else:
        requested = configure.build(
            data, [strategy] if strategy else None if config else ["finetune"], config, sets, options=options
        )
        if len(requested.strategies) != 1:
            raise UsageError("train takes one strategy; use --strategy NAME, or `topwork compare` for several.")
    if requested.n_seeds > 1 or requested.folds:
        raise UsageError("train makes one training; for --n-seeds and --folds use `topwork compare`.")
    if world().size > 1 and requested.trials:
        raise UsageError("--trials searches on one device. Remove it, or search first and pass the settings found.")
    several = (devices or 1) > 1 or bool(max_restarts)
    if several and callbacks:
        raise UsageError("Callbacks cannot be passed to other processes. Remove devices, or use torchrun.")
    job = Job(requested, "run", _path(out), resume is not None, overwrite, make_progress(quiet), log_to, callbacks)
    if several:
        job.launch(devices or 1, max_restarts or 0)
    else:
        job.run()
    return Run(job.folder)


def _path(out: str | Path | None) -> Path | None:
    return Path(out) if out is not None else None


def summary(result: Run | Comparison) -> str:
    """The table, the verdict and the two last lines of a command."""
    runs = [result] if isinstance(result, Run) else list(result)
    verdict = format_verdict(result) if isinstance(result, Comparison) else ""
    return "\n".join([table(runs), "", *([verdict, ""] if verdict else []), *_last_lines(result)])


def _last_lines(result: Run | Comparison) -> list[str]:
    return [f"Report: {result.report}", f"Next: {_next_step(result)}"]


def _next_step(result: Run | Comparison) -> str:
    """The command most likely to improve the result: the best strategy for longer, or fine-tuning after heads."""
    best = result if isinstance(result, Run) else result.best_on_val()
    requested = configuration.read(best.path / "config.toml")
    words = ["topwork", "train", requested.data.path]
    if requested.backbone.model != configuration.DEFAULT_MODEL:
        words += ["--model", requested.backbone.model]
    trains_network = STRATEGIES[best.strategy].trains_network
    strategy, epochs = (best.strategy, 3 * len(best.history)) if trains_network else ("finetune", 20)
    return shlex.join([*words, "--strategy", strategy, "--epochs", str(epochs)])
