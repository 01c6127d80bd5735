"""What a trained strategy leaves in its run folder: the decision that val fits, the bundle, predictions and figures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topwork import backbones
from topwork.bundle.format import Bundle, split_tensors, write_bundle
from topwork.bundle.model_card import CardData, write_card
from topwork.bundle.timing import milliseconds_per_image
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
from topwork.pipeline.search import tuned
from topwork.pipeline.setup import Setup
from topwork.report.thumbnails import write_thumbnails
from topwork.strategies import load
from topwork.strategies.base import TrainedStrategy, calibrated

SPLITS = ("val", "test")


@dataclass(frozen=True)
class FinishedTraining:
    """A trained strategy and where it belongs.

    Attributes:
        name: Of the strategy.
        fitted: What it gave back.
        setup: What all runs share.
        folder: The run folder.
        feature_seconds: Spent in computing features for it.
    """

    name: str
    fitted: TrainedStrategy
    setup: Setup
    folder: Path
    feature_seconds: float

    def features(self, split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Features float32 (N, D) of a part by the backbone that the strategy uses, or of some rows of it."""
        if self.fitted.features is not None:
            return self.fitted.features(split, rows)
        features = self.setup.features.load(split)
        return features if rows is None else features[rows]

    def probabilities(self, scores: np.ndarray, temperature: float) -> np.ndarray:
        """Of scores float64 (N, K)."""
        return calibrated(load(self.name), scores, self.fitted.tensors, temperature)


def take_part(fitted: TrainedStrategy, splits: Splits, seed: int) -> None:
    """What another process than rank 0 does while that finishes a network that all have trained."""
    assert fitted.features is not None
    for split in SPLITS:
        fitted.scores(split)
    fitted.features("train", _neighbour_rows(splits, seed))


def finish(run: FinishedTraining) -> None:
    """Write ``model/``, ``predictions.csv``, thumbnails and ``metrics.json``, in this order: the last says 'done'."""
    start, setup, fitted = time.monotonic(), run.setup, run.fitted
    memory = devices.peak_memory(setup.compute)
    scores = {split: np.asarray(fitted.scores(split), dtype=np.float64) for split in SPLITS}
    neighbours = _neighbours(run)
    distances = {split: neighbours.distances(run.features(split)) for split in SPLITS}
    logits = fitted.kind == "logit"
    decision = fit_decision(scores, setup.splits.labels, distances, run.probabilities, logits, neighbours.k)
    said = {split: _predictions(run, split, scores[split], decision["temperature"]) for split in SPLITS}
    figures = {split: evaluate(predictions, setup.config.seed) for split, predictions in said.items()}
    _write_bundle(run, decision, neighbours, figures["test"])
    said["test"].write(run.folder / "predictions.csv")
    root = setup.manifest.root
    write_thumbnails(run.folder, lambda image: images.load_image(root / image))
    value: dict[str, Any] = {
        "format": FORMAT,
        "strategy": run.name,
        **figures,
        "decision": decision,
        "costs": _costs(run) | _tuning(run) | {f"peak_{name}": size for name, size in memory.items()},
        "selection": fitted.selection,
        "notes": _notes(run),
    }
    value["costs"]["evaluation_seconds"] = time.monotonic() - start
    storage.write_json(run.folder / "metrics.json", value)
    accuracy = value["test"]["accuracy"]
    setup.progress.log(
        f"  {run.name}: done in {duration(fitted.seconds)}; accuracy on test {accuracy['value']:.1%} "
        f"[{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]"
    )


def _predictions(run: FinishedTraining, split: str, scores: np.ndarray, temperature: float) -> Predictions:
    splits = run.setup.splits
    sure = run.probabilities(scores, temperature)
    return Predictions(splits.ids[split], splits.classes, splits.labels[split], scores, run.fitted.kind, sure)


def _neighbours(run: FinishedTraining) -> ood.Neighbours:
    """Training images to compare new ones with, in the feature space of the strategy's own backbone."""
    splits = run.setup.splits
    rows = _neighbour_rows(splits, run.setup.config.seed)
    features = ood.unit(run.features("train", rows)).astype(np.float16)
    return ood.Neighbours(features, splits.labels["train"][rows], tuple(splits.ids["train"][i] for i in rows))


def _neighbour_rows(splits: Splits, seed: int) -> np.ndarray:
    return ood.chosen_rows(splits.labels["train"], derive_seed(seed, "neighbours"))


def _write_bundle(
    run: FinishedTraining, decision: dict[str, Any], neighbours: ood.Neighbours, test: dict[str, Any]
) -> None:
    fitted, setup = run.fitted, run.setup
    metadata = {
        "preprocessing_version": images.POLICY,
        "score_type": fitted.kind,
        "decision": decision,
        "weights_license": setup.backbone.license if run.name != "scratch" else "none",
        "data_license": setup.manifest.license,
        "topwork": devices.environment(setup.compute)["topwork"],
        "data": {"name": setup.manifest.name, "note": setup.manifest.note, "images": _counts(setup.splits)},
        "inference": _inference(fitted, setup),
    }
    tensors = {"backbone": setup.backbone.module.state_dict(), "head": fitted.tensors}
    bundle = Bundle(
        run.name, setup.backbone.model, setup.splits.classes, setup.backbone.spec, metadata, neighbours=neighbours,
        **(split_tensors(fitted.tensors) if fitted.whole else tensors),
    )  # fmt: skip
    hub = setup.source.hub if run.name != "scratch" and setup.source else ""
    split_sha256 = storage.sha256_file(run.folder / "split.csv")
    card = CardData(bundle, test, setup.splits.note, split_sha256, setup.backbone.summary, hub)
    write_bundle(run.folder / "model", bundle, write_card(card))


def _inference(fitted: TrainedStrategy, setup: Setup) -> dict[str, Any]:
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


def _counts(splits: Splits) -> dict[str, int]:
    return {split: len(ids) for split, ids in splits.ids.items()}


def _costs(run: FinishedTraining) -> dict[str, Any]:
    fitted, setup, model = run.fitted, run.setup, run.folder / "model"
    whole, classifier = backbones.parameter_tensors(setup.backbone.model)
    trained_tensors, trained = fitted.trained
    network = (whole - classifier + trained_tensors, setup.backbone.parameters + trained)
    all_tensors, parameters = fitted.parameters or network
    once = sum(len(setup.splits.ids[split]) for split in ("train", "val"))
    return {
        "train_seconds": fitted.seconds,
        "feature_seconds": run.feature_seconds,
        "trained_parameters": trained,
        "parameters": parameters,
        "trained_tensors": trained_tensors,
        "all_tensors": all_tensors,
        "epochs": len(fitted.history) or None,
        "forward_passes": once if fitted.passes is None else fitted.passes,
        "disk_bytes": sum(file.stat().st_size for file in model.iterdir()),
        "milliseconds_per_image": milliseconds_per_image(model, setup.compute),
    }


def _tuning(run: FinishedTraining) -> dict[str, Any]:
    found = tuned(run.folder)
    return {"tune_trials": found["trials"], "tune_seconds": found["seconds"]} if found else {}


def _notes(run: FinishedTraining) -> list[str]:
    fitted = run.fitted
    if fitted.whole:
        return list(fitted.notes)
    whole, classifier = backbones.parameter_tensors(run.setup.backbone.model)
    trained = fitted.trained[0]
    return [
        *fitted.notes,
        f"{run.name}: {whole} parameter tensors in the pretrained network; with the new head in place of its "
        f"classifier {whole - classifier + trained}, of which {trained} train. "
        "The SHA-256 of the backbone, BatchNorm statistics included, is the same before and after.",
    ]
