"""The paired test that decides whether an epoch is kept, against scipy."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from topwork.core.artifacts import EpochRecord, read_history, write_history
from topwork.training.epoch_choice import ALPHA, ValMetrics, is_worse, pack, unpack
from topwork.training.image_task import val_metrics
from topwork.training.state import TrainState


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 100))
def test_it_is_the_exact_binomial_test_of_the_images_that_changed(lost: int, won: int, equal: int) -> None:
    best = np.repeat([True, False, True], [lost, won, equal])
    correct = np.repeat([False, True, True], [lost, won, equal])
    expected = lost > won and binomtest(lost, lost + won).pvalue < ALPHA
    assert is_worse(correct, best) == expected


def test_images_of_one_group_are_one_observation() -> None:
    best, correct, groups = np.ones(300, bool), np.arange(300) >= 20, np.arange(300) // 10
    assert is_worse(correct, best)
    assert not is_worse(correct, best, groups)  # two groups


@given(st.lists(st.booleans(), max_size=40))
def test_packed_bits_come_back(bits: list[bool]) -> None:
    known = np.array(bits, bool)
    assert unpack(pack(known), known).tolist() == bits


def test_of_equal_accuracies_the_lower_loss_is_the_best() -> None:
    state, correct = TrainState(), np.ones(4, bool)
    for epoch, loss in enumerate((0.3, 0.2, 0.25), 1):
        assert state.keeps(epoch, ValMetrics(loss, 1.0, correct))
    assert (state.best_epoch, state.kept_epoch) == (2, 3)


def metrics_of(metric: str, labels: np.ndarray, scores: np.ndarray) -> ValMetrics:
    return val_metrics(torch.from_numpy(scores), labels, metric=metric)


def epochs(seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels of 285 and 15 images, and scores of three epochs: the second loses the rare class, the third has it."""
    rng, labels = np.random.default_rng(seed), np.repeat([0, 1], [285, 15])
    fair = 1.2 * np.eye(2)[labels] + 0.8 * rng.normal(size=(300, 2))
    careless = fair + np.array([3.0, 0.0])
    return labels, [fair, careless, fair + 0.01]


@pytest.mark.parametrize("metric", ["balanced-accuracy", "macro-f1", "log-loss", "roc-auc"])
def test_the_epoch_is_chosen_by_the_metric_that_decides(metric: str) -> None:
    labels, scores = epochs()
    if metric == "roc-auc":  # a shift of all scores does not change it
        scores[1] = scores[1] + 2 * np.random.default_rng(1).normal(size=scores[1].shape)
    if metric == "log-loss":  # and a shift of the logits costs little after the temperature
        scores[1] = scores[1] * np.random.default_rng(1).choice([-1, 1], (300, 1))
    state = TrainState()
    assert [state.keeps(i, metrics_of(metric, labels, s)) for i, s in enumerate(scores, 1)] == [True, False, True]
    resumed = TrainState.from_json(json.loads(json.dumps(asdict(state))))
    assert not resumed.keeps(4, metrics_of(metric, labels, scores[1]))
    assert (state.best_epoch, resumed.kept_epoch) == (1, 3)


def test_accuracy_keeps_the_epoch_that_the_metrics_of_rare_classes_refuse() -> None:
    labels, scores = epochs()
    state = TrainState()
    assert all(state.keeps(i, metrics_of("accuracy", labels, s)) for i, s in enumerate(scores[:2], 1))


def test_the_value_of_the_metric_is_in_the_history_if_it_is_not_accuracy(tmp_path: Path) -> None:
    labels, scores = epochs()
    found = metrics_of("macro-f1", labels, scores[0]).target
    assert found
    assert found.value == pytest.approx(f1_score(labels, scores[0].argmax(axis=1), average="macro"))
    records = [EpochRecord(1, 5, 0.1, 0.2, 0.3, 1e-3, True), EpochRecord(2, 9, 0.1, 0.2, 0.3, 1e-3, True, found.value)]
    write_history(tmp_path / "history.jsonl", records)
    assert "val_metric" not in (tmp_path / "history.jsonl").read_text().splitlines()[0]
    assert read_history(tmp_path / "history.jsonl") == records


def test_log_loss_is_that_after_the_best_temperature() -> None:
    labels, scores = epochs()
    losses = [metrics_of("log-loss", labels, scores[0] * scale).target for scale in (1, 20)]
    assert losses[0]
    assert losses[1]
    assert losses[0].value == pytest.approx(losses[1].value, rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_without_validation_images_the_last_epoch_is_kept() -> None:
    state, none = TrainState(), np.zeros(0, bool)
    assert all(state.keeps(epoch, ValMetrics(float("nan"), float("nan"), none)) for epoch in (1, 2, 3))
    assert state.kept_epoch == 3
