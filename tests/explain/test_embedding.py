"""Images on a plane and nearest images: clusters stay together, ties and odd numbers do no harm."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from topwork.core.errors import MissingDependency, UnknownName
from topwork.explain.embedding import embed


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
    points, description = embed(features[order])
    assert description == "t-SNE, perplexity 30"
    _check(points, 150)
    assert _agreement(points, labels[order]) > 0.95
    middles = np.array([points[labels[order] == k].mean(axis=0) for k in range(3)])
    spread = max(points[labels[order] == k].std() for k in range(2))
    assert cdist(middles, middles)[np.triu_indices(3, 1)].min() > 3 * spread


def test_a_seed_gives_one_plane() -> None:
    features, _ = _clusters(8)
    np.testing.assert_array_equal(embed(features)[0], embed(features)[0])


def test_length_of_features_does_not_count() -> None:
    features, _ = _clusters(8)
    longer = features * 2.0 ** np.random.default_rng(0).integers(-3, 4, size=(24, 1))
    np.testing.assert_allclose(embed(features)[0], embed(longer)[0], atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 10])
@pytest.mark.parametrize("width", [1, 2, 100])
def test_few_images(count: int, width: int) -> None:
    features = np.random.default_rng(count).normal(size=(count, width)).astype(np.float32)
    features[0], features[-1] = -1, 1
    points, description = embed(features)
    _check(points, count)
    assert (
        description == ("t-SNE" in description and f"t-SNE, perplexity {(count - 1) / 3:.3g}")
        or count < 5
        or width == 1
    )


def test_principal_components_of_few_images() -> None:
    features = np.random.default_rng(0).normal(size=(4, 9))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(unit.T))
    assert values[-1] > values[-2]
    wanted = (unit - unit.mean(axis=0)) @ vectors[:, [-1, -2]]
    points, description = embed(features)
    assert description == "first two principal components"
    np.testing.assert_allclose(cdist(points, points), cdist(wanted, wanted) / np.ptp(wanted, axis=0).max(), atol=1e-6)


@pytest.mark.parametrize("method", ["tsne", "umap"])
@pytest.mark.parametrize("value", [0.0, 0.1, 3.0])
def test_images_that_are_all_alike_lie_in_the_middle(method: str, value: float) -> None:
    for count in (1, 40):
        np.testing.assert_array_equal(embed(np.full((count, 30), value, np.float32), method)[0], 0.5)


def test_some_equal_images_and_dead_features() -> None:
    features, labels = _clusters(20)
    features[:, 40:] = 0
    features[:10] = features[0]
    features[-1] = 0
    points, _ = embed(features)
    _check(points, 60)
    assert _agreement(points[:-1], labels[:-1]) > 0.95


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
    points, description = embed(features, "umap")
    assert description == "UMAP, 15 neighbors"
    _check(points, 90)
    assert _agreement(points, labels) > 0.95
    np.testing.assert_array_equal(points, embed(features, "umap")[0])
