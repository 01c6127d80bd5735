"""The stages that need torch: device, backbone, one run after the other. ``job`` calls them in order."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from topwork import backbones, config, devices, folders, storage
from topwork.artifacts import FORMAT, Manifest, Predictions, RunInfo, Split, write_history
from topwork.backbones.weights import digest
from topwork.data import images
from topwork.data.sources import find_source
from topwork.errors import ConfigError, TopworkError
from topwork.evaluation import evaluate
from topwork.features import FeatureStore, engines
from topwork.features.extract import BATCH
from topwork.progress import Progress, duration
from topwork.report.thumbnails import write_thumbnails
from topwork.seeds import derive
from topwork.signals import Signals
from topwork.strategies import load
from topwork.strategies.base import Context, Fitted
from topwork.use.bundle import write_bundle


@dataclass
class Setup:
    """What all runs of a command share."""

    config: config.Config
    manifest: Manifest
    split: Split
    compute: devices.Compute
    backbone: backbones.Backbone
    source: backbones.WeightsSource
    features: FeatureStore
    progress: Progress

    def details(self) -> dict[str, Any]:
        """Facts for ``run.json`` and the report."""
        backbone = self.backbone
        whole, classifier = backbones.parameter_tensors(backbone.model)
        return {
            "backbone": {
                "model": backbone.model,
                "weights": backbone.account,
                "license": backbone.license,
                "parameters": backbone.parameters,
                "features": backbone.features,
                "input": str(backbone.spec),
                "digest": backbone.digest,
                "account": f"{whole} parameter tensors, {classifier} of them in its own classifier",
            },
            "device": {
                "device": self.compute.name,
                "precision": self.compute.precision,
                "threads": self.compute.threads,
            },
        }


def check(asked: config.Config, progress: Progress) -> None:
    """Refuse a backbone that is not there and settings that a strategy does not allow; say where weights come from.

    Raises:
        ConfigError: Naming each setting.
        UnknownName: There is no such model.
        WeightsError: It has no pretrained weights.
        UsageError: The file of weights does not exist.
    """
    name, weights = asked.backbone.model, asked.backbone.weights
    backbones.check_name(name)
    source = backbones.find_weights(name, weights)
    if not source.packaged:  # else it was said before timm was loaded
        progress.say(f"Backbone  {name}; weights: {source.account}")
    faults = []
    for name in asked.strategies:
        try:
            config.validate(load(name).Config, asked.settings.get(name, {}), name)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(" ".join(faults))


def prepare(
    asked: config.Config,
    manifest: Manifest,
    split: Split,
    device: tuple[devices.Compute, config.ComputeConfig],
    progress: Progress,
    signals: Signals,
) -> Setup:
    """Make the backbone, and say what it is.

    Args:
        asked: With its wishes.
        manifest: The images.
        split: Their parts.
        device: What ``devices.resolve`` gave.
        progress: To people.
        signals: From people.
    """
    compute, resolved_compute = device
    wish = asked.backbone
    source = backbones.find_weights(wish.model, wish.weights)
    size = None if wish.img_size == "auto" else wish.img_size
    kept = None if wish.crop_pct == "auto" else wish.crop_pct
    backbone = backbones.create(wish.model, source, size, crop_pct=kept)
    progress.say(
        f"Backbone  {backbone.parameters / 1e6:.1f} M parameters, {backbone.features:,} features; input {backbone.spec}"
    )
    spec = backbone.spec
    data: dict[str, Any] = {"source": find_source(asked.data.source, asked.data.path).name}
    if asked.data.test_fraction == "auto":
        data["test_fraction"] = manifest.test_fraction
    resolved = asked.model_copy(
        update={
            "compute": resolved_compute,
            "backbone": wish.model_copy(update={"img_size": spec.size, "crop_pct": kept or spec.crop_pct}),
            "data": asked.data.model_copy(update=data),
        }
    )
    features = FeatureStore(backbone, manifest, split, compute, folders.cache_folder() / "features", progress, signals)
    return Setup(resolved, manifest, split, compute, backbone, source, features, progress)


def run_strategy(name: str, setup: Setup, folder: Path, info: RunInfo, signals: Signals) -> None:
    """Train one strategy, or go on with it, and write its run folder; a finished one is left alone."""
    if folder.is_dir():
        storage.sweep_temporary(folder)
    if (folder / "metrics.json").is_file() and (folder / "model").is_dir():
        setup.progress.say(f"  {name}: already done")
        return
    _name_changes(name, folder, setup)
    write_inputs(folder, setup, replace(info, strategies=(name,), kind="run", status="running"))
    strategy = load(name)
    context = _context(setup, folder, signals)
    settings = _settings(name, strategy, context, setup, folder)
    before = setup.features.seconds
    fitted = strategy.fit(settings, context)
    _check_frozen(setup)
    if fitted.history:
        write_history(folder / "history.jsonl", fitted.history)
    _write_bundle(name, fitted, setup, folder / "model")
    _write_results(name, fitted, setup, folder, setup.features.seconds - before)
    replace(info, strategies=(name,), kind="run", status="done").write(folder)
    from topwork.report.render import write_report  # matplotlib is not needed before the end

    write_report(folder)


def _name_changes(name: str, folder: Path, setup: Setup) -> None:
    """Say what is not as it was when the run began: the same arithmetic then gives other last bits."""
    path = folder / "environment.json"
    if not path.is_file() or not (folder / "checkpoints").is_dir():
        return
    old, new = storage.read_json(path), devices.environment(setup.compute)
    changed = [f"{key}: {old.get(key)} -> {new[key]}" for key in new if old.get(key) != new[key]]
    if changed:
        setup.progress.say(
            f"  {name}: goes on under other conditions ({'; '.join(changed)}); the last bits may differ from those of "
            "an unbroken run."
        )


def write_inputs(folder: Path, setup: Setup, info: RunInfo) -> None:
    """Write what is known before the training."""
    info.write(folder)
    setup.manifest.write(folder / "manifest.csv")
    setup.split.write(folder / "split.csv")
    storage.write_json(folder / "environment.json", devices.environment(setup.compute))


def _context(setup: Setup, folder: Path, signals: Signals) -> Context:
    size = setup.backbone.spec.size if setup.config.backbone.img_size != "auto" else None

    def new_backbone(pretrained: bool) -> backbones.Backbone:
        seed = derive(setup.config.seed, "backbone")
        return backbones.create(setup.backbone.model, setup.source if pretrained else None, size, seed)

    return Context(
        setup.manifest,
        setup.split,
        setup.backbone,
        new_backbone,
        setup.features,
        setup.compute,
        setup.config.seed,
        folder,
        setup.progress,
        signals,
    )


def _settings(name: str, strategy: Any, context: Context, setup: Setup, folder: Path) -> Any:
    """The settings without ``auto``; those of a run that was begun are taken from its folder, not timed anew."""
    path = folder / "config.toml"
    if path.is_file():
        return config.validate(strategy.Config, config.read(path).settings[name], name)
    asked = config.validate(strategy.Config, setup.config.settings.get(name, {}), name)
    settings = strategy.resolve(asked, context)
    own = {name: settings.model_dump(mode="json", exclude_none=True)}
    config.write(setup.config.model_copy(update={"strategies": (name,), "settings": own}), path)
    return settings


def _check_frozen(setup: Setup) -> None:
    if digest(setup.backbone.module) != setup.backbone.digest:
        raise TopworkError("The frozen backbone has changed. This is a fault in topwork: please report it.")


def _write_bundle(name: str, fitted: Fitted, setup: Setup, folder: Path) -> None:
    tensors = dict(fitted.tensors)
    if not fitted.whole:
        tensors = {f"head.{key}": tensor for key, tensor in tensors.items()}
        tensors |= {f"backbone.{key}": tensor for key, tensor in setup.backbone.module.state_dict().items()}
    details = {
        "pixels": images.POLICY,
        "scores": fitted.kind,
        "weights_license": setup.backbone.license if name != "scratch" else "none",
        "data_license": setup.manifest.license,
        "topwork": devices.environment(setup.compute)["topwork"],
        "data": {"name": setup.manifest.name, "note": setup.manifest.note, "images": _counts(setup.split)},
        "arithmetic": _arithmetic(fitted, setup),
    }
    write_bundle(
        folder,
        tensors,
        strategy=name,
        model=setup.backbone.model,
        classes=setup.split.classes,
        spec=setup.backbone.spec,
        details=details,
    )


def _arithmetic(fitted: Fitted, setup: Setup) -> dict[str, Any]:
    """What a prediction needs to give the same bits as the evaluation."""
    engine = "plain" if fitted.whole else setup.features.engine
    versions = devices.environment(setup.compute)
    return {
        "engine": engine,
        "engine_version": engines.version(engine),
        "precision": setup.compute.precision,
        "device": setup.compute.device.type,
        "threads": setup.compute.threads,
        "batch": BATCH,
        "torch": versions["torch"],
        "pillow": versions["pillow"],
    }


def _counts(split: Split) -> dict[str, int]:
    return {part: len(ids) for part, ids in split.ids.items()}


def _write_results(name: str, fitted: Fitted, setup: Setup, folder: Path, feature_seconds: float) -> None:
    start = time.monotonic()
    figures: dict[str, Any] = {}
    probabilities = load(name).probabilities
    for part in ("val", "test"):
        scores = np.asarray(fitted.scores(part), dtype=np.float64)
        split = setup.split
        predictions = Predictions(
            split.ids[part],
            split.classes,
            split.labels[part],
            scores,
            fitted.kind,
            probabilities(scores, fitted.tensors),
        )
        figures[part] = evaluate(predictions, setup.config.seed)
    predictions.write(folder / "predictions.csv")
    root = setup.manifest.root
    write_thumbnails(folder, lambda image: images.load_image(root / image))
    whole, classifier = backbones.parameter_tensors(setup.backbone.model)
    body = setup.backbone.parameters
    trained_tensors, trained = fitted.trained
    notes = list(fitted.notes)
    if not fitted.whole:
        notes.append(
            f"{name}: {whole} parameter tensors in the pretrained network; with the new head in place of its "
            f"classifier {whole - classifier + trained_tensors}, of which {trained_tensors} train. "
            "The SHA-256 of the backbone, BatchNorm statistics included, is the same before and after."
        )
    value = {
        "format": FORMAT,
        "strategy": name,
        **figures,
        "costs": {
            "train_seconds": fitted.seconds,
            "feature_seconds": feature_seconds,
            "evaluation_seconds": time.monotonic() - start,
            "trained_parameters": trained,
            "parameters": trained if fitted.whole else body + trained,
            "trained_tensors": trained_tensors,
            "all_tensors": trained_tensors if fitted.whole else whole - classifier + trained_tensors,
            "epochs": len(fitted.history) or None,
        },
        "selection": fitted.selection,
        "notes": notes,
    }
    storage.write_json(folder / "metrics.json", value)
    accuracy = figures["test"]["accuracy"]
    setup.progress.say(
        f"  {name}: done in {duration(fitted.seconds)}; accuracy on test {accuracy['value']:.1%} "
        f"[{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]"
    )
