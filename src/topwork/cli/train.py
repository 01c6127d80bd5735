"""The commands that train: compare, train, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topwork.cli.app import AsJson, Data, Open, Out, Overwrite, Quiet, explicit, open_page, setting_options
from topwork.compute.ranks import world
from topwork.core.options import OptionValue
from topwork.core.progress import print_text

if TYPE_CHECKING:
    from topwork.report.results import Comparison, Run

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of settings.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. finetune.lr=1e-4; may be repeated.")]
LogTo = Annotated[list[str] | None, typer.Option(help="Log every epoch to: tensorboard; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the requested configuration and stop.")]
SHARE = "one per GPU, or shares of the cores.  [default: 1]"


def _strategy_names(incomplete: str) -> list[str]:
    """Those that begin so, for the completion of a shell."""
    from topwork.core.strategy_config import StrategySettings

    return [name for name in StrategySettings.model_fields if name.startswith(incomplete)]


@setting_options("compare")
def compare(
    data: Data = None,
    strategy: Annotated[
        list[str] | None, typer.Option(help="Only these; may be repeated.", autocompletion=_strategy_names)
    ] = None,
    parallel: Annotated[int | None, typer.Option(help=f"Trainings at the same time: {SHARE}")] = None,
    resume: Annotated[Path | None, typer.Option(help="Resume this comparison, with its data and settings.")] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    sets: Sets = None,
    log_to: LogTo = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    open: Open = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Train all four strategies on one split and compare them.

    Example: topwork compare photos/
    """
    if dry_run:
        return _print_config("comparison", data, strategy, resume, config, sets, options)
    from topwork.pipeline import api

    result = api.compare(
        data, strategies=strategy, resume=resume, parallel=parallel,
        out=out, overwrite=overwrite, config=config, sets=sets or (), log_to=log_to or (), quiet=quiet,
        **explicit(options),
    )  # fmt: skip
    _print_result(result, json, open)


@setting_options("train")
def train(
    data: Data = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="scratch, mlp, linear, knn, svm or finetune.  [default: finetune]", autocompletion=_strategy_names
        ),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Resume this run, with its data and settings.")] = None,
    devices: Annotated[int | None, typer.Option(help=f"Processes that train together: {SHARE}")] = None,
    max_restarts: Annotated[
        int | None, typer.Option(help="Restarts from the last checkpoint after a process died.  [default: 0]")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    sets: Sets = None,
    log_to: LogTo = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    open: Open = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Train one strategy.

    Example: topwork train photos/ --strategy finetune
    """
    if dry_run:
        return _print_config("run", data, [strategy] if strategy else None, resume, config, sets, options)
    from topwork.pipeline import api

    result = api.train(
        data, strategy, resume=resume, devices=devices, max_restarts=max_restarts,
        out=out, overwrite=overwrite, config=config, sets=sets or (), log_to=log_to or (), quiet=quiet,
        **explicit(options),
    )  # fmt: skip
    if world().is_main:
        _print_result(result, json, open)


def worker(file: Path) -> None:
    """One of the processes that `train --devices N` and `compare --parallel N` start."""
    from topwork.pipeline.worker import run_worker

    run_worker(file)


def _print_config(
    kind: str,
    data: str | None,
    strategies: Sequence[str] | None,
    resume: Path | None,
    config: Path | None,
    sets: Sequence[str] | None,
    options: dict[str, OptionValue],
) -> None:
    from topwork.core.config import to_toml
    from topwork.core.progress import make_progress
    from topwork.pipeline import configure
    from topwork.pipeline.setup import check

    requested = configure.request(kind, data, strategies, resume, config, sets or (), explicit(options))
    check(requested, make_progress(quiet=True))
    print(to_toml(requested), end="")


def _print_result(result: Run | Comparison, as_json: bool, open: bool) -> None:
    import json

    from topwork.pipeline.api import summary

    found = {"path": str(result.path), "metrics": result.metrics}
    print_text(json.dumps(found, indent=1) if as_json else summary(result))
    open_page(result.report, open)


@setting_options("seed")
def demo(
    out: Out = None,
    resume: Annotated[Path | None, typer.Option(help="Resume this demo, with its settings.")] = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
    open: Open = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Compare the strategies on images of solar cells.

    2,624 images from the package elpv-dataset (extra 'demo'); on two CPU cores a first answer after one or two minutes,
    all of it in about 10 minutes.
    """
    from topwork.pipeline import api

    images = None if resume else "elpv"
    result = api.compare(
        images, out=out, resume=resume, overwrite=overwrite, quiet=quiet, source=images, **explicit(options)
    )
    _print_result(result, json, open)
