"""What images held out decide about answers, and that test decides nothing of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.special import softmax

from topwork.evaluation.decision import fit_decision


def decided(flip_test: bool = False, logits: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = {split: rng.integers(3, size=200) for split in ("held_out", "test")}
    scores = {split: 3 * rng.normal(size=(200, 3)) + 3 * np.eye(3)[labels[split]] for split in labels}
    distances = {split: rng.random(200) for split in labels}
    if flip_test:
        labels["test"] = (labels["test"] + 1) % 3
        distances["test"] = distances["test"] + 1
    return fit_decision(scores, labels, distances, lambda s, t: softmax(s / t, axis=1), logits, 4)


def test_what_is_in_it_is_json_and_true() -> None:
    value = decided()
    assert json.loads(json.dumps(value)) == value
    assert value["images"] == 200
    assert value["temperature"] > 1
    assert value["ood"]["neighbours"] == 4
    assert value["ood"]["false_positive_rate"] <= 0.05
    assert value["ood"]["test_false_positive_rate"]["low"] <= 0.05 <= value["ood"]["test_false_positive_rate"]["high"]
    for split in ("held_out", "test"):
        facts = value["abstain"][split]
        assert facts["accuracy"] > facts["overall_accuracy"]
        assert 0.4 < facts["coverage"] < 1


def test_test_decides_nothing() -> None:
    one, other = decided(), decided(flip_test=True)
    for key in ("temperature", "confidence_threshold", "images"):
        assert one[key] == other[key]
    assert one["abstain"]["held_out"] == other["abstain"]["held_out"]
    assert one["ood"]["threshold"] == other["ood"]["threshold"]
    assert other["ood"]["test_false_positive_rate"]["value"] == 1
    assert one["abstain"]["test"] != other["abstain"]["test"]


def test_margins_are_left_to_their_own_calibration() -> None:
    assert decided(logits=False)["temperature"] == 1
