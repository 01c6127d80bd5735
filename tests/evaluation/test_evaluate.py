"""The dict that goes into metrics.json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topwork.core.errors import DataError
from topwork.core.predictions import Predictions
from topwork.evaluation import evaluate


def made(labels: np.ndarray, scores: np.ndarray) -> Predictions:
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    ids = tuple(f"{i}.png" for i in range(len(labels)))
    classes = tuple(f"c{i}" for i in range(scores.shape[1]))
    return Predictions(ids, classes, labels, scores, "logit", exponent / exponent.sum(axis=1, keepdims=True))


def drawn(images: int, classes: int, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    return made(rng.integers(classes, size=images), rng.normal(size=(images, classes)))


def intervals_of(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {name: value for name, value in metrics.items() if isinstance(value, dict)}


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_every_figure_lies_in_its_interval_and_the_dict_is_json(images: int, classes: int, seed: int) -> None:
    metrics = evaluate(drawn(images, classes, seed))
    json.dumps(metrics, allow_nan=False)
    assert ("top5" in metrics) == (classes > 5)
    assert ("roc_auc" in metrics) == (classes == 2)
    assert np.sum(metrics["confusion"]) == metrics["images"] == images
    assert sum(row["images"] for row in metrics["per_class"]) == images
    for name, metric in intervals_of(metrics).items():
        if metric["value"] is None:
            assert name == "roc_auc"
            continue
        assert metric["low"] <= metric["high"]
        if name in {"accuracy", "top5"}:
            assert 0 <= metric["low"] <= metric["value"] <= metric["high"] <= 1


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    predictions = drawn(50, 3)
    assert evaluate(predictions, seed=3) == evaluate(predictions, seed=3)
    assert evaluate(predictions, seed=3) != evaluate(predictions, seed=4)


def test_a_strategy_that_is_always_right() -> None:
    labels = np.arange(30) % 2
    metrics = evaluate(made(labels, 10.0 * np.eye(2)[labels]))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc"):
        assert metrics[name]["value"] == metrics[name]["high"] == 1
    assert 0.85 < metrics["accuracy"]["low"] < 1
    assert metrics["log_loss"]["value"] < 1e-4
    assert metrics["confusion"] == [[15, 0], [0, 15]]


def test_the_second_class_is_the_positive_one() -> None:
    labels = np.array([0, 0, 1, 1])
    scores = np.array([[0.0, -2.0], [0.0, -1.0], [0.0, 1.0], [0.0, 2.0]])
    assert evaluate(made(labels, scores))["roc_auc"]["value"] == 1
    assert evaluate(made(1 - labels, scores))["roc_auc"]["value"] == 0


def test_one_class_in_the_part_leaves_what_is_not_defined_none() -> None:
    metrics = evaluate(made(np.zeros(4, dtype=np.int64), np.tile([1.0, 0.0], (4, 1))))
    assert metrics["roc_auc"] == {"value": None, "low": None, "high": None}
    assert metrics["per_class"][1] == {"class": "c1", "images": 0, "precision": None, "recall": None, "f1": None}
    assert metrics["balanced_accuracy"]["value"] == 1


def test_a_training_that_ran_into_nan_still_gives_json() -> None:
    predictions = drawn(10, 2)
    broken = made(predictions.labels, np.full((10, 2), np.nan))
    metrics = evaluate(broken)
    json.dumps(metrics, allow_nan=False)
    assert metrics["log_loss"]["value"] is None
    assert metrics["roc_auc"]["value"] is None


def test_no_images_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="no images"):
        evaluate(made(np.zeros(0, dtype=np.int64), np.zeros((0, 2))))
