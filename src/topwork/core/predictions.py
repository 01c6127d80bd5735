"""Predictions on a split, in ``predictions.csv`` and ``val_predictions.csv`` of a run, with all scores beside them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from topwork.core import storage
from topwork.core.artifacts import class_indices
from topwork.core.errors import CorruptFile, DataError

PREDICTIONS = {"val": "val_predictions.csv", "test": "predictions.csv"}  # files of a run
COLUMNS = ("image", "label", "predicted", "correct", "probability")
KINDS = ("logit", "margin")
TOP = 5  # classes in the table
Calibration = tuple[float, float]


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
        calibration: Temperature and slope if the probabilities are ``scaled_softmax`` of scores / temperature.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    kind: str
    probabilities: np.ndarray
    calibration: Calibration | None = None

    @property
    def predicted(self) -> np.ndarray:
        """Predicted class indices, int64 (N,)."""
        return self.scores.argmax(axis=1)

    def write(self, path: Path) -> None:
        """Write a file of ``PREDICTIONS`` for people, with the most probable classes, and all scores beside it.

        The table has image, label, predicted, correct, and the probability of the predicted class; then the next
        classes, up to ``TOP`` in all. The scores are ``path`` with the suffix ``.safetensors``.
        """
        storage.write_bytes(scores_file(path), self._scores())
        top = min(TOP, len(self.classes))
        rest = [f"{name}_{rank}" for rank in range(2, top + 1) for name in ("label", "probability")]
        predicted, rows = self.predicted, list[list[object]]()
        order = _by_probability(self.probabilities, predicted, top)
        for n, (image, label, first) in enumerate(zip(self.ids, self.labels, predicted, strict=True)):
            values = [repr(float(self.probabilities[n, k])) for k in order[n]]
            following = [cell for k, p in zip(order[n][1:], values[1:], strict=True) for cell in (self.classes[k], p)]
            rows.append([image, self.classes[label], self.classes[first], int(label == first), values[0], *following])
        storage.write_csv(path, [*COLUMNS, *rest], rows)

    def _scores(self) -> bytes:
        """All scores; the probabilities too, unless they can be computed again from them to the last bit."""
        small = self.scores.astype(np.float32)
        tensors = {"scores": small if np.array_equal(small, self.scores) else self.scores}
        metadata = {"kind": self.kind, "classes": json.dumps(self.classes)}
        if self.calibration is None:
            tensors["probabilities"] = self.probabilities
        else:
            metadata["calibration"] = json.dumps(self.calibration)
        return safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)


def scores_file(path: Path) -> Path:
    """The file of scores beside a file of ``PREDICTIONS``."""
    return path.with_suffix(".safetensors")


def _by_probability(probabilities: np.ndarray, predicted: np.ndarray, top: int) -> np.ndarray:
    """The predicted class and then the most probable others, int (N, top); of equal ones the first."""
    others = -probabilities
    others[np.arange(len(predicted)), predicted] = -np.inf
    return np.argsort(others, axis=1, kind="stable")[:, :top]


def read_predictions(path: Path) -> Predictions:
    """The predictions in a file of ``PREDICTIONS`` and the scores beside it.

    Raises:
        DataError: They have no rows.
        CorruptFile: A file is missing, or the two do not belong together.
    """
    header, *rows = storage.read_rows(path) or [[]]
    if header[: len(COLUMNS)] != [*COLUMNS]:
        raise CorruptFile(f"{path} does not have the columns {', '.join(COLUMNS)}. Train again.")
    if not rows:
        raise DataError(f"{path} has no rows. Run the strategy again.")
    scores, probabilities, kind, classes, calibration = _read_scores(scores_file(path))
    ids, labels = tuple(row[0] for row in rows), [row[1] for row in rows]
    if len(scores) != len(rows) or not set(labels) <= set(classes):
        raise CorruptFile(f"{scores_file(path)} has not the images and classes of {path.name}. Train again.")
    return Predictions(ids, classes, class_indices(labels, classes), scores, kind, probabilities, calibration)


def _read_scores(path: Path) -> tuple[np.ndarray, np.ndarray, str, tuple[str, ...], Calibration | None]:
    if not path.is_file():
        raise CorruptFile(f"{path} is missing. Restore it or train again.")
    data = storage.read_regular(path, sys.maxsize)
    try:
        with np.errstate(invalid="raise", divide="raise", over="raise"):
            found = _parse_scores(data)
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        found = None
    if found is None or not _fit(*found[:4]):
        raise CorruptFile(f"{path} has no scores as topwork writes them. Restore it or train again.")
    return found


def _parse_scores(data: bytes) -> tuple[np.ndarray, np.ndarray, str, tuple[str, ...], Calibration | None]:
    """Arrays and metadata of a file of scores, which may be anything; its errors are of many kinds."""
    tensors = safetensors.numpy.load(data)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    scores, classes = tensors["scores"].astype(np.float64), tuple(json.loads(metadata["classes"]))
    if "calibration" not in metadata:
        return scores, tensors["probabilities"].astype(np.float64), metadata["kind"], classes, None
    temperature, slope = map(float, json.loads(metadata["calibration"]))
    probabilities = scaled_softmax(scores / temperature, slope)
    return scores, probabilities, metadata["kind"], classes, (temperature, slope)


def _fit(scores: np.ndarray, probabilities: np.ndarray, kind: str, classes: tuple[str, ...]) -> bool:
    """Whether they are numbers of images and classes as ``Predictions`` has them."""
    names = {name for name in classes if isinstance(name, str) and not _NO_TEXT.search(name)}
    return (
        scores.ndim == 2 and scores.shape == probabilities.shape and scores.shape[1] == len(classes) == len(names)
        and kind in KINDS and bool(np.isfinite(scores).all())
        and bool((probabilities >= 0).all() and (probabilities <= 1 + 1e-6).all())
    )  # fmt: skip


_NO_TEXT = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # halves of characters that stand for no byte


def scaled_softmax(scores: np.ndarray, slope: float) -> np.ndarray:
    """Probabilities float64 (N, K): softmax of slope * scores."""
    return softmax(slope * scores)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float64 (N, K) of logits (N, K)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Outcomes:
    """Which images a strategy classified correctly: their ids (N,), class names (N,), and bool (N,)."""

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    correct: np.ndarray


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes in a file of ``PREDICTIONS``, without its scores: quick also with many classes."""
    rows = storage.read_csv(path, COLUMNS)
    if not rows:
        raise DataError(f"{path} has no rows. Run the strategy again.")
    ids, labels = tuple(row["image"] for row in rows), tuple(row["label"] for row in rows)
    correct = [row["correct"] == "1" for row in rows]
    return Outcomes(ids, labels, np.array(correct))
