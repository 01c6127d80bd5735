"""Predictions in a table for people, and all scores beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from topwork.core import storage
from topwork.core.errors import CorruptFile
from topwork.core.predictions import Predictions, read_outcomes, read_predictions, scaled_softmax, scores_file


def make(images: int, classes: int, calibrated: bool = True, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(images, classes)) * 4, rng.integers(classes, size=images)
    names, ids = tuple(f"class {k}" for k in range(classes)), tuple(f"{i}.png" for i in range(images))
    probabilities = scaled_softmax(scores / 1.3, 0.7)
    return Predictions(ids, names, labels, scores, "margin", probabilities, (1.3, 0.7) if calibrated else None)


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("calibrated", [True, False])
def test_what_is_read_is_what_was_written_to_the_bit(tmp_path: Path, classes: int, calibrated: bool) -> None:
    written = make(30, classes, calibrated)
    written.write(tmp_path / "predictions.csv")
    read = read_predictions(tmp_path / "predictions.csv")
    for name in ("scores", "probabilities", "labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert (read.ids, read.classes, read.kind) == (written.ids, written.classes, written.kind)
    assert (
        read_outcomes(tmp_path / "predictions.csv").correct.tolist() == (written.predicted == written.labels).tolist()
    )


def test_the_table_has_the_five_most_probable_classes(tmp_path: Path) -> None:
    written = make(20, 9)
    written.write(tmp_path / "predictions.csv")
    for n, row in enumerate(storage.read_csv(tmp_path / "predictions.csv")):
        order = sorted(range(9), key=lambda k: -written.probabilities[n, k])[:5]
        names = [row["predicted"], *(row[f"label_{rank}"] for rank in range(2, 6))]
        values = [row["probability"], *(row[f"probability_{rank}"] for rank in range(2, 6))]
        assert names == [written.classes[k] for k in order]
        assert [float(value) for value in values] == [written.probabilities[n, k] for k in order]
        assert row["correct"] == str(int(written.predicted[n] == written.labels[n]))


def test_the_predicted_class_is_the_first_also_if_another_is_as_probable(tmp_path: Path) -> None:
    scores = np.array([[0.0, 0.0, 1e-20]])  # equal probabilities, and the highest score is the last
    Predictions(("a",), ("x", "y", "z"), np.array([2]), scores, "logit", np.full((1, 3), 1 / 3)).write(
        tmp_path / "p.csv"
    )
    assert storage.read_csv(tmp_path / "p.csv")[0]["predicted"] == "z"


def test_a_thousand_classes_fit_into_50_megabytes(tmp_path: Path) -> None:
    """Scores of networks are float32; for 5,000 images ten times as much."""
    exact = make(500, 1000)
    float32 = Predictions(
        exact.ids, exact.classes, exact.labels, exact.scores.astype(np.float32).astype(float), "logit",
        scaled_softmax(exact.scores.astype(np.float32).astype(float), 1.0), (1.0, 1.0),
    )  # fmt: skip
    for predictions, most in ((exact, 50e6), (float32, 25e6)):
        predictions.write(tmp_path / "predictions.csv")
        assert 10 * (tmp_path / "predictions.safetensors").stat().st_size < most
        assert 10 * (tmp_path / "predictions.csv").stat().st_size < 5e6


@pytest.mark.parametrize("fault", ["no file", "other images", "cut", "no numbers", "other classes"])
def test_scores_that_do_not_belong_to_the_table_are_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "predictions.csv"
    make(5, 3).write(path)
    other = scores_file(path)
    if fault == "no file":
        other.unlink()
    elif fault == "other images":
        make(6, 3).write(tmp_path / "x.csv")
        (tmp_path / "x.safetensors").replace(other)
    elif fault == "cut":
        other.write_bytes(other.read_bytes()[:-9])
    elif fault == "no numbers":
        other.write_bytes(other.read_bytes()[:-8] + b"\xff" * 8)
    else:
        storage.write_text(path, path.read_text().replace("class ", "kind "))
    with pytest.raises(CorruptFile, match="rain again"):
        read_predictions(path)
