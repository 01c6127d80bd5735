"""Distances to training images against scikit-learn; the false-positive rate by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from topwork.evaluation import ood


def bank(images: int, features: int, seed: int = 0) -> ood.KNNIndex:
    rng = np.random.default_rng(seed)
    table = ood.l2_normalize(rng.normal(size=(images, features))).astype(np.float16)
    return ood.KNNIndex(table, np.arange(images) % 3, tuple(f"{i}.png" for i in range(images)))


def test_the_nearest_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours, new = bank(200, 16), np.random.default_rng(1).normal(size=(50, 16)) * 7
    reference = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute")
    expected, rows = reference.fit(neighbours.features.astype(np.float32)).kneighbors(new)
    for block in (1024, 7):
        monkeypatch.setattr(ood, "_BLOCK", block)
        distances, found = neighbours.nearest(new, 5)
        np.testing.assert_allclose(distances, expected, atol=1e-3)  # float16
        assert (found == rows).mean() > 0.98
        np.testing.assert_allclose(neighbours.distances(new, 5), expected[:, 4], atol=1e-3)
    assert neighbours.nearest(new[:0], 5)[0].shape == (0, 5)


@pytest.mark.parametrize("k", [1, 3, 150])
def test_distances_between_groups_are_those_of_a_loop(k: int) -> None:
    neighbours, rng = bank(200, 16), np.random.default_rng(2)
    groups = np.sort(rng.integers(0, 30, 200))
    groups[:60] = 0
    found, table = neighbours.distances_between_groups(groups, k), neighbours.features.astype(np.float64)
    for row, distance in enumerate(found):
        others = np.sort(1 - table[groups != groups[row]] @ table[row])
        assert distance == pytest.approx(others[min(k, len(others)) - 1], abs=1e-5)
    np.testing.assert_array_equal(neighbours.distances_between_groups(np.zeros(200, dtype=np.int64)), 2)


def test_the_result_for_an_image_does_not_depend_on_the_others() -> None:
    neighbours, rng = bank(301, 257), np.random.default_rng(0)
    features = rng.random((70, 257)).astype(np.float32)
    distances, rows = neighbours.nearest(features, 4)
    for some in (np.array([3]), np.arange(7, 9), rng.permutation(70)[:33]):
        found, which = neighbours.nearest(features[some], 4)
        assert np.array_equal(found, distances[some])
        assert np.array_equal(which, rows[some])


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_k_is_small_beside_a_class(sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    k = ood.KNNIndex(np.zeros((len(labels), 2), np.float16), labels, ("",) * len(labels)).k
    assert 1 <= k <= 10
    assert k <= len(labels)
    assert k <= max(1, np.median(sizes) / 20)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(8, 100), st.integers(0, 9))
def test_a_stratified_subset_is_in_proportion_and_has_every_class(sizes: list[int], max_images: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = ood.stratified_subset(labels, seed, max_images)
    assert len(rows) == min(max_images, len(labels)) == len(set(rows.tolist()))
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, ood.stratified_subset(labels, seed, max_images))
    counts = np.bincount(labels[rows], minlength=len(sizes))
    assert counts.min() >= 1
    assert np.abs(counts - np.array(sizes) * len(rows) / len(labels)).max() <= len(sizes)


def test_images_of_length_zero_are_at_a_right_angle_to_all() -> None:
    assert bank(30, 4).distances(np.zeros((1, 4))) == pytest.approx([1])


@pytest.mark.parametrize("images", [19, 100, 333])
def test_the_false_positive_rate_is_the_chosen_one(images: int) -> None:
    """The mean over thousands of val sets of the share of new images, drawn as val was, above the threshold."""
    rng = np.random.default_rng(0)
    limits = np.array([ood.threshold(rng.random(images)) for _ in range(4000)])
    shares = 1 - limits  # of images with uniform distances
    rank = int(np.ceil((images + 1) * 0.95))
    assert shares.mean() == pytest.approx(1 - rank / (images + 1), abs=0.003)
    assert shares.mean() <= ood.FALSE_POSITIVE_RATE + 0.003


def test_few_images_give_their_largest_distance() -> None:
    assert ood.threshold(np.array([0.2, 0.4, 0.3])) == 0.4
