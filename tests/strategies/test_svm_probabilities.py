"""Probabilities of ``svm`` stay honest where the images that calibrate them have no error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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
    if classes == 2:  # by scikit-learn: each image counts for both classes, by its smoothed targets
        counts = np.bincount(labels)[labels]
        target = np.where(labels == 1, (counts + 1) / (counts + 2), 1 / (counts + 2))
        difference = np.tile(margins[:, 1] - margins[:, 0], 2)[:, None]
        reference = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000, fit_intercept=False)
        reference.fit(difference, np.repeat([1, 0], len(labels)), np.concatenate([target, 1 - target]))
        assert np.allclose(reference.predict_proba(difference[: len(labels)]), probabilities, atol=2e-3)


@pytest.mark.parametrize("balance", [False, True])
def test_the_predicted_class_is_the_most_probable_one(tmp_path: Path, balance: bool) -> None:
    data = write_folder(tmp_path / "data", classes=2, each=40)
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        if number % 40 > 5 and number < 40:
            path.unlink()  # six images of one class, 40 of the other
        elif number % 3 == 0:
            Image.effect_noise((48, 48), 90).convert("RGB").save(path)  # nobody can tell
    run = topwork.train(
        data, "svm", out=tmp_path / "run", img_size=32, precision="float32", workers=0, quiet=True, balance=balance,
        sets=("data.near_duplicates=false",),
    )  # fmt: skip
    found = run.predictions
    assert (found.probabilities.argmax(axis=1) == found.scores.argmax(axis=1)).all()
    images = sorted(map(str, data.rglob("*.png")))
    for one in topwork.predict(run.path, images, workers=0):
        assert one.label == one.top[0].label
        assert one.probability == max(entry.probability for entry in one.top)
