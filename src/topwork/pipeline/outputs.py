"""What a trained strategy leaves in its run folder: the decision that val fits, the bundle, predictions and metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from topwork.backbones import build
from topwork.bundle.format import Bundle, split_tensors, write_bundle
from topwork.bundle.model_card import CardData, write_card
from topwork.bundle.network import milliseconds_per_image
from topwork.compute import devices
from topwork.core import storage
from topwork.core.artifacts import FORMAT, Predictions, Splits
from topwork.core.progress import duration
from topwork.core.seeds import derive_seed
from topwork.data import images
from topwork.evaluation import evaluate, ood
from topwork.evaluation.decision import fit_decision
from topwork.features import engines
from topwork.features.extract import BATCH
from topwork.pipeline.search import search_summary
from topwork.report.thumbnails import write_thumbnails
from topwork.strategies import load
from topwork.strategies.base import TrainedStrategy, calibrated
from topwork.training.context import RunContext

SPLITS = ("val", "test")


@dataclass(frozen=True)
class FinishedTraining:
    """A trained strategy and where it belongs.

    Attributes:
        name: Of the strategy.
        trained: What it gave back.
        context: Of the run.
        feature_seconds: Spent in computing features for it.
    """

    name: str
    trained: TrainedStrategy
    context: RunContext
    feature_seconds: float

    def features(self, split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Features float32 (N, D) of a part by the backbone that the strategy uses, or of some rows of it."""
        if self.trained.features is not None:
            return self.trained.features(split, rows)
        features = self.context.features.load(split)
        return features if rows is None else features[rows]

    def probabilities(self, scores: np.ndarray, temperature: float) -> np.ndarray:
        """Of scores float64 (N, K)."""
        return calibrated(load(self.name), scores, self.trained.tensors, temperature)


def evaluate_as_worker(trained: TrainedStrategy, splits: Splits, seed: int) -> None:
    """What another process than rank 0 does while that finishes a network that all have trained."""
    assert trained.features is not None
    for split in SPLITS:
        trained.scores(split)
    trained.features("train", _neighbour_rows(splits, seed))


def write_outputs(run: FinishedTraining) -> None:
    """Write ``model/``, ``predictions.csv``, thumbnails and ``metrics.json``, in this order: the last says 'done'."""
    start, context, trained = time.monotonic(), run.context, run.trained
    memory = devices.peak_memory(context.compute)
    scores = {split: np.asarray(trained.scores(split), dtype=np.float64) for split in SPLITS}
    neighbours = _neighbours(run)
    distances = {split: neighbours.distances(run.features(split)) for split in SPLITS}
    logits = trained.kind == "logit"
    decision = fit_decision(scores, context.splits.labels, distances, run.probabilities, logits, neighbours.k)
    predictions_of = {split: _predictions(run, split, scores[split], decision["temperature"]) for split in SPLITS}
    metrics = {split: evaluate(predictions, context.seed) for split, predictions in predictions_of.items()}
    _write_bundle(run, decision, neighbours, metrics["test"])
    predictions_of["test"].write(run.context.folder / "predictions.csv")
    refs = context.manifest.refs
    write_thumbnails(run.context.folder, lambda image: images.load_image(refs[image]))
    value: dict[str, Any] = {
        "format": FORMAT,
        "strategy": run.name,
        **metrics,
        "decision": decision,
        "costs": _costs(run) | _search_costs(run) | {f"peak_{name}": size for name, size in memory.items()},
        "selection": trained.selection,
        "notes": _notes(run),
    }
    value["costs"]["evaluation_seconds"] = time.monotonic() - start
    storage.write_json(run.context.folder / "metrics.json", value)
    accuracy = value["test"]["accuracy"]
    context.progress.log(
        f"  {run.name}: done in {duration(trained.seconds)}; accuracy on test {accuracy['value']:.1%} "
        f"[{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]"
    )


def _predictions(run: FinishedTraining, split: str, scores: np.ndarray, temperature: float) -> Predictions:
    splits = run.context.splits
    sure = run.probabilities(scores, temperature)
    return Predictions(splits.ids[split], splits.classes, splits.labels[split], scores, run.trained.kind, sure)


def _neighbours(run: FinishedTraining) -> ood.KNNIndex:
    """Training images to compare new ones with, in the feature space of the strategy's own backbone."""
    splits = run.context.splits
    rows = _neighbour_rows(splits, run.context.seed)
    features = ood.l2_normalize(run.features("train", rows)).astype(np.float16)
    return ood.KNNIndex(features, splits.labels["train"][rows], tuple(splits.ids["train"][i] for i in rows))


def _neighbour_rows(splits: Splits, seed: int) -> np.ndarray:
    return ood.stratified_subset(splits.labels["train"], derive_seed(seed, "neighbours"))


def _write_bundle(
    run: FinishedTraining, decision: dict[str, Any], neighbours: ood.KNNIndex, test: dict[str, Any]
) -> None:
    trained, context = run.trained, run.context
    metadata = {
        "preprocessing_version": images.PREPROCESSING_VERSION,
        "score_type": trained.kind,
        "decision": decision,
        "weights_license": context.backbone.license if run.name != "scratch" else "none",
        "data_license": context.manifest.license,
        "topwork": devices.environment(context.compute)["topwork"],
        "data": {"name": context.manifest.name, "note": context.manifest.note, "images": _counts(context.splits)},
        "inference": _inference(trained, context),
    }
    tensors = {"backbone": context.backbone.module.state_dict(), "head": trained.tensors}
    bundle = Bundle(
        run.name, context.backbone.model, context.splits.classes, context.spec, metadata, neighbours=neighbours,
        **(split_tensors(trained.tensors) if trained.trains_network else tensors),
    )  # fmt: skip
    hub = context.weights_source.hub if run.name != "scratch" else ""
    split_sha256 = storage.sha256_file(run.context.folder / "split.csv")
    card = CardData(bundle, test, context.splits.note, split_sha256, context.backbone.summary, hub)
    write_bundle(run.context.folder / "model", bundle, write_card(card))


def _inference(trained: TrainedStrategy, context: RunContext) -> dict[str, Any]:
    """What a prediction needs to give the same bits as the evaluation."""
    engine = "plain" if trained.trains_network else context.features.engine
    versions = devices.environment(context.compute)
    return {
        "engine": engine,
        "engine_version": engines.version(engine),
        "precision": context.compute.precision,
        "device": context.compute.device.type,
        "threads": context.compute.threads,
        "batch": BATCH,
        "torch": versions["torch"],
        "pillow": versions["pillow"],
    }


def _counts(splits: Splits) -> dict[str, int]:
    return {split: len(ids) for split, ids in splits.ids.items()}


def _costs(run: FinishedTraining) -> dict[str, Any]:
    trained, context, model = run.trained, run.context, run.context.folder / "model"
    n_tensors, in_classifier = build.parameter_tensors(context.backbone.model)
    trained_tensors, trained_parameters = trained.trained
    network = (n_tensors - in_classifier + trained_tensors, context.backbone.parameters + trained_parameters)
    all_tensors, parameters = trained.parameters or network
    once = sum(len(context.splits.ids[split]) for split in ("train", "val"))
    return {
        "train_seconds": trained.seconds,
        "feature_seconds": run.feature_seconds,
        "trained_parameters": trained_parameters,
        "parameters": parameters,
        "trained_tensors": trained_tensors,
        "all_tensors": all_tensors,
        "epochs": len(trained.history) or None,
        "forward_passes": once if trained.passes is None else trained.passes,
        "disk_bytes": sum(file.stat().st_size for file in model.iterdir()),
        "milliseconds_per_image": milliseconds_per_image(model, context.compute),
    }


def _search_costs(run: FinishedTraining) -> dict[str, Any]:
    summary = search_summary(run.context.folder)
    return {"tune_trials": summary["trials"], "tune_seconds": summary["seconds"]} if summary else {}


def _notes(run: FinishedTraining) -> list[str]:
    trained = run.trained
    if trained.trains_network:
        return list(trained.notes)
    n_tensors, in_classifier = build.parameter_tensors(run.context.backbone.model)
    trained_tensors = trained.trained[0]
    return [
        *trained.notes,
        f"{run.name}: {n_tensors} parameter tensors in the pretrained network; with the new head in place of its "
        f"classifier {n_tensors - in_classifier + trained_tensors}, of which {trained_tensors} are trained. "
        "The SHA-256 of the backbone, BatchNorm statistics included, is the same before and after.",
    ]
