"""``compare`` and ``train``: from arguments to a folder of results. The stages are in ``job``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topwork.compute.ranks import under_torchrun, world
from topwork.core import commands
from topwork.core.artifacts import read_run_info
from topwork.core.config import Config, validate
from topwork.core.errors import UsageError
from topwork.core.names import model_of, split_models, split_weights
from topwork.core.options import OptionValue, option_names, with_options
from topwork.core.progress import make_progress
from topwork.pipeline.configure import request
from topwork.pipeline.job import Job
from topwork.report.results import Comparison, Run, format_answer, format_verdict, table
from topwork.strategies import STRATEGIES


@with_options(option_names("compare"))
def compare(
    data: str | Path | None = None,
    *,
    strategies: Sequence[str] | None = None,
    models: Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    overwrite: bool = False,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    quiet: bool = False,
    log_to: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
    parallel: int | None = None,
    **options: OptionValue,
) -> Comparison:
    """Train several strategies on one split, with one or several backbones, and compare them.

    Args:
        data: A folder of class folders, or the name of a data set that a source supports; optional with ``resume``.
        strategies: Names; None: those of the configuration file, or the default four.
        models: Names of backbones, each for every strategy; the same as ``model``, which takes one or several.
        out: Folder to write to; None: ``runs/<data>-compare-<model>``.
        resume: Folder of a comparison to resume, with its data and settings.
        overwrite: Replace the comparison in that folder.
        config: A TOML file of settings.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        quiet: Print nothing.
        log_to: Programs that every epoch is logged to: ``"tensorboard"``. A resumed run keeps its own.
        callbacks: Objects with some of the methods of ``topwork.Callback``.
        parallel: Trainings at the same time, one per GPU or share of the cores; None: 1.
        **options: Single settings by the names of the command line: ``model``, ``epochs``, ``seed``, ...

    Returns:
        The comparison, with ``.metrics``, ``.history``, ``.path`` and a table in notebooks.

    Raises:
        TopworkError: See ``core.errors``; every message is one line that says what to do.
    """
    if under_torchrun():
        raise UsageError("compare does not run under torchrun. Leave torchrun out, or use the command train.")
    if models:
        options["model"] = models
    requested = request("comparison", data, strategies, resume, config, sets, options)
    if (parallel or 1) > 1 and callbacks:
        raise UsageError("Callbacks cannot be passed to other processes. Leave parallel out.")
    _refuse_two_folders(resume, out, overwrite)
    progress, is_resumed = make_progress(quiet), resume is not None
    job = Job(
        requested, "comparison", resume or out, is_resumed, overwrite, progress, log_to, callbacks, parallel=parallel
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
        data: The images; optional with ``resume``.
        strategy: A name; None: that of the configuration file, or ``finetune``.
        resume: Folder of a run to resume, with its data and settings.
        devices: Processes of this machine that train together, one per GPU or share of the cores; None: this one
            alone. Under torchrun leave it out.
        max_restarts: How often a process that died is restarted, with all others, from the last checkpoint.
    """
    if under_torchrun():
        if devices or max_restarts:
            raise UsageError("The number of processes is set by torchrun; remove --devices and --max-restarts.")
        if out is None and resume is None:
            raise UsageError("Under torchrun give --out, so that a restart finds the run.")
        if not world().is_main:
            from topwork.pipeline.worker import train_with_rank_0

            train_with_rank_0()
            return Run(Path(str(resume or out)))
    requested = request("run", data, [strategy] if strategy else None, resume, config, sets, options)
    _refuse_two_folders(resume, out, overwrite)
    if world().size > 1 and requested.trials:
        raise UsageError("--trials searches on one device. Remove it, or search first and pass the settings found.")
    several = (devices or 1) > 1 or bool(max_restarts)
    if several and callbacks:
        raise UsageError("Callbacks cannot be passed to other processes. Remove devices, or use torchrun.")
    job = Job(
        requested,
        "run",
        resume or out,
        resume is not None,
        overwrite,
        make_progress(quiet),
        log_to,
        callbacks,
        devices or 1,
    )
    if several:
        job.launch(max_restarts or 0)
    else:
        job.run()
    return Run(job.folder)


def _refuse_two_folders(resume: str | Path | None, out: str | Path | None, overwrite: bool) -> None:
    if resume is not None and (out is not None or overwrite):
        raise UsageError("--resume FOLDER continues in that folder. Remove --out and --overwrite, or --resume.")


def summary(result: Run | Comparison, next_command: bool = True) -> str:
    """What a command prints: a table of finished runs, the verdict, the report and the command to try next."""
    runs = [result] if isinstance(result, Run) else list(result)
    verdict = format_verdict(result) if isinstance(result, Comparison) else format_answer(result)
    over_folds = result.test_over_folds if isinstance(result, Comparison) else {}
    lines = [table([run for run in runs if (run.path / "metrics.json").is_file()], over_folds), ""]
    lines += [verdict, ""] if verdict else []
    lines.append(f"Report: {result.report}")
    return "\n".join([*lines, f"Next: {_suggest_next_command(result)}"] if next_command else lines)


def _suggest_next_command(result: Run | Comparison) -> str:
    """Train the recommended strategy for longer, or fine-tune the (first) network if it only trained a head."""
    best = result if isinstance(result, Run) else result.recommended_run()
    requested = validate(Config, read_run_info(result.path).details["config"])
    trains_network = STRATEGIES[best.strategy].trains_network
    strategy, epochs = (best.strategy, 3 * len(best.history)) if trains_network else ("finetune", 20)
    explicit = requested.settings[strategy].model_dump(mode="json", exclude_unset=True)
    settings = {strategy: explicit | {"epochs": epochs}}
    backbone = requested.backbone.model_dump(mode="json")
    models = split_models(model_of(best.name, requested.models, requested.backbone.model))
    weights = split_weights(requested.backbone.weights, models)
    changes = {
        "backbone": backbone | {"model": models[0], "weights": weights[0]},
        "strategies": (strategy,),
        "models": (),
        "n_seeds": 1,
        "folds": 0,
        "learning_curve": (),
        "trials": 0,
        "settings": settings,
    }
    return commands.training("run", validate(Config, requested.model_dump(mode="json", exclude_none=True) | changes))
