"""How scores become an answer, fitted on val when a run ends: temperature, 'unsure' and 'unlike training'.

Val fits all of it; the figures of test beside it are measured once and decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from topwork.evaluation import calibration, ood
from topwork.evaluation.intervals import wilson

Probabilities = Callable[[np.ndarray, float], np.ndarray]


def fit_decision(
    scores: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    distances: Mapping[str, np.ndarray],
    probabilities: Probabilities,
    logits: bool,
    neighbours: int,
) -> dict[str, Any]:
    """The entry ``decision`` of ``model.json``.

    Args:
        scores: Of ``val`` and ``test``, float (N, K).
        labels: Of the same parts, int (N,).
        distances: To the k-th nearest training image, of the same parts, float (N,).
        probabilities: Scores and a temperature to probabilities (N, K).
        logits: Whether the scores are logits, so that a temperature is fitted; margins have a calibration of their own.
        neighbours: k.

    Returns:
        ``temperature``; ``unsure_below``, a confidence; ``unsure``: on ``val`` and ``test`` the ``coverage`` (share
        that is answered), the ``accuracy`` of what is answered and ``of_all``; ``unlike``: ``threshold``, a distance,
        above which the share ``false_alarm`` of val lies by choice and ``false_alarm_test`` of test was found.
    """
    temperature = calibration.fit_temperature(scores["val"], labels["val"]) if logits else 1.0
    sure = {split: probabilities(scores[split], temperature) for split in ("val", "test")}
    below = calibration.unsure_threshold(sure["val"], labels["val"])
    limit = ood.threshold(distances["val"])
    alarms = {split: int((distances[split] > limit).sum()) for split in ("val", "test")}
    images = len(labels["test"])
    low, high = wilson(alarms["test"], images)
    return {
        "temperature": temperature,
        "calibrated_on": "val",
        "images": len(labels["val"]),
        "unsure_below": below,
        "unsure": {split: _unsure(sure[split], labels[split], below) for split in ("val", "test")},
        "unlike": {
            "threshold": limit,
            "neighbours": neighbours,
            "false_alarm": alarms["val"] / len(labels["val"]),
            "false_alarm_wanted": ood.FALSE_ALARMS,
            "false_alarm_test": {"value": alarms["test"] / images, "low": low, "high": high},
        },
    }


def _unsure(probabilities: np.ndarray, labels: np.ndarray, below: float) -> dict[str, float | None]:
    left = calibration.answered(probabilities, labels, below)
    of_all = float((probabilities.argmax(axis=1) == labels).mean())
    return {"coverage": left.coverage, "accuracy": left.accuracy, "of_all": of_all}
