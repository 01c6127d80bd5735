"""Predictions -> one JSON-ready dict of metrics with their 95 % intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from topwork.core.errors import DataError
from topwork.core.predictions import Predictions
from topwork.evaluation import calibration, intervals, metrics
from topwork.evaluation.intervals import Interval


def evaluate(
    predictions: Predictions, seed: int = 0, groups: np.ndarray | None = None, metric: str = "accuracy"
) -> dict[str, Any]:
    """All metrics of one strategy on one split.

    Args:
        predictions: N >= 1 images, K >= 1 classes. The area under the ROC curve takes the second class as positive and
            the difference of the two scores; log-loss takes the probabilities; all other metrics take the scores.
        seed: Seed of the bootstrap; equal seeds give equal intervals.
        groups: Images with equal numbers belong together, int (N,); None if all are independent.
        metric: The one that decides; for ``roc-auc`` more than two classes have that metric, too: the mean over the
            classes of the area of each against the rest, by its probability.

    Returns:
        ``images`` (N), ``classes`` (K); ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``log_loss``, ``ece``
        (expected calibration error), with K > 5 ``top5``, with K = 2 ``roc_auc``, each ``{"value", "low", "high"}``;
        ``per_class``, a list of ``{"class", "images", "precision", "recall", "f1"}``; ``confusion``, rows true, columns
        predicted; ``groups``, their number, None without. The calibration error has the interval of ``calibration``,
        the others those of ``intervals``. An undefined value is None, never NaN.

    Raises:
        DataError: There are no images.
    """
    labels, images, classes = predictions.labels, len(predictions.labels), len(predictions.classes)
    if not images:
        raise DataError("There are no predictions to evaluate: the split has no images. Use a larger fraction.")
    rng = np.random.default_rng(seed)
    confusion = metrics.confusion_matrix(labels, predictions.predicted, classes)
    hits, support, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    balanced, macro = intervals.confusion_intervals(labels, predictions.predicted, classes, rng, groups)
    values: dict[str, Any] = {
        "images": images,
        "classes": classes,
        "groups": None if groups is None else len(np.unique(groups)),
        "accuracy": _share(labels == predictions.predicted, groups),
        "balanced_accuracy": _metric(float(metrics.balanced_accuracy(hits, support)), balanced),
        "macro_f1": _metric(float(metrics.macro_f1(hits, support, predicted)), macro),
    }
    if classes > metrics.TOP_K:
        values["top5"] = _share(metrics.top_k_correct(predictions.scores, labels), groups)
    if classes == 2:
        score = predictions.scores[:, 1] - predictions.scores[:, 0]
        interval = intervals.roc_auc_interval(labels == 1, score, rng, groups)
        values["roc_auc"] = _metric(metrics.roc_auc(labels == 1, score), interval)
    elif metric == "roc-auc":
        area = metrics.macro_roc_auc(labels, predictions.probabilities)
        known = area is not None
        found = intervals.macro_roc_auc_interval(labels, predictions.probabilities, groups) if known else None
        values["roc_auc"] = _metric(area, found)
    losses = metrics.log_losses(predictions.probabilities, labels)
    values |= {"log_loss": _metric(None), "ece": _metric(None)}
    if np.isfinite(losses).all():
        bins = calibration.reliability(predictions.probabilities, labels)
        values["log_loss"] = _metric(float(losses.mean()), intervals.loss_interval(losses, labels, groups))
        wrong_by = predictions.probabilities.max(axis=1) - (predictions.probabilities.argmax(axis=1) == labels)
        effect = intervals.clustering(wrong_by, groups).design_effect
        values["ece"] = _metric(bins.ece, calibration.ece_interval(bins, rng, effect))
    per_class = np.stack(metrics.precision_recall_f1(hits, support, predicted), axis=1).tolist()
    values["per_class"] = [
        {"class": name, "images": n, **dict(zip(("precision", "recall", "f1"), map(_none_if_nan, row), strict=True))}
        for name, n, row in zip(predictions.classes, support.tolist(), per_class, strict=True)
    ]
    values["confusion"] = confusion.tolist()
    return values


def _share(correct: np.ndarray, groups: np.ndarray | None) -> dict[str, float | None]:
    return _metric(float(correct.mean()), intervals.share_interval(correct, groups))


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value


def _metric(value: float | None, interval: Interval | None = None) -> dict[str, float | None]:
    low, high = interval if value is not None and interval else (None, None)
    return {"value": value, "low": low, "high": high}
