"""Images on a plane and nearest images: clusters stay together, ties and odd numbers do no harm."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from topwork.core.errors import MissingDependency, UnknownName
from topwork.explain.embedding import embed, nearest


def _clusters(each: int, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), each)
    return (4 * rng.normal(size=(3, width))[labels] + rng.normal(size=(3 * each, width))).astype(np.float32), labels


def _agreement(points: np.ndarray, labels: np.ndarray) -> float:
    distance = cdist(points, points)
    np.fill_diagonal(distance, np.inf)
    return float((labels[distance.argmin(axis=1)] == labels).mean())


def _check(points: np.ndarray, count: int) -> None:
    assert points.shape == (count, 2)
    assert points.dtype == np.float32
    assert points.min() >= 0
    assert points.max() <= 1
    side = points.max(axis=0) - points.min(axis=0)
    assert side.max() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose((points.max(axis=0) + points.min(axis=0)) / 2, 0.5, atol=1e-6)


def test_clusters_stay_clusters() -> None:
    features, labels = _clusters(50)
    order = np.random.default_rng(1).permutation(150)
    found = embed(features[order])
    assert found.description == "t-SNE, perplexity 30"
    _check(found.points, 150)
    assert _agreement(found.points, labels[order]) > 0.95
    middles = np.array([found.points[labels[order] == k].mean(axis=0) for k in range(3)])
    spread = max(found.points[labels[order] == k].std() for k in range(2))
    assert cdist(middles, middles)[np.triu_indices(3, 1)].min() > 3 * spread


def test_a_seed_gives_one_plane() -> None:
    features, _ = _clusters(8)
    np.testing.assert_array_equal(embed(features, seed=3).points, embed(features, seed=3).points)


def test_length_of_features_does_not_count() -> None:
    features, _ = _clusters(8)
    longer = features * 2.0 ** np.random.default_rng(0).integers(-3, 4, size=(24, 1))
    np.testing.assert_allclose(embed(features).points, embed(longer).points, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 10])
@pytest.mark.parametrize("width", [1, 2, 100])
def test_few_images(count: int, width: int) -> None:
    features = np.random.default_rng(count).normal(size=(count, width)).astype(np.float32)
    features[0], features[-1] = -1, 1
    found = embed(features)
    _check(found.points, count)
    assert (
        found.description == ("t-SNE" in found.description and f"t-SNE, perplexity {(count - 1) / 3:.3g}")
        or count < 5
        or width == 1
    )


def test_principal_components_of_few_images() -> None:
    features = np.random.default_rng(0).normal(size=(4, 9))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(unit.T))
    assert values[-1] > values[-2]
    wanted = (unit - unit.mean(axis=0)) @ vectors[:, [-1, -2]]
    found = embed(features)
    assert found.description == "first two principal components"
    np.testing.assert_allclose(
        cdist(found.points, found.points), cdist(wanted, wanted) / np.ptp(wanted, axis=0).max(), atol=1e-6
    )


@pytest.mark.parametrize("method", ["tsne", "umap"])
@pytest.mark.parametrize("value", [0.0, 0.1, 3.0])
def test_images_that_are_all_alike_lie_in_the_middle(method: str, value: float) -> None:
    for count in (1, 40):
        np.testing.assert_array_equal(embed(np.full((count, 30), value, np.float32), method).points, 0.5)


def test_some_equal_images_and_dead_features() -> None:
    features, labels = _clusters(20)
    features[:, 40:] = 0
    features[:10] = features[0]
    features[-1] = 0
    found = embed(features)
    _check(found.points, 60)
    assert _agreement(found.points[:-1], labels[:-1]) > 0.95


def test_unknown_and_missing_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = _clusters(5)
    with pytest.raises(UnknownName, match="tsne, umap"):
        embed(features, "pca")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingDependency, match=r"--embedding umap .*topwork\[explain\]"):
        embed(features, "umap")


def test_umap_where_it_is_installed() -> None:
    pytest.importorskip("umap", reason="the optional package umap-learn is not installed")
    features, labels = _clusters(30)
    found = embed(features, "umap", seed=1)
    assert found.description == "UMAP, 15 neighbours"
    _check(found.points, 90)
    assert _agreement(found.points, labels) > 0.95
    np.testing.assert_array_equal(found.points, embed(features, "umap", seed=1).points)


def test_nearest_is_brute_force() -> None:
    rng = np.random.default_rng(0)
    queries, pool = rng.normal(size=(37, 24)).astype(np.float32), rng.normal(size=(211, 24)).astype(np.float32)
    found = nearest(queries, pool, 7)
    assert found.dtype == np.int64
    wanted = cdist(queries, pool, "cosine").argsort(axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(found, wanted)


def test_nearest_breaks_ties_by_number_and_survives_zeros() -> None:
    rng = np.random.default_rng(0)
    row = rng.normal(size=33).astype(np.float32)
    pool = np.stack([-row, *(row * 2.0**i for i in range(9)), np.zeros(33, np.float32), rng.normal(size=33)])
    np.testing.assert_array_equal(nearest(3 * row[None], pool, 9), [range(1, 10)])
    np.testing.assert_array_equal(nearest(np.zeros((1, 33)), pool, 4), [range(4)])
    assert nearest(row[None], pool, 99).shape == (1, 12)
    assert nearest(row[None][:0], pool, 5).shape == (0, 5)


def test_nearest_of_many_is_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    queries, pool = rng.normal(size=(50, 8)), rng.normal(size=(40, 8))
    whole = nearest(queries, pool, 3)
    monkeypatch.setattr("topwork.explain.embedding.BLOCK", 300)
    np.testing.assert_array_equal(nearest(queries, pool, 3), whole)
