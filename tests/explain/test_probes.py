"""Linear probes: as right as an independent classifier, chosen without the test images, and calm about odd data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from topwork.core.errors import DataError
from topwork.explain.probes import GRID, linear_probes


def _clouds(count: int, classes: int, width: int, distance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds around one center per class, with features on very different scales."""
    centers = np.random.default_rng(0).normal(size=(classes, width)) * distance
    scale = np.exp(3 * np.random.default_rng(1).normal(size=width))
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    return ((centers[labels] + rng.normal(size=(count, width))) * scale + 5).astype(np.float32), labels


def test_a_probe_is_scikit_learns_classifier_with_the_chosen_penalty() -> None:
    train, labels = _clouds(240, 3, 20, 0.4, seed=2)
    test, test_labels = _clouds(200, 3, 20, 0.4, seed=3)
    (probe,) = linear_probes({"a": train}, labels, {"a": test}, test_labels)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=probe.c, max_iter=1000))
    assert probe.accuracy == reference.fit(train.astype(np.float64), labels).score(test, test_labels)
    interval = binomtest(round(probe.accuracy * 200), 200).proportion_ci(method="wilson")
    assert (probe.low, probe.high) == pytest.approx((interval.low, interval.high))
    assert any(probe.c * 20 == pytest.approx(c) for c in GRID)
    optimal = LinearDiscriminantAnalysis().fit(train, labels).score(test, test_labels)  # the right model of these data
    assert probe.accuracy == pytest.approx(optimal, abs=0.06)


def test_layers_are_told_apart_and_keep_their_order() -> None:
    near, labels = _clouds(200, 4, 12, 0.2, seed=2)
    far, _ = _clouds(200, 4, 12, 2.0, seed=2)
    near_test, test_labels = _clouds(100, 4, 12, 0.2, seed=3)
    far_test, _ = _clouds(100, 4, 12, 2.0, seed=3)
    noise = np.random.default_rng(5).normal(size=(300, 12)).astype(np.float32)
    probes = linear_probes(
        {"noise": noise[:200], "far": far, "near": near},
        labels,
        {"near": near_test, "noise": noise[200:], "far": far_test},
        test_labels,
    )
    assert [probe.layer for probe in probes] == ["noise", "far", "near"]
    assert probes[1].accuracy > 0.98
    assert probes[0].accuracy < probes[2].accuracy < probes[1].accuracy
    assert probes[0].low < 0.25 < probes[0].high


def test_the_penalty_follows_the_training_images_alone() -> None:
    train, labels = _clouds(90, 3, 60, 0.25, seed=2)
    test, test_labels = _clouds(200, 3, 60, 0.25, seed=3)
    (probe,) = linear_probes({"a": train}, labels, {"a": test}, test_labels)
    shuffled = np.random.default_rng(0).permutation(test_labels)
    (other,) = linear_probes({"a": train}, labels, {"a": test}, shuffled)
    assert other.c == probe.c
    assert other.accuracy != probe.accuracy
    assert linear_probes({"a": train}, labels, {"a": test}, test_labels) == [probe]


def test_hard_data_get_a_stronger_penalty_than_easy_data() -> None:
    easy, labels = _clouds(300, 2, 4, 0.6, seed=2)
    noisy = np.concatenate([easy, np.random.default_rng(4).normal(size=(300, 400)).astype(np.float32)], axis=1)
    probes = linear_probes({"easy": easy, "noisy": noisy}, labels, {"easy": easy, "noisy": noisy}, labels)
    assert probes[1].c < probes[0].c


def test_constant_features_say_nothing_and_break_nothing() -> None:
    train, labels = _clouds(120, 3, 8, 1.0, seed=2)
    test, test_labels = _clouds(80, 3, 8, 1.0, seed=3)
    flat = np.float32([0, 0.1, 1e8, -3e-9])
    wobble = np.where(np.arange(120) % 2, np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1)))
    wide = np.concatenate([train, np.tile(flat, (120, 1)), wobble[:, None]], axis=1)
    wide_test = np.concatenate([test, np.tile(flat + 1, (80, 1)), np.full((80, 1), 9.0, np.float32)], axis=1)
    unwrap, padded, constant = linear_probes(
        {"plain": train, "padded": wide, "constant": wide[:, 8:]},
        labels,
        {"plain": test, "padded": wide_test, "constant": wide_test[:, 8:]},
        test_labels,
    )
    assert padded.accuracy == pytest.approx(unwrap.accuracy, abs=0.03)  # only the penalty's scale differs
    assert constant.accuracy == (test_labels == np.bincount(labels).argmax()).mean()


def test_rare_missing_and_lonely_classes() -> None:
    train, labels = _clouds(40, 2, 6, 3.0, seed=2)
    labels = labels * 3  # classes 0 and 3
    labels[0] = 7  # one image
    test, test_labels = _clouds(50, 2, 6, 3.0, seed=3)
    test_labels = test_labels * 3
    test_labels[:10] = 5  # never seen in training
    (probe,) = linear_probes({"a": train}, labels, {"a": test}, test_labels)
    assert 0.6 < probe.accuracy <= 0.8
    (one,) = linear_probes({"a": train}, np.zeros(40, dtype=int), {"a": test}, test_labels)
    assert one.accuracy == (test_labels == 0).mean()
    (pair,) = linear_probes({"a": train[:2]}, np.array([0, 3]), {"a": test}, test_labels)
    assert 0 <= pair.low <= pair.accuracy <= pair.high <= 1


def test_nothing_to_train_or_test_on_is_said() -> None:
    train, labels = _clouds(10, 2, 4, 1.0, seed=2)
    with pytest.raises(DataError, match="Pass more images"):
        linear_probes({"a": train}, labels, {"a": train[:0]}, labels[:0])
