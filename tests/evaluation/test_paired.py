"""Paired comparisons against scipy, against brute force and by simulated test sets."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from topwork.evaluation import paired


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_binomial_test_of_scipy(a: int, b: int) -> None:
    expected = binomtest(a, a + b).pvalue if a + b else 1.0
    assert paired.mcnemar(a, b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_a_worked_example() -> None:
    # 10 images differ, 9 for one: 2 (1 + 10) / 1024
    assert paired.mcnemar(9, 1) == pytest.approx(22 / 1024)
    assert paired.mcnemar(5, 5) == 1
    assert paired.mcnemar(0, 0) == 1


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_the_sign_flip_test_tries_all_signs(differences: list[int]) -> None:
    values = np.array(differences)
    sums = np.array([np.dot(signs, values) for signs in product([-1, 1], repeat=len(values))])
    assert paired.sign_flip_test(values) == pytest.approx((np.abs(sums) >= abs(values.sum())).mean())


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 4)), min_size=1, max_size=14))
def test_the_sign_flip_test_of_groups_tries_all_signs_of_groups(pairs: list[tuple[int, int]]) -> None:
    values, groups = np.array(pairs).T
    sums = np.array([values[groups == group].sum() for group in np.unique(groups)])
    flipped = np.array([np.dot(signs, sums) for signs in product([-1, 1], repeat=len(sums))])
    assert paired.sign_flip_test(values, groups) == pytest.approx((np.abs(flipped) >= abs(values.sum())).mean())


def test_equal_strategies_are_rarely_called_different_where_images_come_in_groups() -> None:
    """20 patients of 25 images, of which one strategy or the other is better at some by chance."""
    rng, groups, labels = np.random.default_rng(4), np.repeat(np.arange(20), 25), np.zeros(500, dtype=int)
    n_tests, alone, together, covered = 300, 0, 0, 0
    for _ in range(n_tests):
        share = np.repeat(rng.beta(2, 2, size=20), 25)  # of the images that differ, those for the first
        d = np.where(rng.random(500) < 0.2, np.where(rng.random(500) < share, 1, -1), 0)
        alone += paired.sign_flip_test(d) < 0.05
        together += paired.sign_flip_test(d, groups) < 0.05
        low, high = paired.difference_interval(d.astype(float), labels, rng, 300, groups)
        covered += low <= 0 <= high
    assert together <= binom.ppf(0.999, n_tests, 0.05)
    assert covered >= binom.ppf(0.001, n_tests, 0.95)
    assert alone > 0.1 * n_tests  # what counting images costs


def test_holm_is_that_of_a_worked_example() -> None:
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]
    assert paired.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p: list[float]) -> None:
    adjusted = paired.holm(p)
    assert all(a <= b <= min(1, a * len(p)) + 1e-12 for a, b in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def differences(rng: np.random.Generator, size: tuple[int, ...], first: float, second: float) -> np.ndarray:
    """1 with probability ``first``, -1 with ``second``, else 0."""
    u = rng.random(size)
    return (u < first).astype(int) - (u > 1 - second).astype(int)


@pytest.mark.parametrize(
    ("images", "classes", "first", "second"), [(100, 2, 0.1, 0.05), (400, 50, 0.1, 0.05), (656, 2, 0.03, 0.01)]
)
def test_the_interval_of_a_difference_covers_it(images: int, classes: int, first: float, second: float) -> None:
    rng, labels = np.random.default_rng(1), np.arange(images) % classes
    covered = 0
    for sample in differences(rng, (2000, images), first, second):
        low, high = paired.difference_interval(sample, labels, rng, 200)
        covered += low <= first - second <= high
    assert 0.93 <= covered / 2000 <= 0.97


def test_no_image_that_differs_is_no_proof_of_equality() -> None:
    low, high = paired.difference_interval(np.zeros(200), np.arange(200) % 2, np.random.default_rng(0))
    assert low < 0 < high
    assert high <= 0.01


@pytest.mark.parametrize(("images", "share"), [(400, 0.1), (656, 0.05), (200, 0.3)])
def test_the_detectable_difference_is_found_in_four_of_five_test_sets(images: int, share: float) -> None:
    rng = np.random.default_rng(2)
    drawn = differences(rng, (2000, images), share / 2, share / 2)
    difference = np.mean([paired.minimum_detectable_difference(sample) for sample in drawn[:50]])
    samples = differences(rng, (2000, images), (share + difference) / 2, (share - difference) / 2)
    found = np.mean([paired.mcnemar((s > 0).sum(), (s < 0).sum()) < 0.05 for s in samples])
    assert 0.7 <= found <= 0.87  # the exact test is a little cautious


def test_the_detectable_difference_needs_enough_images_to_differ() -> None:
    assert paired.minimum_detectable_difference(np.zeros(100)) == pytest.approx(
        0.06, abs=0.02
    )  # 6 of 6: p = 0.03, 5 of 5: p = 0.06
    assert paired.minimum_detectable_difference(np.zeros(3)) == 1


def trained(rng: np.random.Generator, hard: np.ndarray, seeds: int, noise: float) -> np.ndarray:
    """Whether each image is correct: mostly by how hard it is, and by chance of the training."""
    return rng.random((seeds, len(hard))) < np.clip(hard + rng.normal(0, noise, (seeds, len(hard))), 0, 1)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_strategy_does_not_differ_significantly_from_itself_with_other_seeds(seeds: int) -> None:
    rng, labels, significant = np.random.default_rng(3), np.arange(300) % 3, 0
    for _ in range(600):
        hard = rng.beta(4, 1, 300)
        correct = {name: trained(rng, hard, seeds, 0.1) for name in ("one", "other")}
        significant += paired.pairwise(correct, labels, resamples=20)[0].significant
    assert significant / 600 <= 0.07


def test_all_pairs_are_corrected_together_and_a_better_strategy_is_found() -> None:
    rng, labels = np.random.default_rng(4), np.arange(600) % 2
    hard = rng.beta(4, 2, 600)
    correct = {
        "poor": trained(rng, hard - 0.2, 1, 0),
        "good": trained(rng, hard, 1, 0),
        "twin": trained(rng, hard, 1, 0),
    }
    pairs = {(p.first, p.second): p for p in paired.pairwise(correct, labels)}
    assert list(pairs) == [("poor", "good"), ("poor", "twin"), ("good", "twin")]
    assert pairs["poor", "good"].significant
    assert pairs["poor", "twin"].significant
    assert not pairs["good", "twin"].significant
    for pair in pairs.values():
        a, b = correct[pair.first][0], correct[pair.second][0]
        assert pair.difference == pytest.approx(a.mean() - b.mean())
        assert (pair.only_first_correct, pair.only_second_correct) == ((a & ~b).sum(), (~a & b).sum())
        assert pair.p == pytest.approx(paired.mcnemar(pair.only_first_correct, pair.only_second_correct))
        assert pair.low <= pair.difference <= pair.high
        back = pair.swapped()
        assert (back.difference, back.low, back.high) == (-pair.difference, -pair.high, -pair.low)
    assert paired.pairwise(correct, labels) == paired.pairwise(correct, labels)
    assert paired.pairwise(correct, labels, seed=1) != paired.pairwise(correct, labels)


def test_a_difference_that_a_seed_contradicts_is_not_significant() -> None:
    labels = np.zeros(100, dtype=int)
    a, b = np.ones((2, 100), dtype=bool), np.ones((2, 100), dtype=bool)
    b[0, :40] = False
    a[1, :1] = False
    pair = paired.pairwise({"a": a, "b": b}, labels)[0]
    assert pair.p_holm < 0.001
    assert not pair.consistent_over_seeds
    assert not pair.significant
