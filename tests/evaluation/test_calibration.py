"""Temperature, reliability and 'unsure' against scikit-learn, scipy and worked examples; coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import binom
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from topwork.evaluation import calibration


def drawn(images: int, classes: int, temperature: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too large by a factor of ``temperature``, and labels from what they should be."""
    logits = rng.normal(size=(images, classes)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return logits * temperature, labels


@pytest.mark.parametrize(("classes", "temperature"), [(2, 0.4), (3, 1.0), (10, 2.5)])
def test_the_temperature_is_that_of_the_least_log_loss(classes: int, temperature: float) -> None:
    logits, labels = drawn(4000, classes, temperature, np.random.default_rng(1))
    found = calibration.fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.15)
    best = minimize_scalar(lambda t: log_loss(labels, softmax(logits / t, axis=1)), bounds=(0.05, 20), method="bounded")
    assert found == pytest.approx(best.x, rel=1e-3)


def test_scores_that_say_nothing_about_a_temperature_leave_it_at_one() -> None:
    labels = np.array([0, 1, 1])
    assert calibration.fit_temperature(np.zeros((3, 2)), labels) == 1
    assert calibration.fit_temperature(np.full((3, 2), np.nan), labels) == 1


def test_a_val_part_without_a_mistake_makes_nothing_surer() -> None:
    labels = np.array([0, 1, 1])
    assert calibration.fit_temperature(3.0 * np.eye(2)[labels], labels) == 1
    assert calibration.fit_temperature(0.1 * np.eye(2)[labels], labels) == 1


def test_bins_and_error_are_those_of_a_table_made_by_hand() -> None:
    confidence = np.array([0.55, 0.60, 0.72, 0.78, 0.95, 0.97, 1.0, 1.0])
    correct = np.array([0, 1, 1, 0, 1, 1, 1, 0], dtype=bool)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    bins = calibration.reliability(probabilities, (~correct).astype(int), bins=10)
    # (0.5, 0.6]: 0.575 sure, 1 of 2; (0.7, 0.8]: 0.75, 1 of 2; (0.9, 1]: 0.98, 3 of 4
    np.testing.assert_allclose(bins.low, [0.5, 0.7, 0.9])
    assert bins.images.tolist() == [2, 2, 4]
    np.testing.assert_allclose(bins.confidence, [0.575, 0.75, 0.98])
    np.testing.assert_allclose(bins.accuracy, [0.5, 0.5, 0.75])
    assert bins.ece == pytest.approx((2 * 0.075 + 2 * 0.25 + 4 * 0.23) / 8)


@given(st.integers(1, 300), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_bins_equal_those_of_scikit_learn(images: int, classes: int, seed: int) -> None:
    logits, labels = drawn(images, classes, 1.3, np.random.default_rng(seed))
    probabilities = softmax(logits, axis=1)
    bins = calibration.reliability(probabilities, labels)
    correct = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(correct, probabilities.max(axis=1), n_bins=calibration.BINS)
    np.testing.assert_allclose(bins.accuracy, accuracy)
    np.testing.assert_allclose(bins.confidence, confidence)
    assert bins.images.sum() == images
    low, high = calibration.ece_interval(bins, np.random.default_rng(0), draws=50)
    assert 0 <= low <= high <= 1.5


def test_the_interval_of_the_calibration_error_covers_it() -> None:
    rng, sets, covered = np.random.default_rng(5), 120, []
    for images, temperature in ((300, 1.0), (300, 1.8), (1000, 1.3)):
        logits, labels = drawn(400_000, 5, temperature, rng)
        truth = calibration.reliability(softmax(logits, axis=1), labels).ece
        covered.append(0)
        for _ in range(sets):
            logits, labels = drawn(images, 5, temperature, rng)
            bins = calibration.reliability(softmax(logits, axis=1), labels)
            low, high = calibration.ece_interval(bins, rng, draws=100)
            covered[-1] += low <= truth <= high
    fewest, most = binom.interval(0.998, 3 * sets, 0.95)  # what chance makes of a share of 0.95
    assert fewest <= sum(covered) <= most
    assert min(covered) >= binom.ppf(0.001, sets, 0.95)


def test_the_curve_of_coverage_counts_equal_confidences_together() -> None:
    confidence = np.array([0.9, 0.8, 0.8, 0.6])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    thresholds, coverage, accuracy = calibration.coverage_curve(probabilities, np.array([0, 0, 1, 1]))
    assert thresholds.tolist() == [0.9, 0.8, 0.6]
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    np.testing.assert_allclose(accuracy, [1, 2 / 3, 0.5])


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_the_curve_equals_counting(images: int, classes: int, seed: int) -> None:
    logits, labels = drawn(images, classes, 1.0, np.random.default_rng(seed))
    probabilities = np.round(softmax(logits, axis=1), 2)  # so that some are equal
    for threshold, coverage, accuracy in zip(*calibration.coverage_curve(probabilities, labels), strict=True):
        expected = pytest.approx(coverage), pytest.approx(accuracy)
        assert calibration.selective_accuracy(probabilities, labels, threshold) == expected


def test_unsure_halves_the_errors_where_that_leaves_half_of_the_images() -> None:
    logits, labels = drawn(5000, 3, 1.0, np.random.default_rng(0))
    probabilities = softmax(logits, axis=1)
    below = calibration.choose_confidence_threshold(probabilities, labels)
    _, overall = calibration.selective_accuracy(probabilities, labels, 0.0)
    coverage, accuracy = calibration.selective_accuracy(probabilities, labels, below)
    _, looser = calibration.selective_accuracy(probabilities, labels, below - 0.02)
    assert overall is not None
    assert accuracy is not None
    assert looser is not None
    assert coverage >= 0.5
    assert 1 - accuracy <= 0.5 * (1 - overall)
    assert 1 - looser > 0.5 * (1 - overall)


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_without_an_error_to_halve_no_image_is_unsure_by_its_rank(images: int, seed: int) -> None:
    confidence = np.random.default_rng(seed).uniform(0.6, 1, images)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert calibration.choose_confidence_threshold(probabilities, np.zeros(images, int)) == 0.5


def test_a_prediction_more_likely_incorrect_than_correct_is_always_unsure() -> None:
    probabilities = np.array([[0.4, 0.3, 0.3], [0.45, 0.3, 0.25]])
    assert calibration.choose_confidence_threshold(probabilities, np.array([0, 0])) == 0.5
    assert calibration.choose_confidence_threshold(np.full((4, 2), np.nan), np.zeros(4, int)) == 0.5
    assert calibration.selective_accuracy(probabilities, np.array([0, 0]), 0.5) == (0.0, None)
