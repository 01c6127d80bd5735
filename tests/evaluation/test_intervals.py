"""Intervals against scipy, against redrawing images one by one, and by their coverage."""

from __future__ import annotations

import time
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binom, binomtest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from topwork.evaluation import intervals, metrics

RNG_SEED = 5
DRAWS = 200  # test sets of a law


def redrawn(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One stratified bootstrap sample, the slow and obvious way: indices of images, one less than there are of each
    class; each stands for n / (n - 1) images, which matters little in a figure that weights classes by their sizes."""
    groups = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return np.concatenate([rng.choice(group, size=len(group) - 1) for group in groups])


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(pair: tuple[int, int]) -> None:
    correct, images = pair
    expected = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    low, high = intervals.wilson(correct, images)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= correct / images <= high <= 1


def by_log_odds(figure: float, samples: list[float]) -> tuple[float, float]:
    """The interval of a figure from slow bootstrap samples, by the textbook."""
    centre = 2 * figure - float(np.mean(samples))
    middle, spread = logit(centre), 1.959964 * np.std(samples) / (centre * (1 - centre))
    return float(expit(middle - spread)), float(expit(middle + spread))


def test_confusion_metrics_equal_redrawing_images() -> None:
    rng = np.random.default_rng(RNG_SEED)
    labels = np.repeat(np.arange(6), [60, 30, 20, 20, 15, 8])
    predicted = np.where(rng.random(len(labels)) < 0.7, labels, rng.integers(6, size=len(labels)))
    samples = [redrawn(labels, rng) for _ in range(500)]
    slow = [
        by_log_odds(figure(labels, predicted), [figure(labels[s], predicted[s]) for s in samples])
        for figure in (balanced_accuracy_score, lambda a, b: f1_score(a, b, average="macro"))
    ]
    fast = intervals.confusion_intervals(labels, predicted, 6, rng)
    np.testing.assert_allclose(fast, slow, atol=0.015)


def test_the_mean_recall_of_one_class_is_wilsons_and_of_two_has_their_joint_reach() -> None:
    one = intervals.mean_recall_interval(np.array([30]), np.array([40]))
    assert one == pytest.approx(intervals.wilson(30, 40))
    (low_a, high_a), (low_b, high_b) = intervals.wilson(30, 40), intervals.wilson(5, 20)
    reach = np.hypot(0.75 - low_a, 0.25 - low_b) / 2, np.hypot(high_a - 0.75, high_b - 0.25) / 2
    assert intervals.mean_recall_interval(np.array([30, 5]), np.array([40, 20])) == pytest.approx(
        (0.5 - reach[0], 0.5 + reach[1])
    )


@pytest.mark.parametrize("classes", [2, 20])
def test_all_right_is_not_certainly_right(classes: int) -> None:
    labels = np.repeat(np.arange(classes), 10)
    for low, high in intervals.confusion_intervals(labels, labels, classes, np.random.default_rng(0)):
        assert 0.6 < low < 0.99
        assert high == 1
    found = intervals.roc_auc_interval(
        np.repeat([True, False], [12, 40]), np.arange(52)[::-1] / 52, np.random.default_rng(0)
    )
    assert found == pytest.approx(intervals.wilson(12, 12))


def test_roc_auc_equals_redrawing_images() -> None:
    rng = np.random.default_rng(RNG_SEED)
    positive = np.repeat([True, False], [40, 70])
    score = np.round(rng.normal(size=110) + positive, 1)  # rounded, so that there are ties
    samples = [redrawn(positive, rng) for _ in range(1000)]
    slow = np.quantile([roc_auc_score(positive[s], score[s]) for s in samples], [0.025, 0.975])
    fast = intervals.roc_auc_interval(positive, score, rng, resamples=4000)
    assert fast is not None
    np.testing.assert_allclose(fast, slow, atol=0.012)


def test_the_loss_equals_redrawing_images() -> None:
    rng = np.random.default_rng(RNG_SEED)
    labels, values = np.repeat([0, 1], [150, 60]), rng.exponential(size=210)
    samples = [np.log(values[redrawn(labels, rng)].mean()) for _ in range(4000)]
    middle, reach = np.log(values.mean()), 1.959964 * np.std(samples)
    slow = np.exp([middle - reach, middle + reach])
    np.testing.assert_allclose(intervals.loss_interval(values, labels), slow, atol=0.02)


def confusions(rng: np.random.Generator, sizes: list[int], accuracy: float, count: int) -> np.ndarray:
    """Confusion matrices (count, K, K) of test sets with so many images of each class."""
    others = (1 - accuracy) / (len(sizes) - 1)
    rows = np.full((len(sizes), len(sizes)), others) + (accuracy - others) * np.eye(len(sizes))
    return np.stack([rng.multinomial(n, row, size=count) for n, row in zip(sizes, rows, strict=True)], axis=1)


@pytest.mark.parametrize(
    ("sizes", "accuracy"),
    [
        ([30, 70], 0.88),
        ([13, 100], 0.95),
        ([130, 520], 0.9),
        ([40, 30, 20, 12, 8, 8, 6], 0.75),
        ([8] * 20, 0.85),
        ([8] * 40, 0.6),
        ([1] * 100, 0.7),
        ([2] * 50, 0.9),
        ([25, 25], 0.97),
    ],
)
def test_intervals_of_metrics_of_the_confusion_matrix_cover_them(sizes: list[int], accuracy: float) -> None:
    rng, support = np.random.default_rng(6), np.array(sizes)
    others = (1 - accuracy) / (len(sizes) - 1)
    mean = support[:, None] * (np.full((len(sizes), len(sizes)), others) + (accuracy - others) * np.eye(len(sizes)))
    truth = (accuracy, float(metrics.macro_f1(np.diag(mean), support, mean.sum(axis=0))))
    covered = np.zeros(2)
    for confusion in confusions(rng, sizes, accuracy, DRAWS):
        labels, predicted = (
            np.repeat(index, confusion.ravel()) for index in np.indices(confusion.shape).reshape(2, -1)
        )
        found = intervals.confusion_intervals(labels, predicted, len(sizes), rng, resamples=30)
        covered += [low <= value <= high for (low, high), value in zip(found, truth, strict=True)]
    assert (covered >= binom.ppf(0.001, DRAWS, 0.935)).all(), covered
    assert (covered <= binom.ppf(0.999, DRAWS, 0.98)).all(), covered


def test_intervals_of_means_and_areas_cover_them() -> None:
    rng, labels = np.random.default_rng(7), np.repeat([0, 1], [60, 140])
    covered = np.zeros(2)
    area = NormalDist().cdf(1.5 / 2**0.5)
    for _ in range(DRAWS):
        score = rng.normal(size=200) + 1.5 * labels
        found = intervals.roc_auc_interval(labels == 1, score, rng, resamples=200)
        assert found
        low, high = intervals.loss_interval(rng.exponential(size=200), labels)
        covered += [found[0] <= area <= found[1], low <= 1 <= high]
    assert (covered >= binom.ppf(0.001, DRAWS, 0.935)).all(), covered
    assert (covered <= binom.ppf(0.999, DRAWS, 0.98)).all(), covered


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.6])
def test_intervals_of_images_in_groups_cover(correlation: float) -> None:
    """30 patients with 25 images each: whether images are right goes together within a patient."""
    rng, groups, labels = np.random.default_rng(9), np.repeat(np.arange(30), 25), np.arange(750) % 2
    covered, alone = np.zeros(4), 0
    for _ in range(DRAWS):
        beta = (0.8 * (1 / correlation - 1), 0.2 * (1 / correlation - 1)) if correlation else None
        right = rng.random(750) < np.repeat(rng.beta(*beta, 30) if beta else np.full(30, 0.8), 25)
        predicted = np.where(right, labels, 1 - labels)
        balanced, _ = intervals.confusion_intervals(labels, predicted, 2, rng, groups, resamples=10)
        losses = rng.exponential(size=750) * np.where(right, 0.5, 3.0)
        score = np.where(right, 1.0, -1.0) * (2 * labels - 1) + 0.01 * rng.normal(size=750)
        area = intervals.roc_auc_interval(labels == 1, score, rng, groups, resamples=50)
        found = [(intervals.share_interval(right, groups), 0.8), (balanced, 0.8)]
        found += [(intervals.loss_interval(losses, labels, groups), 1.0), (area or (0.0, 0.0), 0.8)]
        covered += [low <= truth <= high for (low, high), truth in found]
        low, high = intervals.share_interval(right)
        alone += low <= 0.8 <= high
    assert (covered[:3] >= binom.ppf(0.001, DRAWS, 0.93)).all(), covered
    assert (covered <= binom.ppf(0.999, DRAWS, 0.985)).all(), covered
    if correlation:  # without groups the interval is wrong
        assert alone < 0.8 * DRAWS


def test_groups_of_one_image_are_no_groups() -> None:
    rng, right = np.random.default_rng(0), np.arange(60) % 5 > 0
    assert intervals.share_interval(right, rng.permutation(60)) == intervals.share_interval(right)


@pytest.mark.parametrize(("images", "share"), [(16, 0.95), (50, 0.97), (200, 0.99), (200, 0.7)])
def test_intervals_of_means_over_seeds_cover(images: int, share: float) -> None:
    """Three seeds agree about most images: with one image more or less right, few images tell the variance."""
    rng = np.random.default_rng(10)
    covered = 0
    for _ in range(DRAWS):
        easy = rng.beta(share * 2, (1 - share) * 2, size=images)
        low, high = intervals.share_interval((rng.random((3, images)) < easy).mean(axis=0))
        assert high > low
        covered += low <= share <= high
    assert covered >= binom.ppf(0.001, DRAWS, 0.93), covered


def test_wilson_covers_the_share_on_the_whole() -> None:
    """Over many shares: at a single one, whole numbers make the coverage jump."""
    rng = np.random.default_rng(8)
    shares = rng.uniform(0.5, 0.99, 20_000)
    correct = rng.binomial(400, shares)
    ends = np.array([intervals.wilson(r, 400) for r in range(401)])[correct]
    assert ((ends[:, 0] <= shares) & (shares <= ends[:, 1])).mean() == pytest.approx(0.95, abs=0.01)


def test_blocks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, values = np.repeat([0, 1], [50, 20]), np.random.default_rng(0).exponential(size=70)

    def area() -> object:
        return intervals.roc_auc_interval(labels == 1, np.round(values, 1), np.random.default_rng(1))

    complete = area()
    monkeypatch.setattr(intervals, "_BLOCK", 70 * 10)
    np.testing.assert_allclose(area(), complete, atol=0.01)


def test_an_area_that_is_not_defined_has_no_interval() -> None:
    assert intervals.roc_auc_interval(np.array([True, True]), np.array([0.1, 0.2]), np.random.default_rng(0)) is None


def test_a_thousand_images_of_196_classes_take_less_than_two_seconds() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(196, size=1000), rng.integers(196, size=1000)
    start = time.process_time()
    intervals.confusion_intervals(labels, predicted, 196, rng)
    intervals.loss_interval(rng.random(1000), labels)
    intervals.roc_auc_interval(labels < 98, rng.random(1000), rng)
    assert time.process_time() - start < 2
