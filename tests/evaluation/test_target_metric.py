"""The metric that decides: its values against scikit-learn, its paired test against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as reference

from topwork.evaluation import paired, target_metric
from topwork.evaluation.intervals import macro_roc_auc_interval
from topwork.evaluation.metrics import macro_roc_auc
from topwork.evaluation.recommend import Candidate, recommend
from topwork.evaluation.sign_flip import MANY, sign_flip_p
from topwork.evaluation.verdict import Outcome, compare_strategies
from topwork.evaluation.verdict_text import verdict_sentences

METRICS = tuple(target_metric.NAMES)


def drawn(seed: int, classes: int, images: int = 120, quality: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Labels, the first class most frequent and every class present, and scores."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.7, *[0.3 / (classes - 1)] * (classes - 1)])
    labels = np.concatenate([np.arange(classes), np.arange(classes), rng.choice(classes, images, p=shares)])
    return labels, rng.normal(size=(len(labels), classes)) + quality * np.eye(classes)[labels]


def known(metric: str, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return target_metric.by_image(metric, labels, scores, softmax(scores, axis=1))


def expected(metric: str, labels: np.ndarray, scores: np.ndarray) -> float:
    predicted, probabilities = scores.argmax(axis=1), softmax(scores, axis=1)
    if metric == "accuracy":
        return reference.accuracy_score(labels, predicted)
    if metric == "balanced-accuracy":
        return reference.balanced_accuracy_score(labels, predicted)
    if metric == "macro-f1":
        return reference.f1_score(labels, predicted, average="macro")
    if metric == "log-loss":
        return reference.log_loss(labels, probabilities)
    if scores.shape[1] == 2:
        return reference.roc_auc_score(labels, scores[:, 1] - scores[:, 0])
    return reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("metric", METRICS)
def test_the_value_is_that_of_scikit_learn(metric: str, classes: int) -> None:
    labels, scores = drawn(classes, classes)
    assert target_metric.value(metric, labels, known(metric, labels, scores)) == pytest.approx(
        expected(metric, labels, scores), abs=1e-12
    )


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("metric", METRICS)
def test_what_images_add_to_a_difference_sums_to_it(metric: str, classes: int) -> None:
    labels, first = drawn(1, classes)
    second = first + np.random.default_rng(2).normal(size=first.shape)
    a, b = (known(metric, labels, scores) for scores in (first, second))
    difference = expected(metric, labels, first) - expected(metric, labels, second)
    if target_metric.lower_is_better(metric):
        difference = -difference
    assert target_metric.paired_differences(metric, labels, a, b).mean() == pytest.approx(difference, abs=1e-12)
    assert target_metric.gain(metric, labels, a) - target_metric.gain(metric, labels, b) == pytest.approx(difference)
    assert not target_metric.paired_differences(metric, labels, a, a).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3).map(lambda x: round(x, 2)), min_size=1, max_size=11))
def test_the_sign_flip_test_counts_all_signs(values: list[float]) -> None:
    differences = np.array(values)
    signs = np.array(list(itertools.product([-1, 1], repeat=len(values))))
    sums, total = np.abs(signs @ differences), abs(differences.sum())
    exact = (sums >= total - 1e-9).mean() if total > 1e-9 else 1.0
    below = (sums >= total + 0.01 * np.sqrt(np.square(differences).sum())).mean()
    assert below - 1e-9 <= exact <= sign_flip_p(differences) + 1e-9  # never smaller,
    nearly = (sums >= total - 0.02 * np.sqrt(np.square(differences).sum())).mean()
    assert sign_flip_p(differences) <= nearly + 1e-9  # and larger only by sums that are almost equal


@pytest.mark.parametrize("count", [MANY - 10, MANY + 10, 1000])
def test_many_differences_have_the_p_of_the_exact_test_of_integers(count: float) -> None:
    rng = np.random.default_rng(0)
    for shift in (0.02, 0.1, 0.3):
        whole = np.where(rng.random(int(count)) < 0.5 - shift / 2, -1, 1) * rng.integers(1, 4, int(count))
        assert sign_flip_p(whole * 0.37) == pytest.approx(paired.sign_flip_test(whole), rel=0.06, abs=1e-4)


def swapped_p(metric: str, labels: np.ndarray, first: np.ndarray, second: np.ndarray, draws: int = 400) -> float:
    """The randomization test that exchanges the two classifiers' predictions of an image, and computes anew."""
    rng, found = np.random.default_rng(0), 0
    observed = abs(target_metric.value(metric, labels, first) - target_metric.value(metric, labels, second))
    for _ in range(draws):
        swap = rng.random(len(labels)) < 0.5
        a, b = np.where(swap, second, first), np.where(swap, first, second)
        difference = target_metric.value(metric, labels, a) - target_metric.value(metric, labels, b)
        found += abs(difference) >= observed - 1e-12
    return (1 + found) / (1 + draws)


@pytest.mark.parametrize("metric", ["balanced-accuracy", "macro-f1", "log-loss"])
def test_the_test_agrees_with_exchanging_the_classifiers(metric: str) -> None:
    labels, first = drawn(3, 3)
    second = first + np.random.default_rng(7).normal(size=first.shape) * 0.9
    a, b = known(metric, labels, first), known(metric, labels, second)
    p = paired.sign_flip_test(target_metric.paired_differences(metric, labels, a, b))
    assert p == pytest.approx(swapped_p(metric, labels, a, b), abs=0.06)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_classifiers_are_rarely_called_different(metric: str) -> None:
    significant, draws = 0, 100
    for seed in range(draws):
        labels, base = drawn(seed, 3, 150)
        rng = np.random.default_rng([seed, 1])
        a, b = (known(metric, labels, base + rng.normal(size=base.shape)) for _ in range(2))
        differences = target_metric.paired_differences(metric, labels, a, b)
        significant += paired.sign_flip_test(differences) < 0.05
    assert significant / draws < 0.11  # 0.05 and three standard errors


def test_groups_are_the_units_of_the_test() -> None:
    labels = np.repeat([0, 1], 60)
    better, worse = np.ones(120, bool), np.arange(120) % 6 > 0
    differences = target_metric.paired_differences("balanced-accuracy", labels, better, worse)
    assert paired.sign_flip_test(differences) < 0.001
    assert paired.sign_flip_test(differences, np.arange(120) // 60) == pytest.approx(0.5)  # two groups


def test_the_interval_of_the_mean_area_is_that_of_resampled_images() -> None:
    labels, scores = drawn(5, 3, 300)
    probabilities, rng = softmax(scores, axis=1), np.random.default_rng(0)
    low, high = macro_roc_auc_interval(labels, probabilities)
    rows = [np.flatnonzero(labels == c) for c in range(3)]
    areas = []
    for _ in range(100):
        taken = np.concatenate([rng.choice(row, len(row)) for row in rows])
        areas.append(expected("roc-auc", labels[taken], scores[taken]))
    assert high - low == pytest.approx(2 * 1.96 * np.std(areas), rel=0.25)
    assert low < expected("roc-auc", labels, scores) < high
    assert np.diff(macro_roc_auc_interval(labels, probabilities, np.arange(len(labels)) // 4))[0] > high - low


def rare(wrong_frequent: int, wrong_rare: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 360 and 40 images, and scores of which so many are wrong."""
    labels = np.repeat([0, 1], [360, 40])
    predicted = labels.copy()
    predicted[:wrong_frequent], predicted[360 : 360 + wrong_rare] = 1, 0
    return labels, 2.0 * np.eye(2)[predicted]


def test_the_interval_of_a_mean_area_covers_with_few_images_near_its_limit() -> None:
    covered = 0
    for pool in range(4):  # three classes, mean area 0.97
        rng = np.random.default_rng(pool)
        labels = rng.integers(0, 3, 6000)
        probabilities = softmax(2 * (rng.normal(size=(6000, 3)) + 2 * np.eye(3)[labels]), axis=1)
        truth = macro_roc_auc(labels, probabilities)
        assert truth
        for _ in range(100):
            drawn = rng.choice(6000, 50, replace=False)
            low, high = macro_roc_auc_interval(labels[drawn], probabilities[drawn])
            covered += low <= truth <= high
    assert covered >= 380


def test_the_metric_decides_the_recommendation_and_the_verdict() -> None:
    labels, cautious = rare(30, 5)
    _, careless = rare(0, 30)  # 5 images more correct, of the frequent class
    scores = {"cautious": cautious, "careless": careless}
    correct = {name: (s.argmax(axis=1) == labels)[None] for name, s in scores.items()}
    for metric, best in (("accuracy", "careless"), ("balanced-accuracy", "cautious"), ("macro-f1", "cautious")):
        by_image = {name: known(metric, labels, s)[None] for name, s in scores.items()}
        found = recommend([Candidate(n, correct[n], 10, by_image[n]) for n in scores], labels, metric=metric)
        assert (found.best, found.name, found.metric) == (best, best, metric)
        outcomes = [Outcome(n, correct[n], 10, by_image=by_image[n], interval=(0.5, 0.9)) for n in scores]
        verdict = compare_strategies(outcomes, labels, recommendation=found, metric=metric)
        assert verdict.results[0].name == best
        assert verdict.results[0].value == pytest.approx(expected(metric, labels, scores[best]))
    text = " ".join(verdict_sentences(verdict))
    assert text.startswith("By macro-F1: cautious 80.8 % [50.0, 90.0] is significantly better than careless")
    assert ", sign-flip p = " in text
    assert "because it has the highest macro-F1 there (80.8 %)" in text


def test_a_lower_log_loss_is_better_in_numbers_and_words() -> None:
    labels, scores = drawn(0, 2, 300, quality=3.0)
    by_image = {name: known("log-loss", labels, s)[None] for name, s in (("good", scores), ("poor", scores / 20))}
    correct = (scores.argmax(axis=1) == labels)[None]
    found = recommend([Candidate(n, correct, 1, k) for n, k in by_image.items()], labels, metric="log-loss")
    outcomes = [Outcome(n, correct, 1, by_image=k, interval=(0.1, 0.9)) for n, k in by_image.items()]
    verdict = compare_strategies(outcomes, labels, recommendation=found, metric="log-loss")
    pair = verdict.pairs[0]
    assert (found.name, pair.first) == ("good", "good")
    assert 0 < pair.low < pair.difference < pair.high
    assert pair.significant
    text = " ".join(verdict_sentences(verdict))
    assert "good, poor" not in text
    assert "good and poor are not shown to be better than predicting the share of each class, which has a" in text
    assert "because it has the lowest log-loss there" in text


@pytest.mark.parametrize("metric", METRICS)
def test_the_baseline_is_that_of_scikit_learn(metric: str) -> None:
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    shares = np.tile(np.bincount(labels) / 100, (100, 1))
    scores = np.log(shares) if metric == "log-loss" else np.tile([1.0, 0, 0], (100, 1))
    assert target_metric.baseline(metric, labels) == pytest.approx(expected(metric, labels, scores))


def test_accuracy_is_called_a_bad_choice_for_rare_classes_only() -> None:
    assert target_metric.advice({"a": 50, "b": 50, "c": 20}) == ""
    assert target_metric.advice({"a": 50}) == ""
    assert "'a' would reach 90 % accuracy" in target_metric.advice({"a": 90, "b": 10})
    assert "'a' has 20 times as many images as 'c'" in target_metric.advice({"a": 40, "b": 40, "c": 2})
