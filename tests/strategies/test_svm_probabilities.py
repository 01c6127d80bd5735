"""Probabilities of ``svm`` stay honest where the images that calibrate them have no error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tests.drawings import write_folder

import topwork
from topwork.core.artifacts import read_split
from topwork.inference.pixels import decode_batches


@pytest.mark.parametrize("classes", [2, 3])
def test_a_validation_set_without_an_error_makes_no_image_certain(tmp_path: Path, classes: int) -> None:
    data, fast = write_folder(tmp_path / "data", classes=classes), {"precision": "float32", "workers": 0, "quiet": True}
    joined = topwork.train(data, "svm", out=tmp_path / "joined", img_size=32, **fast)
    assert joined.metrics["decision"]["abstain"]["held_out"]["overall_accuracy"] == 1
    assert joined.predictions.probabilities.max() < 0.9999
    run = topwork.train(data, "svm", out=tmp_path / "run", img_size=32, sets=("svm.folds=0",), **fast)
    assert run.metrics["val"]["accuracy"]["value"] == 1
    splits, model = read_split(run.path / "split.csv"), topwork.load(run.path, workers=0)
    images = [str(data / image) for image in splits.ids["val"]]
    batches = decode_batches(images, model.input_spec, len(images), 0)
    margins = np.concatenate([model.forward_all(batch.pixels)[0] for batch in batches])
    labels, probabilities = splits.labels["val"], np.zeros_like(margins)
    for row, found in enumerate(topwork.predict(model, images, top=0)):
        by_label = {one.label: one.probability for one in found.top}
        probabilities[row] = [by_label[name] for name in splits.classes]
    assert (probabilities.argmax(axis=1) == labels).all()
    assert probabilities.max(axis=1).mean() < 1 - 1 / (len(labels) + 2)
    assert run.predictions.probabilities.max() < 0.9999
    if classes == 2:  # Platt's curve by scikit-learn: each image counts for both classes, by its smoothed targets
        counts = np.bincount(labels)[labels]
        target = np.where(labels == 1, (counts + 1) / (counts + 2), 1 / (counts + 2))
        difference = np.tile(margins[:, 1] - margins[:, 0], 2)[:, None]
        reference = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000)
        reference.fit(difference, np.repeat([1, 0], len(labels)), np.concatenate([target, 1 - target]))
        assert np.allclose(reference.predict_proba(difference[: len(labels)]), probabilities, atol=2e-3)
