"""Every figure against scikit-learn, on arrays that hypothesis draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from topwork.evaluation import metrics

CLASSES = 4
labelled = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs)
    return array[:, 0], array[:, 1]


@given(labelled)
def test_metrics_of_the_confusion_matrix_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = columns(pairs)
    everything = list(range(CLASSES))
    present = np.unique(labels).tolist()
    confusion = metrics.confusion_matrix(labels, predicted, CLASSES)
    hits, support, guesses = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)

    assert (confusion == reference.confusion_matrix(labels, predicted, labels=everything)).all()
    expected = reference.recall_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert metrics.balanced_accuracy(hits, support) == pytest.approx(expected)
    expected = reference.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert metrics.macro_f1(hits, support, guesses) == pytest.approx(expected)
    functions = (reference.precision_score, reference.recall_score, reference.f1_score)
    for own, function in zip(metrics.precision_recall_f1(hits, support, guesses), functions, strict=True):
        expected = function(labels, predicted, labels=everything, average=None, zero_division=np.nan)
        np.testing.assert_allclose(own, expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=30))
def test_roc_auc_equals_scikit_learn_and_counting_pairs(pairs: list[tuple[bool, int]]) -> None:
    positive, score = np.array([p for p, _ in pairs]), np.array([float(s) for _, s in pairs])
    own = metrics.roc_auc(positive, score)
    if positive.all() or not positive.any():
        assert own is None
        return
    wins = [float(a > b) + 0.5 * float(a == b) for a in score[positive] for b in score[~positive]]
    assert own == pytest.approx(np.mean(wins))
    assert own == pytest.approx(reference.roc_auc_score(positive, score))


def test_roc_auc_of_scores_that_are_not_finite_is_not_defined() -> None:
    assert metrics.roc_auc(np.array([True, False]), np.array([np.nan, 0.0])) is None


@given(st.integers(0, 2**32 - 1))
def test_top_5_and_log_loss_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(7, size=20), rng.normal(size=(20, 7))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    everything = list(range(7))
    expected = reference.top_k_accuracy_score(labels, scores, k=5, labels=everything)
    assert metrics.top_k_correct(scores, labels).mean() == pytest.approx(expected)
    expected = reference.log_loss(labels, probabilities, labels=everything)
    assert metrics.log_losses(probabilities, labels).mean() == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1))
def test_top_1_is_the_argmax_also_for_equal_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(4, size=30), rng.integers(3, size=(30, 4)).astype(float)
    assert (metrics.top_k_correct(scores, labels, 1) == (scores.argmax(axis=1) == labels)).all()


def test_top_5_of_equal_scores_is_not_always_right() -> None:
    assert metrics.top_k_correct(np.zeros((7, 7)), np.arange(7)).tolist() == [True] * 5 + [False] * 2


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    losses = metrics.log_losses(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    assert losses[0] == 0
    assert 36 < losses[1] < 37
