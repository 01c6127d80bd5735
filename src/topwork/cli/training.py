"""The commands that train: compare, train, demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

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
from topwork.world import world


def _flags(**given: Any) -> dict[str, Any]:
    """The settings among the parameters of a command, without those that were not given."""
    return {name: value for name, value in given.items() if value is not None}


def _print_result(result: Any, as_json: bool) -> None:
    from topwork.workflow import summary

    print(json.dumps({"path": str(result.path), "metrics": result.metrics}, indent=1) if as_json else summary(result))


def _dry(
    data: str | None, strategies: list[str] | None, config: Path | None, sets: list[str], flags: dict[str, Any]
) -> None:
    from topwork import config as configuration
    from topwork import options
    from topwork.preparing import check
    from topwork.progress import choose

    asked = options.build(data, strategies, config, sets, **flags)
    check(asked, choose(quiet=True))
    print(configuration.to_toml(asked), end="")


def compare(
    data: Data = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    model: Model = None,
    weights: Weights = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    weight_decay: WeightDecay = None,
    img_size: ImgSize = None,
    freeze_stages: FreezeStages = None,
    seed: Seed = None,
    seeds: Seeds = None,
    folds: Folds = None,
    tune: Tune = None,
    curve: Annotated[
        list[str] | None, typer.Option(help="Learning curve over labels also of this strategy; or none.")
    ] = None,
    device: Device = None,
    devices: AtOnce = None,
    workers: Workers = None,
    precision: Precision = None,
    patience: Patience = None,
    source: Source = None,
    group: Group = None,
    nested: Nested = False,
    crop: Crop = False,
    leave_out: LeaveOut = None,
    label: Label = None,
    class_names: ClassNames = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted comparison.")] = False,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    sets: Sets = None,
    track: Track = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train all four strategies on one split and put them side by side.

    Example: topwork compare photos/
    """
    flags = _flags(
        model=model, weights=weights, epochs=epochs, minutes=minutes, batch_size=batch_size, lr=lr,
        weight_decay=weight_decay, img_size=img_size, freeze_stages=freeze_stages, seed=seed, device=device,
        workers=workers, precision=precision, patience=patience, source=source, group=group, nested=nested or None,
        crop=crop or None, leave_out=leave_out, label=label, class_names=class_names,
        seeds=seeds, folds=folds, tune=tune, curve=curve,
    )  # fmt: skip
    if dry_run:
        return _dry(data, strategy, config, sets or [], flags)
    from topwork import workflow

    result = workflow.compare(
        data, strategies=strategy, out=out, resume=resume, overwrite=overwrite, config=config, sets=sets or [],
        quiet=quiet, track=track or (), devices=devices, **flags,
    )  # fmt: skip
    _print_result(result, json)


def train(
    data: Data = None,
    strategy: Annotated[
        str | None, typer.Option(help="scratch, mlp, linear, knn, svm or finetune.  [default: finetune]")
    ] = None,
    model: Model = None,
    weights: Weights = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    weight_decay: WeightDecay = None,
    img_size: ImgSize = None,
    freeze_stages: FreezeStages = None,
    seed: Seed = None,
    tune: Tune = None,
    device: Device = None,
    devices: Devices = None,
    max_restarts: MaxRestarts = None,
    workers: Workers = None,
    precision: Precision = None,
    patience: Patience = None,
    source: Source = None,
    group: Group = None,
    nested: Nested = False,
    crop: Crop = False,
    leave_out: LeaveOut = None,
    label: Label = None,
    class_names: ClassNames = None,
    out: Out = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run; everything is taken from it.")] = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    sets: Sets = None,
    track: Track = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train one strategy.

    Example: topwork train photos/ --strategy finetune
    """
    flags = _flags(
        model=model, weights=weights, epochs=epochs, minutes=minutes, batch_size=batch_size, lr=lr,
        weight_decay=weight_decay, img_size=img_size, freeze_stages=freeze_stages, seed=seed, device=device,
        workers=workers, precision=precision, patience=patience, source=source, group=group, nested=nested or None,
        crop=crop or None, leave_out=leave_out, label=label, class_names=class_names,
        tune=tune,
    )  # fmt: skip
    if dry_run:
        return _dry(data, [strategy or "finetune"], config, sets or [], flags)
    from topwork import workflow

    result = workflow.train(
        data,
        strategy,
        out=out,
        resume=resume,
        overwrite=overwrite,
        config=config,
        sets=sets or [],
        quiet=quiet,
        track=track or (),
        devices=devices,
        max_restarts=max_restarts,
        **flags,
    )
    if world().main:
        _print_result(result, json)


def worker(payload: str) -> None:
    """One of the processes that `topwork train --devices N` starts."""
    from topwork.workflow import work

    work(payload)


def part(payload: str) -> None:
    """One of the trainings of `topwork compare --devices N`."""
    from topwork.comparing import train_part

    train_part(payload)


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
    from topwork import workflow

    result = workflow.compare(
        "elpv", source="elpv", out=out, seed=seed, resume=resume, overwrite=overwrite, quiet=quiet
    )
    _print_result(result, json)
