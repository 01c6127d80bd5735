"""Expected label errors: the bound holds for planted ones, the mean is about right, few are expected in none."""

from __future__ import annotations

import numpy as np
import pytest

from topwork.evaluation import label_noise
from topwork.evaluation.label_noise import Expected, LabelNoise, fit_label_noise, probabilities_of
from topwork.linear.leave_out import LeaveOut


def drawn(classes: int, images: int = 700, size: int = 60) -> tuple[LeaveOut, np.ndarray]:
    """Normal classes whose images are of unequal difficulty."""
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, images)
    centers = rng.normal(size=(classes, size)) * 3 / np.sqrt(size)
    scale = 1 / np.sqrt(rng.chisquare(4, (images, 1)) / 4)
    x = centers[labels] + rng.normal(size=(images, size)) * scale * np.linspace(0.2, 2, size)
    return LeaveOut(x.astype(np.float32)), labels


def ranked(fit: LeaveOut, labels: np.ndarray) -> tuple[LabelNoise, np.ndarray]:
    probabilities = probabilities_of(fit.scores(labels, int(labels.max()) + 1), labels)
    return fit_label_noise(labels, probabilities), np.argsort(
        probabilities[np.arange(len(labels)), labels], kind="stable"
    )


@pytest.mark.parametrize("classes", [2, 7])
def test_planted_errors_are_at_least_as_many_as_stated_and_about_as_many_as_expected(classes: int) -> None:
    fit, labels = drawn(classes)
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        wrong = rng.random(len(labels)) < 0.08
        given = np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)
        noise, order = ranked(fit, given)
        expected = noise.expect(order[:50])
        found.append((expected.at_least <= wrong[order[:50]].sum(), expected.value, wrong[order[:50]].sum()))
        assert 0.02 < noise.rate < 0.14
        assert 20 <= noise.number_to_inspect(order) <= 120
    holds, expected, real = np.array(found, dtype=float).T
    assert holds.sum() >= 5
    assert expected.mean() == pytest.approx(real.mean(), rel=0.2)


@pytest.mark.parametrize("classes", [2, 7])
def test_correct_labels_are_expected_to_have_few_errors(classes: int) -> None:
    fit, labels = drawn(classes)
    noise, order = ranked(fit, labels)
    found = noise.expect(order[:50])
    assert found.at_least <= 1
    assert found.value < 8
    assert noise.number_to_inspect(order) < 20


def known(probability: float, spread: float, images: int = 100) -> LabelNoise:
    """All labels contradict, and are wrong with a probability that is known up to the spread."""
    odds = np.full(images, probability / (1 - probability))
    one, bins = np.full((1, 1), 0.5), np.zeros(images, dtype=np.int64)
    return LabelNoise(np.array([0.5]), one, bins, np.ones(images, dtype=bool), 1.0, odds, spread)


def test_the_bound_is_that_of_the_binomial_law_if_all_is_known() -> None:
    exact = known(0.5, 0.0)
    assert exact.expect(np.arange(100)) == Expected(100, 50.0, 42)
    assert exact.expect(np.arange(1)) == Expected(1, 0.5, 0)
    uncertain = known(0.5, 0.5).expect(np.arange(100))
    assert uncertain.value == pytest.approx(50.0)
    assert uncertain.at_least < 40


def test_inspection_stops_where_fewer_than_one_in_five_are_wrong() -> None:
    assert known(0.3, 0.0).number_to_inspect(np.arange(100)) == 100
    assert known(0.1, 0.0).number_to_inspect(np.arange(100)) == 0


def test_an_error_of_a_label_that_nothing_suggests_is_more_likely() -> None:
    fit, labels = drawn(7)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < 0.1
    given = np.where(wrong, (labels + rng.integers(1, 7, len(labels))) % 7, labels)
    noise, order = ranked(fit, given)
    contradicted = order[noise.contradicted[order]]
    factor = noise.factor[contradicted]
    real = wrong[contradicted]
    assert np.median(factor[real]) > 2 * np.median(factor[~real])


def test_a_certain_classifier_does_not_overflow_and_nothing_is_drawn() -> None:
    labels = np.arange(60) % 3
    certain = np.eye(3)[labels]
    certain[0] = np.roll(certain[0], 1)
    noise, again = (fit_label_noise(labels, certain) for _ in range(2))
    wrong = noise.wrong(np.arange(60))
    assert np.isfinite(wrong).all()
    assert wrong.argmax() == 0
    np.testing.assert_array_equal(wrong, again.wrong(np.arange(60)))
    assert len(noise.rates) == label_noise.SAMPLES
