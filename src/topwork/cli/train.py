"""The commands that train: compare, train, demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypedDict, Unpack

import typer

from topwork.cli.app import (
    AsJson,
    AtOnce,
    BatchSize,
    ClassNames,
    ConfigFile,
    Crop,
    Data,
    Device,
    Devices,
    DryRun,
    Epochs,
    Folds,
    FreezeStages,
    Group,
    ImgSize,
    Label,
    LeaveOut,
    Lr,
    MaxRestarts,
    Minutes,
    Model,
    Nested,
    Out,
    Overwrite,
    Patience,
    Precision,
    Quiet,
    Seed,
    Seeds,
    Sets,
    Source,
    Track,
    Tune,
    WeightDecay,
    Weights,
    Workers,
)
from topwork.cli.shared_options import unpacked
from topwork.compute.ranks import world


class Settings(TypedDict):
    """Settings that have an option."""

    model: Model
    weights: Weights
    epochs: Epochs
    minutes: Minutes
    batch_size: BatchSize
    lr: Lr
    weight_decay: WeightDecay
    img_size: ImgSize
    freeze_stages: FreezeStages
    seed: Seed
    trials: Tune
    device: Device
    workers: Workers
    precision: Precision
    patience: Patience
    source: Source
    group_by: Group
    labels_from_path: Nested
    crop_to_box: Crop
    exclude: LeaveOut
    label_key: Label
    class_names: ClassNames


class Options(Settings):
    """Of all commands that train."""

    out: Out
    overwrite: Overwrite
    config: ConfigFile
    sets: Sets
    log_to: Track
    dry_run: DryRun
    json: AsJson
    quiet: Quiet


@unpacked
def compare(
    data: Data = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    n_seeds: Seeds = None,
    folds: Folds = None,
    learning_curve: Annotated[
        list[str] | None, typer.Option(help="Learning curve over labels also of this strategy; or none.")
    ] = None,
    parallel: AtOnce = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted comparison.")] = False,
    **shared: Unpack[Options],
) -> None:
    """Train all four strategies on one split and put them side by side.

    Example: topwork compare photos/
    """
    flags = _settings(shared, n_seeds=n_seeds, folds=folds, learning_curve=learning_curve)
    if shared["dry_run"]:
        return _dry(data, strategy, shared, flags)
    from topwork.pipeline import api

    result = api.compare(data, strategies=strategy, resume=resume, parallel=parallel, **_handling(shared), **flags)
    _print_result(result, shared["json"])


@unpacked
def train(
    data: Data = None,
    strategy: Annotated[
        str | None, typer.Option(help="scratch, mlp, linear, knn, svm or finetune.  [default: finetune]")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run; everything is taken from it.")] = None,
    devices: Devices = None,
    max_restarts: MaxRestarts = None,
    **shared: Unpack[Options],
) -> None:
    """Train one strategy.

    Example: topwork train photos/ --strategy finetune
    """
    flags = _settings(shared)
    if shared["dry_run"]:
        return _dry(data, [strategy or "finetune"], shared, flags)
    from topwork.pipeline import api

    result = api.train(
        data, strategy, resume=resume, devices=devices, max_restarts=max_restarts, **_handling(shared), **flags
    )
    if world().is_main:
        _print_result(result, shared["json"])


def worker(file: Path) -> None:
    """One of the processes that `train --devices N` and `compare --parallel N` start."""
    from topwork.pipeline.worker import run_worker

    run_worker(file)


def _settings(shared: Options, **own: Any) -> dict[str, Any]:
    """The settings that were given."""
    wishes = {name: value for name, value in shared.items() if name in Settings.__annotations__} | own
    return {name: value for name, value in wishes.items() if value is not None and value is not False}


def _handling(shared: Options) -> dict[str, Any]:
    """What ``workflow`` is told beside settings."""
    lists = {"sets": shared["sets"] or [], "log_to": shared["log_to"] or ()}
    return lists | {name: shared[name] for name in ("out", "overwrite", "config", "quiet")}


def _dry(data: str | None, strategies: list[str] | None, shared: Options, flags: dict[str, Any]) -> None:
    from topwork.core import config as configuration
    from topwork.core.progress import make_progress
    from topwork.pipeline import configure
    from topwork.pipeline.setup import check

    asked = configure.build(data, strategies, shared["config"], shared["sets"] or [], **flags)
    check(asked, make_progress(quiet=True))
    print(configuration.to_toml(asked), end="")


def _print_result(result: Any, as_json: bool) -> None:
    from topwork.pipeline.api import summary

    print(json.dumps({"path": str(result.path), "metrics": result.metrics}, indent=1) if as_json else summary(result))


def demo(
    out: Out = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted demo.")] = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the strategies on photographs of solar cells.

    2,624 photographs from the package elpv-dataset (extra 'demo'); under ten minutes on two CPU cores.
    """
    from topwork.pipeline import api

    result = api.compare("elpv", source="elpv", out=out, seed=seed, resume=resume, overwrite=overwrite, quiet=quiet)
    _print_result(result, json)
