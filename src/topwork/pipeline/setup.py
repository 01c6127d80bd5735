"""What all runs of a command share: device, backbone, features. Needs torch; ``job`` calls it when torch is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from topwork import backbones
from topwork.compute import collectives, devices
from topwork.compute.ranks import world
from topwork.core import config, run_folders
from topwork.core.artifacts import Manifest, Splits
from topwork.core.errors import ConfigError
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data.sources import find_source
from topwork.features import FeatureStore
from topwork.strategies import load
from topwork.training.callbacks import Notifier

TRAINED_BYTES = 20  # of a parameter: itself, gradient, two moments, average, each float32
FULL = 0.8  # of a GPU's memory; activations take the rest


@dataclass
class Setup:
    """What all runs of a command share."""

    config: config.Config
    manifest: Manifest
    splits: Splits
    compute: devices.DeviceContext
    backbone: backbones.Backbone
    source: backbones.WeightsSource
    features: FeatureStore
    progress: Progress
    tracking: Notifier = field(default_factory=Notifier)
    paid: float = 0.0  # seconds in which another process computed features for it

    def details(self) -> dict[str, Any]:
        """Facts for ``run.json`` and the report."""
        backbone = self.backbone
        whole, classifier = backbones.parameter_tensors(backbone.model)
        return {
            "backbone": {
                "model": backbone.model,
                "weights": backbone.summary,
                "license": backbone.license,
                "parameters": backbone.parameters,
                "features": backbone.feature_dim,
                "input": str(backbone.spec),
                "digest": backbone.weights_hash,
                "account": f"{whole} parameter tensors, {classifier} of them in its own classifier",
            },
            "device": {
                "device": self.compute.name,
                "precision": self.compute.precision,
                "threads": self.compute.threads,
            },
        }


def repeats(setup: Setup, folds: Sequence[Splits], signals: Signals) -> Iterator[tuple[str, Setup]]:
    """What further trainings of the same strategies get, each with a name: further folds, or further seeds.

    Args:
        setup: Of the first.
        splits: All folds, the first included; empty without folds.
        signals: From people.
    """
    asked = setup.config
    for number, splits in enumerate(folds[1:], 2):
        store = FeatureStore(
            setup.backbone, setup.manifest, splits, setup.compute, run_folders.cache_folder() / "features",
            setup.progress, signals,
        )  # fmt: skip
        yield f"fold-{number}", replace(setup, splits=splits, features=store)
    for seed in range(asked.seed + 1, asked.seed + asked.n_seeds):
        yield f"seed-{seed}", replace(setup, config=asked.model_copy(update={"seed": seed}))


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
        progress.log(f"Backbone  {name}; weights: {source.summary}")
    faults = []
    for name in asked.strategies:
        try:
            config.validate(load(name).Config, asked.settings.get(name, {}), name)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(" ".join(faults))


def _sharded(
    device: tuple[devices.DeviceContext, config.ComputeConfig], parameters: int
) -> tuple[devices.DeviceContext, config.ComputeConfig]:
    """Decide whether networks that are trained whole are cut over the devices; all processes must call it."""
    compute, resolved = device
    shard = resolved.fsdp
    if shard == "auto":
        room = devices.total_memory(compute)
        shard = bool(collectives.all_reduce_max(int(room is not None and parameters * TRAINED_BYTES > room * FULL)))
    shard &= world().size > 1
    return replace(compute, fsdp=shard), resolved.model_copy(update={"fsdp": shard})


def prepare(
    asked: config.Config,
    manifest: Manifest,
    splits: Splits,
    device: tuple[devices.DeviceContext, config.ComputeConfig],
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
    wish = asked.backbone
    source = backbones.find_weights(wish.model, wish.weights)
    size = None if wish.img_size == "auto" else wish.img_size
    kept = None if wish.crop_pct == "auto" else wish.crop_pct
    backbone = backbones.create(wish.model, source, size, crop_pct=kept)
    compute, resolved_compute = _sharded(device, backbone.parameters)
    progress.log(
        f"Backbone  {backbone.parameters / 1e6:.1f} M parameters, {backbone.feature_dim:,} features; "
        f"input {backbone.spec}"
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
    features = FeatureStore(
        backbone, manifest, splits, compute, run_folders.cache_folder() / "features", progress, signals
    )
    return Setup(resolved, manifest, splits, compute, backbone, source, features, progress)
