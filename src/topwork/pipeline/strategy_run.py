"""One run: train a strategy, or resume it, and write its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork.backbones.weights import hash_weights
from topwork.compute import devices
from topwork.compute.collectives import broadcast
from topwork.compute.ranks import world
from topwork.core import config, storage
from topwork.core.artifacts import RunInfo, write_history
from topwork.core.errors import TopworkError, UsageError
from topwork.core.strategy_config import StrategySettings
from topwork.pipeline.outputs import write_outputs
from topwork.pipeline.search import random_search
from topwork.strategies import STRATEGIES, load
from topwork.strategies.base import Strategy
from topwork.training.context import RunContext


def run_strategy(
    name: str, context: RunContext, info: RunInfo, settings_from: Path | None = None, feature_seconds: float = 0.0
) -> None:
    """Train one strategy, or resume it, and write its run folder; a finished run is not changed.

    Args:
        name: Of the strategy.
        context: Of the run.
        info: Its ``run.json``, with the strategies and the status of the command.
        settings_from: A finished run whose settings it takes; None resolves, and searches, its own.
        feature_seconds: Time in which another process computed features for it.
    """
    folder, features = context.folder, context.features
    for path in (folder, *filter(Path.is_dir, folder.iterdir())) if folder.is_dir() else ():
        storage.sweep_temporary(path)
    if (folder / "metrics.json").is_file() and (folder / "model").is_dir():
        context.progress.log(f"  {name}: already done")
        broadcast(None)
        return
    _warn_environment_changed(name, context)
    info = replace(info, strategies=(name,), kind="run")
    write_inputs(context, replace(info, status="running"))
    strategy, trains_network = load(name), STRATEGIES[name].trains_network
    settings = _settings(strategy, context, settings_from)
    notes: list[str] = []
    if trains_network and world().size > 1:
        notes = _prepare_devices(name, settings, context)
        broadcast(settings.model_dump(mode="json"))
    feature_seconds -= features.seconds
    devices.reset_peak_memory(context.compute)
    notifier = context.notifier.begin(name, folder, config.read(folder / "config.toml").model_dump(mode="json"))
    trained = strategy.fit(settings, replace(context, on_epoch=notifier.epoch))
    if hash_weights(context.backbone.module) != context.backbone.weights_hash:
        raise TopworkError("The frozen backbone has changed. This is a bug in topwork: please report it.")
    trained = replace(trained, notes=[*trained.notes, *notes])
    if trained.history:
        write_history(folder / "history.jsonl", trained.history)
    write_outputs(strategy, trained, context, feature_seconds + features.seconds)
    if not trains_network:
        broadcast(None)  # the other processes have extracted features until now
    replace(info, status="done").write(folder)
    from topwork.report.render import write_report  # matplotlib is not needed before the end

    write_report(folder)
    notifier.end()


def write_inputs(context: RunContext, info: RunInfo) -> None:
    """Write what is known before the training."""
    folder = context.folder
    info.write(folder)
    context.manifest.write(folder / "manifest.csv")
    context.splits.write(folder / "split.csv")
    storage.write_json(folder / "environment.json", devices.environment(context.compute))


def _warn_environment_changed(name: str, context: RunContext) -> None:
    path = context.folder / "environment.json"
    if not path.is_file() or not (context.folder / "checkpoints").is_dir():
        return
    old, new = {"processes": 1, **storage.read_json(path)}, devices.environment(context.compute)
    changed = [f"{key}: {old.get(key)} -> {new[key]}" for key in new if old.get(key) != new[key]]
    if changed:
        context.progress.log(
            f"  {name}: resuming in a different environment ({'; '.join(changed)}); the last bits may differ from "
            "those of an uninterrupted run."
        )


def _settings(strategy: Strategy, context: RunContext, settings_from: Path | None) -> Any:
    """The resolved settings; a run that was started before has them in its folder."""
    name, path = strategy.name, context.folder / "config.toml"
    if path.is_file():
        return config.read(path).settings[name]
    if settings_from is not None:
        settings = config.read(settings_from / "config.toml").settings[name]
    else:
        explicit = context.config.settings[name]
        settings = strategy.resolve(explicit, context)
        if context.config.trials:
            settings = random_search(strategy, settings, explicit.model_fields_set, context, context.config.trials)
    resolved = StrategySettings.complete({name: settings})
    config.write(context.config.model_copy(update={"strategies": (name,), "settings": resolved}), path)
    return settings


def _prepare_devices(name: str, settings: Any, context: RunContext) -> list[str]:
    """Refuse what several processes cannot do, log how they share a batch; notes for a reader of the metrics."""
    size, compute = world().size, context.compute
    batch = min(settings.batch_size, len(context.splits.ids["train"]))
    if compute.fsdp and (compute.precision == "float16" or settings.compile is True):
        raise UsageError(
            f"{name}: a sharded network trains in float32 or bfloat16 and is not compiled. Leave out --precision "
            "float16 and compile, or give --set compute.fsdp=false."
        )
    if getattr(settings, "freeze_stages", 0):
        raise UsageError("freeze_stages caches what one process computes. Leave it out, or use one device.")
    if batch < size:
        raise UsageError(
            f"{name}: a batch of {settings.batch_size} images cannot be split over {size} devices. Give --batch-size "
            f"{size} or more."
        )
    low, high = batch // size, -(-batch // size)
    share = str(low) if low == high else f"{low} or {high}"
    sharded = ", with sharded weights, gradients and optimizer state (FSDP2)" if compute.fsdp else ""
    context.progress.log(f"  {name}: {batch} images per step, {share} on each of {size} devices{sharded}")
    notes = [f"{name} was trained on {size} devices, each with its share of every batch{sharded}."]
    if settings.batch_norm == "update" and compute.device.type != "cuda":
        notes.append(
            f"{name}: BatchNorm layers normalized with the statistics of each device's share of a batch; their running "
            "statistics are the mean over the devices. On GPUs they use the complete batch (SyncBatchNorm)."
        )
    return notes
