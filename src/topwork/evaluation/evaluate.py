"""Predictions -> one JSON-ready dict of metrics with their 95 % intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from topwork.core.artifacts import Predictions
from topwork.core.errors import DataError
from topwork.evaluation import calibration, intervals, metrics
from topwork.evaluation.intervals import Interval


def evaluate(predictions: Predictions, seed: int = 0) -> dict[str, Any]:
    """All metrics of one strategy on one split.

    Args:
        predictions: N >= 1 images, K >= 1 classes. The area under the ROC curve takes the second class as positive and
            the difference of the two scores; log-loss takes the probabilities; all other metrics take the scores.
        seed: Seed of the bootstrap; equal seeds give equal intervals.

    Returns:
        ``images`` (N), ``classes`` (K); ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``log_loss``, ``ece``
        (expected calibration error), with K > 5 ``top5``, with K = 2 ``roc_auc``, each ``{"value", "low", "high"}``;
        ``per_class``, a list of ``{"class", "images", "precision", "recall", "f1"}``; ``confusion``, rows true, columns
        predicted. Accuracy and top-5 have Wilson intervals, the calibration error that of ``calibration``, the others
        bootstrap intervals. An undefined value is None, never NaN.

    Raises:
        DataError: There are no images.
    """
    labels, images, classes = predictions.labels, len(predictions.labels), len(predictions.classes)
    if not images:
        raise DataError(
            "There are no predictions to evaluate: the split has no images. Give it a larger fraction of the images."
        )
    rng = np.random.default_rng(seed)
    confusion = metrics.confusion_matrix(labels, predictions.predicted, classes)
    hits, support, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    balanced, macro = intervals.confusion_intervals(confusion, rng)
    values: dict[str, Any] = {
        "images": images,
        "classes": classes,
        "accuracy": _share(int(hits.sum()), images),
        "balanced_accuracy": _metric(float(metrics.balanced_accuracy(hits, support)), balanced),
        "macro_f1": _metric(float(metrics.macro_f1(hits, support, predicted)), macro),
    }
    if classes > metrics.TOP_K:
        values["top5"] = _share(int(metrics.top_k_correct(predictions.scores, labels).sum()), images)
    if classes == 2:
        score = predictions.scores[:, 1] - predictions.scores[:, 0]
        values["roc_auc"] = _metric(
            metrics.roc_auc(labels == 1, score), intervals.roc_auc_interval(labels == 1, score, rng)
        )
    losses = metrics.log_losses(predictions.probabilities, labels)
    known = bool(np.isfinite(losses).all())
    values["log_loss"] = (
        _metric(float(losses.mean()), intervals.mean_interval(losses, labels, rng)) if known else _metric(None)
    )
    values["ece"] = _calibration_error(predictions, rng) if known else _metric(None)
    values["per_class"] = _per_class(predictions.classes, hits, support, predicted)
    values["confusion"] = confusion.tolist()
    return values


def _calibration_error(predictions: Predictions, rng: np.random.Generator) -> dict[str, float | None]:
    bins = calibration.reliability(predictions.probabilities, predictions.labels)
    return _metric(bins.ece, calibration.ece_interval(bins, rng))


def _share(correct: int, images: int) -> dict[str, float | None]:
    return _metric(correct / images, intervals.wilson(correct, images))


def _metric(value: float | None, interval: Interval | None = None) -> dict[str, float | None]:
    low, high = interval if value is not None and interval else (None, None)
    return {"value": value, "low": low, "high": high}


def _per_class(
    classes: tuple[str, ...], hits: np.ndarray, support: np.ndarray, predicted: np.ndarray
) -> list[dict[str, Any]]:
    columns = (metrics.precision(hits, predicted), metrics.recall(hits, support), metrics.f1(hits, support, predicted))
    return [
        {
            "class": name,
            "images": int(support[i]),
            **{
                key: None if np.isnan(column[i]) else float(column[i])
                for key, column in zip(("precision", "recall", "f1"), columns, strict=True)
            },
        }
        for i, name in enumerate(classes)
    ]
