"""What a trained strategy writes to its run folder: the model bundle, predictions and metrics."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from topwork.backbones.classifier import parameter_tensors
from topwork.bundle.format import Bundle, split_tensors, write_bundle
from topwork.bundle.model_card import CardData, write_card
from topwork.bundle.network import forward_milliseconds_per_image
from topwork.compute import devices
from topwork.core import storage
from topwork.core.artifacts import FORMAT, Splits
from topwork.core.predictions import PREDICTIONS, Predictions
from topwork.core.progress import duration, redact
from topwork.core.seeds import derive_seed
from topwork.data.images import PREPROCESSING_VERSION
from topwork.data.split_units import dependent_images
from topwork.evaluation import evaluate, ood, target_metric
from topwork.evaluation.cut_short import Limit, find_cut_short
from topwork.evaluation.decision import fit_decision
from topwork.features import engines
from topwork.features.extract import BATCH
from topwork.pipeline import report_images
from topwork.pipeline.search import search_costs
from topwork.report.shown_images import write_folder_thumbnails, write_nearest
from topwork.strategies import STRATEGIES
from topwork.strategies.base import Strategy, TrainedStrategy
from topwork.strategies.mirroring import mirrored_context
from topwork.strategies.out_of_fold import joined_context
from topwork.training.context import RunContext

SPLITS = ("val", "test")


def evaluate_as_worker(trained: TrainedStrategy, splits: Splits, seed: int) -> None:
    """What the other processes do while rank 0 writes the outputs of a network that all have trained."""
    assert trained.features is not None
    for split in SPLITS:
        trained.scores(split)
    trained.features("train", _neighbour_rows(splits, seed))


def write_outputs(strategy: Strategy, trained: TrainedStrategy, context: RunContext, settings: Any) -> None:
    """Write ``model/``, predictions, ``metrics.json``, which marks a run finished, and thumbnails, in this order.

    Args:
        strategy: The strategy.
        trained: What its training returned.
        context: Of the run.
        settings: Of the strategy, resolved.
    """
    start, folder, splits = time.monotonic(), context.folder, context.splits
    context = mirrored_context(trained.mirrored, context)
    memory = devices.peak_memory(context.compute)
    scores = {split: np.asarray(trained.scores(split), dtype=np.float64) for split in SPLITS}
    neighbours, distances = _neighbours(trained, context)

    def probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
        return strategy.probabilities(scores, trained.tensors, temperature)

    groups = {split: dependent_images(context.manifest.used, splits.ids[split]) for split in SPLITS}
    logits = trained.kind == "logit"
    held_out, labels = trained.held_out(splits)
    decision = fit_decision(
        {"held_out": held_out, "test": scores["test"]}, {"held_out": labels, "test": splits.labels["test"]}, distances,
        probabilities, logits, neighbours.k, groups["test"], trained.folds,
    )  # fmt: skip
    predictions = {
        split: Predictions(
            splits.ids[split], splits.classes, splits.labels[split], scores[split], trained.kind,
            probabilities(scores[split], decision["temperature"]),
            (decision["temperature"], strategy.calibration(trained.tensors)),
        )
        for split in SPLITS
    }  # fmt: skip
    metrics = {split: evaluate(predictions[split], context.seed, groups[split], context.metric) for split in SPLITS}
    _write_bundle(strategy.name, trained, context, decision, neighbours, metrics["test"])
    for split in SPLITS:
        predictions[split].write(folder / PREDICTIONS[split])
    incorrect = np.flatnonzero(predictions["test"].predicted != splits.labels["test"])
    features, ids = _features(trained, context, "test", incorrect), [splits.ids["test"][i] for i in incorrect]
    write_nearest(folder, report_images.similar_training_images(neighbours, features, ids, splits.classes))
    costs = _costs(trained, context) | {f"peak_{name}": size for name, size in memory.items()}
    notes = list(trained.notes)
    if not trained.trains_network:
        notes.append(
            f"{strategy.name}: {parameter_tensors(context.backbone.model)[0]} parameter tensors in the "
            f"pretrained network; with the new head in place of its classifier {costs['all_tensors']}, of which "
            f"{costs['trained_tensors']} are trained. The SHA-256 of the backbone, BatchNorm statistics included, is "
            "the same before and after."
        )
    value: dict[str, Any] = {
        "format": FORMAT,
        "strategy": strategy.name,
        **metrics,
        "decision": decision,
        "costs": {**costs, "evaluation_seconds": time.monotonic() - start},
        "selection": trained.selection,
        "cut_short": _cut_short(strategy, trained, context, getattr(settings, "epochs", None)),
        "deterministic": STRATEGIES[strategy.name].deterministic,
        "notes": notes,
    }
    storage.write_json(folder / "metrics.json", value)
    inputs = report_images.network_inputs(context, settings, trained.trains_network, trained.mirrored)
    write_folder_thumbnails(folder, partial(report_images.load_small, context.manifest), inputs)
    context.progress.log(
        f"  {strategy.name}: done in {duration(trained.seconds)}; test {_describe_test(value, context)}"
    )


def _describe_test(value: dict[str, Any], context: RunContext) -> str:
    """The test accuracy with its interval, and before it the metric that decides if that is another."""
    metric, accuracy = context.metric, value["test"]["accuracy"]
    text = f"accuracy {accuracy['value']:.1%} [{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]"
    found = value["test"].get(target_metric.key(metric)) or {"value": None}
    if metric == "accuracy" or found["value"] is None:
        return text
    return f"{target_metric.NAMES[metric]} {target_metric.describe(metric, found['value'])}, {text}"


def _cut_short(
    strategy: Strategy, trained: TrainedStrategy, context: RunContext, planned: int | None
) -> dict[str, Any] | None:
    """That the training ended early, as JSON; None if it did not."""
    requested = context.config.settings[strategy.name]
    explicit = getattr(requested, "epochs", "auto") != "auto" and "epochs" in requested.model_fields_set
    limit: Limit = "minutes" if getattr(requested, "minutes", None) else "epochs" if explicit else "cpu"
    ordinary = strategy.ordinary_epochs(len(context.splits.ids["train"]))
    found = find_cut_short(trained.history, ordinary, planned or 0, limit)
    return found.to_json() if found else None


def _features(trained: TrainedStrategy, context: RunContext, split: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Features float32 (N, D) of a split, or of some rows of it, by the backbone that the strategy uses."""
    if trained.features is not None:
        return trained.features(split, rows)
    features = context.features.load(split)
    return features if rows is None else features[rows]


def _neighbours(trained: TrainedStrategy, context: RunContext) -> tuple[ood.KNNIndex, dict[str, np.ndarray]]:
    """Training images to compare new ones with, in the feature space of the strategy's own backbone.

    Also distances to them: of the test images, and of the validation images, or of the training images to those of
    other units if the validation images are among them.
    """
    fitted = context if trained.out_of_fold is None else joined_context(context)
    splits = fitted.splits
    rows, ids, labels = _neighbour_rows(splits, context.seed), splits.ids["train"], splits.labels["train"]
    features = ood.l2_normalize(_features(trained, fitted, "train", rows)).astype(np.float16)
    index = ood.KNNIndex(features, labels[rows], tuple(ids[i] for i in rows))
    distances = {"test": index.distances(_features(trained, context, "test"))}
    if trained.out_of_fold is None:
        return index, {**distances, "held_out": index.distances(_features(trained, context, "val"))}
    units = dependent_images(context.manifest.used, index.ids)
    groups = np.arange(len(rows)) if units is None else units
    return index, {**distances, "held_out": index.distances_between_groups(groups)}


def _neighbour_rows(splits: Splits, seed: int) -> np.ndarray:
    return ood.stratified_subset(splits.labels["train"], derive_seed(seed, "neighbours"))


def _write_bundle(
    name: str,
    trained: TrainedStrategy,
    context: RunContext,
    decision: dict[str, Any],
    neighbours: ood.KNNIndex,
    test: dict[str, Any],
) -> None:
    backbone, compute, manifest, splits = context.backbone, context.compute, context.manifest, context.splits
    versions, pretrained = devices.environment(compute), name != "scratch"
    engine = "plain" if trained.trains_network else context.features.engine
    inference = {  # what a prediction needs to give the same bits as the evaluation
        "engine": engine,
        "engine_version": engines.version(engine),
        "precision": compute.precision,
        "device": compute.device.type,
        "threads": compute.threads,
        "batch": BATCH,
        "mirrored": trained.mirrored,
        "torch": versions["torch"],
        "pillow": versions["pillow"],
    }
    data = {
        "name": redact(manifest.name),
        "note": redact(manifest.full_note),
        "images": {split: len(ids) for split, ids in splits.ids.items()},
        "crop_to_box": context.config.data.crop_to_box,
    }
    metadata = {
        "preprocessing_version": PREPROCESSING_VERSION,
        "score_type": trained.kind,
        "decision": decision,
        "weights_license": backbone.license if pretrained else "none",
        "data_license": manifest.license,
        "topwork": versions["topwork"],
        "data": data,
        "inference": inference,
        **({"on_hub": backbone.on_hub} if backbone.on_hub else {}),
        **({"members": backbone.stored_members} if backbone.members else {}),
    }
    tensors = {"backbone": backbone.module.state_dict(), "head": trained.tensors}
    bundle = Bundle(
        name, backbone.model, splits.classes, context.spec, metadata, neighbours=neighbours,
        **(split_tensors(trained.tensors) if trained.trains_network else tensors),
    )  # fmt: skip
    split_sha256 = storage.sha256_file(context.folder / "split.csv")
    hub = context.weights_source.hub if pretrained and context.weights_source else ""
    card = CardData(bundle, test, splits.note, split_sha256, backbone.summary, hub, context.metric)
    write_bundle(context.folder / "model", bundle, write_card(card))


def _costs(trained: TrainedStrategy, context: RunContext) -> dict[str, Any]:
    model, (trained_tensors, trained_parameters) = context.folder / "model", trained.trained
    n_tensors, in_classifier = parameter_tensors(context.backbone.model)
    network = (n_tensors - in_classifier + trained_tensors, context.backbone.parameters + trained_parameters)
    all_tensors, parameters = trained.parameters or network
    once = sum(len(context.splits.ids[split]) for split in ("train", "val")) * (1 + trained.mirrored)
    return {
        "train_seconds": trained.seconds,
        "feature_seconds": context.features.training_seconds(),
        "trained_parameters": trained_parameters,
        "parameters": parameters,
        "trained_tensors": trained_tensors,
        "all_tensors": all_tensors,
        "epochs": len(trained.history) or None,
        "forward_passes": once if trained.passes is None else trained.passes,
        "disk_bytes": sum(file.stat().st_size for file in model.iterdir()),
        "forward_milliseconds_per_image": forward_milliseconds_per_image(model, context.compute),
        **search_costs(context.folder),
    }
