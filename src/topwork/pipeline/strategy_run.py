"""One run: train a strategy, or go on with it, and write its folder. ``job`` calls it for one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork import backbones
from topwork.backbones.weights import hash_weights
from topwork.compute import devices
from topwork.compute.collectives import broadcast
from topwork.compute.ranks import world
from topwork.core import config, storage
from topwork.core.artifacts import RunInfo, write_history
from topwork.core.errors import TopworkError, UsageError
from topwork.core.seeds import derive_seed
from topwork.core.signals import Signals
from topwork.pipeline.learning_curve import learn
from topwork.pipeline.outputs import FinishedTraining, finish
from topwork.pipeline.search import tune
from topwork.pipeline.setup import Setup
from topwork.strategies import STRATEGIES, load
from topwork.strategies.base import Context


def run_strategy(
    name: str, setup: Setup, folder: Path, info: RunInfo, signals: Signals, like: Path | None = None
) -> None:
    """Train one strategy, or go on with it, and write its run folder; a finished one is left alone.

    Args:
        name: Of the strategy.
        setup: What it shares with others.
        folder: The run folder.
        info: Of the comparison.
        signals: From people.
        like: A finished run whose settings it takes; None resolves, and searches, its own.
    """
    for place in (folder, *filter(Path.is_dir, folder.iterdir())) if folder.is_dir() else ():
        storage.sweep_temporary(place)
    if (folder / "metrics.json").is_file() and (folder / "model").is_dir():
        setup.progress.log(f"  {name}: already done")
        broadcast(None)
        return
    _name_changes(name, folder, setup)
    write_inputs(folder, setup, replace(info, strategies=(name,), kind="run", status="running"))
    strategy = load(name)
    context = context_of(setup, folder, signals)
    settings = _settings(name, strategy, context, setup, like)
    if STRATEGIES[name].trains_network:
        broadcast(settings.model_dump(mode="json"))
        _say_batches(name, settings, setup)
    before = setup.features.seconds
    devices.reset_peak_memory(setup.compute)
    told = setup.tracking.begin(name, folder, config.read(folder / "config.toml").model_dump(mode="json"))
    fitted = strategy.fit(settings, replace(context, epoch_done=told.epoch))
    _check_frozen(setup)
    fitted = replace(fitted, notes=[*fitted.notes, *_device_notes(name, settings, setup)])
    if fitted.history:
        write_history(folder / "history.jsonl", fitted.history)
    finish(FinishedTraining(name, fitted, setup, folder, setup.features.seconds - before + setup.paid))
    if not STRATEGIES[name].trains_network:
        broadcast(None)  # the others have helped to extract features until now
    replace(info, strategies=(name,), kind="run", status="done").write(folder)
    from topwork.report.render import write_report  # matplotlib is not needed before the end

    write_report(folder)
    told.end()


def learn_curves(names: Sequence[str], setup: Setup, folder: Path, signals: Signals) -> None:
    """Make the learning curves over labels of strategies of a comparison."""
    for name in names:
        learn(name, context_of(setup, folder / name, signals), folder / name, folder)


def _name_changes(name: str, folder: Path, setup: Setup) -> None:
    """Say what is not as it was when the run began: the same arithmetic then gives other last bits."""
    path = folder / "environment.json"
    if not path.is_file() or not (folder / "checkpoints").is_dir():
        return
    old, new = {"processes": 1, **storage.read_json(path)}, devices.environment(setup.compute)
    changed = [f"{key}: {old.get(key)} -> {new[key]}" for key in new if old.get(key) != new[key]]
    if changed:
        setup.progress.log(
            f"  {name}: goes on under other conditions ({'; '.join(changed)}); the last bits may differ from those of "
            "an unbroken run."
        )


def write_inputs(folder: Path, setup: Setup, info: RunInfo) -> None:
    """Write what is known before the training."""
    info.write(folder)
    setup.manifest.write(folder / "manifest.csv")
    setup.splits.write(folder / "split.csv")
    storage.write_json(folder / "environment.json", devices.environment(setup.compute))


def context_of(setup: Setup, folder: Path, signals: Signals) -> Context:
    """The surroundings of one run."""
    model, spec = setup.backbone.model, setup.backbone.spec

    def new_backbone(pretrained: bool) -> backbones.Backbone:
        seed = derive_seed(setup.config.seed, "backbone")
        return backbones.create(model, setup.source if pretrained else None, spec.size, seed, spec.crop_pct)

    return Context(
        setup.manifest,
        setup.splits,
        setup.backbone,
        new_backbone,
        setup.features,
        setup.compute,
        setup.config.seed,
        folder,
        setup.progress,
        signals,
    )


def _settings(name: str, strategy: Any, context: Context, setup: Setup, like: Path | None) -> Any:
    """The settings without ``auto``; those of a run that was begun are taken from its folder, not timed anew."""
    path = context.folder / "config.toml"
    if path.is_file():
        return config.validate(strategy.Config, config.read(path).settings[name], name)
    if like is not None:
        settings = config.validate(strategy.Config, config.read(like / "config.toml").settings[name], name)
    else:
        given = setup.config.settings.get(name, {})
        settings = strategy.resolve(config.validate(strategy.Config, given, name), context)
        _check_devices(name, settings, context)
        if setup.config.trials:
            settings = tune(strategy, settings, set(given), context, setup.config.trials)
    own = {name: settings.model_dump(mode="json", exclude_none=True)}
    config.write(setup.config.model_copy(update={"strategies": (name,), "settings": own}), path)
    return settings


def _check_devices(name: str, settings: Any, context: Context) -> None:
    """Refuse what several processes cannot do."""
    size, compute = world().size, context.compute
    if size == 1 or not STRATEGIES[name].trains_network:
        return
    if compute.fsdp and (compute.precision == "float16" or settings.compile is True):
        raise UsageError(
            f"{name}: a network that is cut over devices trains in float32 or bfloat16 and not compiled. Leave out "
            "--precision float16 and compile, or give --set compute.fsdp=false."
        )
    if getattr(settings, "freeze_stages", 0):
        raise UsageError("freeze_stages keeps what one process computes. Leave it out, or use one device.")
    if min(settings.batch_size, len(context.splits.ids["train"])) < size:
        raise UsageError(
            f"{name}: a batch of {settings.batch_size} images cannot be cut over {size} devices. Give --batch-size "
            f"{size} or more."
        )


def _say_batches(name: str, settings: Any, setup: Setup) -> None:
    place, batch = world(), min(settings.batch_size, len(setup.splits.ids["train"]))
    if place.size > 1:
        least, most = batch // place.size, -(-batch // place.size)
        each = str(least) if least == most else f"{least} or {most}"
        cut = "; weights, gradients and optimizer are cut over them" if setup.compute.fsdp else ""
        setup.progress.log(f"  {name}: {batch} images a step, {each} on each of {place.size} devices{cut}")


def _device_notes(name: str, settings: Any, setup: Setup) -> list[str]:
    """What a reader of the figures should know about a training on several devices."""
    size = world().size
    if size == 1 or not STRATEGIES[name].trains_network:
        return []
    cut = " and of weights, gradients and optimizer (FSDP2)" if setup.compute.fsdp else ""
    notes = [f"{name} was trained on {size} devices, each with its share of every batch{cut}."]
    if settings.batch_norm == "update" and setup.compute.device.type != "cuda":
        notes.append(
            f"{name}: BatchNorm layers normalise each device's share of a batch by itself; their running statistics "
            "are the mean over the devices. On GPUs the whole batch counts (SyncBatchNorm)."
        )
    return notes


def _check_frozen(setup: Setup) -> None:
    if hash_weights(setup.backbone.module) != setup.backbone.weights_hash:
        raise TopworkError("The frozen backbone has changed. This is a fault in topwork: please report it.")
