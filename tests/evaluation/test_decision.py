"""What val decides about answers, and that test decides nothing of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.special import softmax

from topwork.evaluation.decision import fit_decision


def decided(flip_test: bool = False, logits: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = {split: rng.integers(3, size=200) for split in ("val", "test")}
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
    assert value["unlike"]["neighbours"] == 4
    assert value["unlike"]["false_alarm"] <= 0.05
    assert value["unlike"]["false_alarm_test"]["low"] <= 0.05 <= value["unlike"]["false_alarm_test"]["high"]
    for split in ("val", "test"):
        facts = value["unsure"][split]
        assert facts["accuracy"] > facts["of_all"]
        assert 0.4 < facts["coverage"] < 1


def test_test_decides_nothing() -> None:
    one, other = decided(), decided(flip_test=True)
    for key in ("temperature", "unsure_below", "images"):
        assert one[key] == other[key]
    assert one["unsure"]["val"] == other["unsure"]["val"]
    assert one["unlike"]["threshold"] == other["unlike"]["threshold"]
    assert other["unlike"]["false_alarm_test"]["value"] == 1
    assert one["unsure"]["test"] != other["unsure"]["test"]


def test_margins_are_left_to_their_own_calibration() -> None:
    assert decided(logits=False)["temperature"] == 1
