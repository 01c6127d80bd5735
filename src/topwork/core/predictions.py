"""Predictions on a split, in ``predictions.csv`` and ``val_predictions.csv`` of a run."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from topwork.core import storage
from topwork.core.artifacts import class_indices
from topwork.core.errors import DataError

PREDICTIONS = {"val": "val_predictions.csv", "test": "predictions.csv"}  # files of a run


@dataclass(frozen=True)
class Predictions:
    """The outputs of a trained strategy for some images.

    Attributes:
        ids: Image ids, (N,).
        classes: Class names, (K,).
        labels: True class indices, int64 (N,).
        scores: float64 (N, K); the predicted class is their argmax.
        kind: ``"logit"`` or ``"margin"``: what the scores are.
        probabilities: Calibrated or softmax probabilities, float64 (N, K), rows sum to 1.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    kind: str
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Predicted class indices, int64 (N,)."""
        return self.scores.argmax(axis=1)

    def write(self, path: Path) -> None:
        """Write a file of ``PREDICTIONS``: image, label, predicted, correct; a score and a probability per class."""
        columns = ["image", "label", "predicted", "correct"]
        columns += [f"{kind}:{name}" for kind in (self.kind, "probability") for name in self.classes]
        rows = []
        for image, label, predicted, *numbers in zip(
            self.ids, self.labels, self.predicted, self.scores, self.probabilities, strict=True
        ):
            names = self.classes[label], self.classes[predicted], int(label == predicted)
            rows.append([image, *names, *(repr(float(x)) for x in np.concatenate(numbers))])
        storage.write_csv(path, columns, rows)


def read_predictions(path: Path) -> Predictions:
    """The predictions in a file of ``PREDICTIONS``."""
    rows = storage.read_csv(path)
    if not rows:
        raise DataError(f"{path} has no rows. Run the strategy again.")
    columns = [name.split(":", 1) for name in rows[0] if ":" in name]
    kind = columns[0][0]
    classes = tuple(name for prefix, name in columns if prefix == "probability")
    scores, probabilities = (
        np.array([[float(row[f"{prefix}:{name}"]) for name in classes] for row in rows])
        for prefix in (kind, "probability")
    )
    ids = tuple(row["image"] for row in rows)
    return Predictions(
        ids, classes, class_indices((row["label"] for row in rows), classes), scores, kind, probabilities
    )


@dataclass(frozen=True)
class Outcomes:
    """Which images a strategy classified correctly: their ids (N,), class names (N,), and bool (N,)."""

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    correct: np.ndarray


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes in a file of ``PREDICTIONS``, without its scores: quick also with many classes."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = [(row[0], row[1], row[3] == "1") for row in csv.reader(file)][1:]
    if not rows:
        raise DataError(f"{path} has no rows. Run the strategy again.")
    ids, labels, correct = zip(*rows, strict=True)
    return Outcomes(ids, labels, np.array(correct))
