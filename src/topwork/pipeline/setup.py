"""The context that all trainings of a command share: device, backbone, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from topwork.backbones import build
from topwork.backbones.architecture import find_architecture
from topwork.backbones.classifier import parameter_tensors
from topwork.backbones.weights import find_weights
from topwork.compute import collectives, devices
from topwork.compute.ranks import world
from topwork.core import run_folders
from topwork.core.artifacts import Manifest, Splits
from topwork.core.config import ComputeConfig, Config
from topwork.core.names import model_of, split_models, split_weights
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.evaluation import target_metric
from topwork.features import FeatureStore
from topwork.strategies import need_pretrained
from topwork.training.callbacks import Notifier
from topwork.training.context import RunContext

BYTES_PER_PARAMETER = 28  # float32: parameter, gradient, two moments, average; two copies at the end of an epoch
MAX_MEMORY_SHARE = 0.8  # of a GPU; activations need the rest


def make_context(
    config: Config,
    manifest: Manifest,
    splits: Splits,
    device: tuple[devices.DeviceContext, ComputeConfig],
    folder: Path,
    progress: Progress,
    signals: Signals,
    notifier: Notifier,
) -> RunContext:
    """Create the backbone, log its size, and resolve every ``auto`` outside of the settings of strategies.

    Args:
        config: As requested.
        manifest, splits: The images.
        device: From ``devices.resolve``.
        folder: Of the run or comparison.
        progress, signals, notifier: See ``RunContext``.
    """
    requested = config.backbone
    source = find_weights(requested.model, requested.weights) if need_pretrained(config.strategies) else None
    size = None if requested.img_size == "auto" else requested.img_size
    crop_pct = None if requested.crop_pct == "auto" else requested.crop_pct
    backbone = build.create(requested.model, source, size, crop_pct=crop_pct)
    backbone = backbone.with_input(replace(backbone.spec, pixel_rules=manifest.pixel_rules))
    compute, spec = _decide_sharding(device[0], device[1].fsdp, backbone.parameters), backbone.spec
    if backbone.note:
        progress.log(f"Backbone  weights fitted: {backbone.note}")
    progress.log(
        f"Backbone  {backbone.model}: {backbone.parameters / 1e6:.1f} M parameters, {backbone.feature_dim:,} features; "
        f"input {spec}"
    )
    data: dict[str, str | float] = {"source": manifest.source, **asdict(manifest.pixel_rules)}
    if config.data.test_fraction == "auto":
        data["test_fraction"] = manifest.test_fraction
    resolved = config.model_copy(
        update={
            "metric": target_metric.resolve(config.metric),
            "compute": device[1].model_copy(update={"fsdp": compute.fsdp}),
            "backbone": requested.model_copy(update={"img_size": spec.size, "crop_pct": crop_pct or spec.crop_pct}),
            "data": config.data.model_copy(update=data),
        }
    )
    cache = run_folders.cache_folder() / "features"
    features = FeatureStore(backbone, manifest, splits, compute, cache, progress, signals)
    return RunContext(
        resolved, manifest, splits, compute, backbone, source, features, folder, progress, signals, notifier
    )


def with_model(config: Config, model: str) -> Config:
    """The configuration of the trainings on one of several backbones."""
    backbone = config.backbone.model_copy(update={"model": model})
    return config.model_copy(update={"models": (), "backbone": backbone})


def make_contexts(config: Config, *rest: Any) -> dict[str, RunContext]:
    """The context of each training by its name; trainings on one backbone share theirs.

    Args:
        config, rest: See ``make_context``.
    """
    one, made = config.backbone.model, dict[str, RunContext]()
    for name in config.strategies:
        model = model_of(name, config.models, one)
        made[name] = next((c for c in made.values() if c.backbone.model == model), None) or make_context(
            with_model(config, model), *rest
        )
    return made


def repeat_contexts(context: RunContext, folds: Sequence[Splits]) -> dict[str, RunContext]:
    """The contexts of a comparison by repeat: the other folds, or the other seeds; the first has an empty name.

    Args:
        context: Of the first.
        folds: The splits of each fold, the first included; one without cross-validation.
    """
    config, cache, contexts = context.config, run_folders.cache_folder() / "features", {"": context}
    for number, splits in enumerate(folds[1:], 2):
        features = FeatureStore(
            context.backbone, context.manifest, splits, context.compute, cache, context.progress, context.signals
        )
        contexts[f"fold-{number}"] = replace(context, splits=splits, features=features)
    for seed in range(config.seed + 1, config.seed + config.n_seeds):
        contexts[f"seed-{seed}"] = replace(context, config=config.model_copy(update={"seed": seed}))
    return contexts


def _decide_sharding(
    compute: devices.DeviceContext, shard: bool | Literal["auto"], parameters: int
) -> devices.DeviceContext:
    """Decide whether trained networks are sharded over the devices; all processes must call it."""
    if shard == "auto":
        memory, needed = devices.total_memory(compute), parameters * BYTES_PER_PARAMETER
        shard = bool(collectives.all_reduce_max(int(memory is not None and needed > memory * MAX_MEMORY_SHARE)))
    return replace(compute, fsdp=shard and world().size > 1)


def describe_backbone(context: RunContext) -> dict[str, Any]:
    """Facts about a backbone, for ``run.json`` and the report."""
    backbone = context.backbone
    tensors, in_classifier = parameter_tensors(backbone.model)
    return {
        "model": backbone.model,
        "weights": backbone.summary,
        "license": backbone.license,
        "parameters": backbone.parameters,
        "features": backbone.feature_dim,
        "input": str(backbone.spec),
        "digest": backbone.weights_hash,
        "summary": f"{tensors} parameter tensors, {in_classifier} of them in its own classifier",
    }


def run_details(contexts: Mapping[str, RunContext]) -> dict[str, Any]:
    """Facts about backbones and device, for ``run.json`` and the report.

    Args:
        contexts: From ``make_contexts``.
    """
    compute = next(iter(contexts.values())).compute
    backbones = [describe_backbone(one) for one in {c.backbone.model: c for c in contexts.values()}.values()]
    return {
        "backbone": backbones[0],
        **({"backbones": backbones} if len(backbones) > 1 else {}),
        "device": {"device": compute.name, "precision": compute.precision, "threads": compute.threads},
    }


def check(config: Config, progress: Progress) -> None:
    """Check that the backbone and the weights it starts from are available; log where the weights come from.

    Raises:
        UnknownName: There is no such model.
        WeightsError: It has no pretrained weights.
        UsageError: The file of weights does not exist.
    """
    needed, found = need_pretrained(config.strategies), dict[str, str]()
    for model in config.models or (config.backbone.model,):
        models = split_models(model)
        found |= zip(models, split_weights(config.backbone.weights, models), strict=True)
    for name, weights in found.items():
        find_architecture(name)
        summary = find_weights(name, weights).summary if needed else "random"
        progress.log(f"Backbone  {name}; weights: {summary}")
