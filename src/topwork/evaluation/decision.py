"""How scores become a prediction: temperature, confidence threshold and out-of-distribution threshold.

All are fitted on images that were held out when a run ends: the validation set, or out-of-fold predictions of the
training and validation images. The test set only measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from topwork.evaluation import calibration, ood
from topwork.evaluation.intervals import share_interval

Probabilities = Callable[[np.ndarray, float], np.ndarray]


def fit_decision(
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    distances: Mapping[str, np.ndarray],
    probabilities: Probabilities,
    logits: bool,
    neighbours: int,
    groups: np.ndarray | None = None,
    folds: int = 0,
) -> dict[str, Any]:
    """The entry ``decision`` of ``model.json``.

    Args:
        scores: Of ``held_out`` and ``test``, float (N, K): images that no fit of their scores has seen.
        labels: Of the same images, int (N,).
        distances: To the k-th nearest training image, float (N,): of ``test``, and of ``held_out`` or a sample of them.
        probabilities: Converts scores and a temperature to probabilities (N, K).
        logits: Whether scores are logits, for which a temperature is fitted; margins are calibrated by their strategy.
        neighbours: k.
        groups: Test images with equal numbers belong together, int (N,); None if all are independent.
        folds: Number of folds if the held-out images are all training and validation images; 0: the validation set.

    Returns:
        ``temperature``; ``confidence_threshold``, below which the model abstains; ``abstain``: for ``held_out`` and
        ``test`` the ``coverage`` (share of images that are not abstained on), their ``accuracy`` and the
        ``overall_accuracy``; ``ood``: ``threshold``, the distance above which an image is flagged as out of
        distribution, with the ``false_positive_rate`` on the held-out images and the ``test_false_positive_rate``.
    """
    temperature = calibration.fit_temperature(scores["held_out"], labels["held_out"]) if logits else 1.0
    confidence = {split: probabilities(scores[split], temperature) for split in ("held_out", "test")}
    threshold = calibration.choose_confidence_threshold(confidence["held_out"], labels["held_out"])
    limit = ood.threshold(distances["held_out"])
    flagged = {split: distances[split] > limit for split in ("held_out", "test")}
    low, high = share_interval(flagged["test"], groups)
    return {
        "temperature": temperature,
        "calibrated_on": "train and val, out of fold" if folds else "val",
        "folds": folds,
        "images": len(labels["held_out"]),
        "confidence_threshold": threshold,
        "abstain": {split: _selective(confidence[split], labels[split], threshold) for split in ("held_out", "test")},
        "ood": {
            "threshold": limit,
            "neighbours": neighbours,
            "false_positive_rate": float(flagged["held_out"].mean()),
            "target_false_positive_rate": ood.FALSE_POSITIVE_RATE,
            "test_false_positive_rate": {"value": float(flagged["test"].mean()), "low": low, "high": high},
        },
    }


def _selective(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float | None]:
    coverage, accuracy = calibration.selective_accuracy(probabilities, labels, threshold)
    overall = float((probabilities.argmax(axis=1) == labels).mean())
    return {"coverage": coverage, "accuracy": accuracy, "overall_accuracy": overall}
