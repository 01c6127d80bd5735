"""Embed images in the plane by the similarity of their features, and find the most similar images of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.core.errors import MissingDependency, UnknownName

METHODS = ("tsne", "umap")
COMPONENTS = 50
PERPLEXITY = 30.0
UMAP_NEIGHBOURS = 15
MIN_IMAGES = 5  # fewer images have no neighbourhoods
BLOCK = 1 << 22  # similarities in memory at a time


@dataclass(frozen=True)
class Embedding:
    """Images in the plane.

    Attributes:
        points: float32 (N, 2) in [0, 1], with the same scale on both axes, centred in the unit square.
        description: Method and settings.
    """

    points: np.ndarray
    description: str


def embed(features: np.ndarray, method: str = "tsne", seed: int = 0) -> Embedding:
    """Embed images in the plane; equal features give equal points on the same machine.

    Features are scaled to length 1, so that distances are angles, and reduced to 50 principal components, of which the
    first two initialise the method. Fewer than 5 images, or features on one line, get those two only.

    Args:
        features: float (N, D), N >= 1.
        method: ``"tsne"`` (van der Maaten & Hinton 2008, JMLR 9) or ``"umap"`` (McInnes et al. 2018, arXiv 1802.03426).
        seed: Of the method.

    Raises:
        UnknownName: No such method.
        MissingDependency: UMAP is not installed.

    >>> embed(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])).points.shape
    (3, 2)
    """
    if method not in METHODS:
        raise UnknownName("embedding", method, METHODS)
    components = _components(_unit(features))
    if len(features) < MIN_IMAGES or not components[:, 1].any():
        return Embedding(_fit_unit_square(components[:, :2]), "first two principal components")
    init = (components[:, :2] / components[:, 0].std() * 1e-4).astype(np.float32)
    points, description = (_tsne if method == "tsne" else _umap)(components, init, seed)
    return Embedding(_fit_unit_square(points), description)


def nearest(queries: np.ndarray, pool: np.ndarray, k: int = 5) -> np.ndarray:
    """The most similar rows of a pool by cosine similarity; a row of zeros has similarity 0 to all.

    Args:
        queries: float (Q, D).
        pool: float (P, D).
        k: Neighbours per query.

    Returns:
        Row numbers of the pool, int64 (Q, min(k, P)), most similar first; ties to 12 digits in the order of the pool.

    >>> nearest(np.array([[1.0, 0.1]]), np.array([[0.0, 1.0], [2.0, 0.0]]), k=1)
    array([[1]])
    """
    a, b = _unit(queries), _unit(pool)
    step = max(1, BLOCK // max(1, len(b)))
    found = [np.empty((0, min(k, len(b))), dtype=np.int64)]
    for start in range(0, len(a), step):
        similarity = (a[start : start + step] @ b.T).round(12)  # products of equal rows may differ in the last bit
        found.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return np.concatenate(found)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float64; zeros stay zeros."""
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _components(rows: np.ndarray) -> np.ndarray:
    """Principal components float64 (N, 2 to 50); all 0 if the rows differ by rounding only."""
    centred = rows - rows.mean(axis=0)
    if np.abs(centred).max() < 1e-7:  # float32, of length 1
        return np.zeros((len(rows), 2))
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    sign = np.sign(v[np.arange(len(v)), np.abs(v).argmax(axis=1)])  # either sign is a solution
    values = (u * s * np.where(sign == 0, 1.0, sign))[:, :COMPONENTS]
    return np.pad(values, ((0, 0), (0, max(0, 2 - values.shape[1]))))


def _fit_unit_square(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) or 1.0
    return np.clip((points - (low + high) / 2) / side + 0.5, 0, 1).astype(np.float32)


def _tsne(values: np.ndarray, init: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    method = TSNE(perplexity=perplexity, init=init, random_state=seed, n_jobs=1)
    return method.fit_transform(values.astype(np.float32)), f"t-SNE, perplexity {perplexity:.3g}"


def _umap(values: np.ndarray, init: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    try:
        from umap import UMAP  # pyrefly: ignore[missing-import]
    except ImportError:
        raise MissingDependency("--embedding umap", "explain") from None
    neighbours = min(UMAP_NEIGHBOURS, len(values) - 1)
    method = UMAP(n_neighbors=neighbours, init=init, random_state=seed, n_jobs=1)
    return method.fit_transform(values.astype(np.float32)), f"UMAP, {neighbours} neighbours"
