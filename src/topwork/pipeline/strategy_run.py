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
from topwork.core.artifacts import RunInfo, read_history, read_run_info, write_history
from topwork.core.base_config import BaseConfig
from topwork.core.config import Config
from topwork.core.errors import TopworkError, UsageError
from topwork.core.strategy_config import StrategySettings
from topwork.pipeline.outputs import write_outputs
from topwork.pipeline.search import random_search
from topwork.strategies import STRATEGIES, load
from topwork.strategies.base import Strategy
from topwork.training.context import RunContext


def check_settings(name: str, context: RunContext) -> None:
    """Refuse settings of a strategy that this network, these images or these devices do not allow; times nothing."""
    explicit = context.config.settings[name]
    fields: dict[str, Any] = {"epochs": 1, "minutes": None}
    if not STRATEGIES[name].trains_network:
        fields["tta"] = False
    untimed = {field: value for field, value in fields.items() if field in type(explicit).model_fields}
    load(name).resolve(explicit.model_copy(update=untimed), context)
    if STRATEGIES[name].trains_network and world().size > 1:
        _check_devices(name, explicit, context)


def run_strategy(
    name: str,
    context: RunContext,
    info: RunInfo,
    settings_from: Path | None = None,
    epochs: int | None = None,
) -> None:
    """Train one strategy, or resume it, and write its run folder; a finished run is not changed.

    Its ``run.json`` says that it is done when all else is written.

    Args:
        name: Of the strategy.
        context: Of the run.
        info: Its ``run.json``, with the strategies and the status of the command.
        settings_from: A finished run whose settings it takes; None resolves, and searches, its own.
        epochs: To train it for, finished or not; None: as it was planned.
    """
    folder = context.folder
    for path in (folder, *filter(Path.is_dir, folder.iterdir())) if folder.is_dir() else ():
        storage.sweep_temporary(path)
    if not epochs and _is_done(folder):
        context.progress.log(f"  {name}: already done{_describe_patience(name, folder)}")
        _write_data_path(context, info)
        broadcast(None)
        return
    _warn_environment_changed(name, context)
    info = replace(info, strategies=(name,), kind="run")
    if epochs:  # first: with the old run.json and more epochs, the same command continues
        planned = config.read(folder / "config.toml")
        _write_config(planned, name, planned.settings[name].model_copy(update={"epochs": epochs}), folder)
    write_inputs(context, replace(info, status="running"))
    strategy, trains_network = load(name), STRATEGIES[name].trains_network
    settings = _settings(strategy, context, settings_from)
    notes: list[str] = []
    if trains_network and world().size > 1:
        notes = _describe_devices(name, settings, context)
        broadcast(settings.model_dump(mode="json"))
    context.features.views.clear()
    devices.reset_peak_memory(context.compute)
    notifier = context.notifier.begin(name, folder, config.read(folder / "config.toml").model_dump(mode="json"))
    trained = strategy.fit(settings, replace(context, on_epoch=notifier.epoch))
    if context.weights_source and hash_weights(context.backbone.module) != context.backbone.weights_hash:
        raise TopworkError("The frozen backbone has changed. This is a bug in topwork: please report it.")
    trained = replace(trained, notes=[*trained.notes, *notes])
    if getattr(settings, "tta", None) == "auto":  # of a trained network, which decides at its end
        settings = settings.model_copy(update={"tta": trained.mirrored})
        _write_config(config.read(folder / "config.toml"), name, settings, folder)
    (folder / "metrics.json").unlink(missing_ok=True)  # of fewer epochs
    if trained.history:
        write_history(folder / "history.jsonl", trained.history)
    write_outputs(strategy, trained, context, settings)
    if not trains_network:
        broadcast(None)  # the other processes have extracted features until now
    from topwork.report.render import write_report  # matplotlib is not needed before the end

    write_report(folder, "done")
    notifier.end()
    replace(info, status="done").write(folder)


def _is_done(folder: Path) -> bool:
    files = [folder / name for name in ("run.json", "metrics.json", "model")]
    return all(file.exists() for file in files) and read_run_info(folder).status == "done"


def _describe_patience(name: str, folder: Path) -> str:
    """What a user who waits for more epochs should know of a run that is done."""
    settings, trained = config.read(folder / "config.toml").settings[name], len(read_history(folder / "history.jsonl"))
    epochs = getattr(settings, "epochs", trained)
    return "" if trained == epochs else f" (patience ran out after epoch {trained} of {epochs}; more --epochs continue)"


def _write_data_path(context: RunContext, info: RunInfo) -> None:
    """Let a run that is done find its images if they have moved."""
    path, data = context.folder / "config.toml", context.config.data
    resolved, old = config.read(path), read_run_info(context.folder)
    if resolved.data.path != data.path:
        config.write(resolved.model_copy(update={"data": data}), path)
        replace(old, details={**old.details, "config": info.details["config"]}).write(context.folder)


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
        settings = config.read(path).settings[name]
    elif settings_from is not None:
        settings = config.read(settings_from / "config.toml").settings[name]
    else:
        explicit = context.config.settings[name]
        settings = strategy.resolve(explicit, context)
        if context.config.trials:
            settings = random_search(strategy, settings, explicit.model_fields_set, context, context.config.trials)
    _write_config(context.config, name, settings, context.folder)
    return settings


def _write_config(resolved: Config, name: str, settings: BaseConfig, folder: Path) -> None:
    changes = {"strategies": (name,), "settings": StrategySettings.complete({name: settings})}
    config.write(resolved.model_copy(update=changes), folder / "config.toml")


def _check_devices(name: str, settings: Any, context: RunContext) -> None:
    """Refuse what several processes cannot do."""
    size, compute = world().size, context.compute
    if compute.fsdp and (compute.precision == "float16" or settings.compile is True):
        raise UsageError(
            f"{name}: a sharded network trains in float32 or bfloat16 and is not compiled. Leave out --precision "
            "float16 and compile, or give --set compute.fsdp=false."
        )
    if compute.fsdp and compute.device.type != "cpu" and settings.minutes:
        raise UsageError("minutes are timed on one device, which cannot hold this network. Use --epochs instead.")
    if getattr(settings, "freeze_stages", 0):
        raise UsageError("freeze_stages caches what one process computes. Leave it out, or use one device.")
    if min(settings.batch_size, len(context.splits.ids["train"])) < size:
        raise UsageError(
            f"{name}: a batch of {settings.batch_size} images cannot be split over {size} devices. Give --batch-size "
            f"{size} or more."
        )


def _describe_devices(name: str, settings: Any, context: RunContext) -> list[str]:
    """Log how several processes share a batch; notes for a reader of the metrics."""
    size, compute = world().size, context.compute
    batch = min(settings.batch_size, len(context.splits.ids["train"]))
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
