"""Embed images in the plane by the similarity of their features."""

from __future__ import annotations

import numpy as np

from topwork.core.errors import MissingDependency, UnknownName

METHODS = ("tsne", "umap")
COMPONENTS = 50
PERPLEXITY = 30.0
UMAP_NEIGHBORS = 15
MIN_IMAGES = 5  # fewer images have no neighborhoods


def embed(features: np.ndarray, method: str = "tsne") -> tuple[np.ndarray, str]:
    """Embed images in the plane; equal features give equal points on the same machine.

    Features are scaled to length 1, so that distances are angles, and reduced to 50 principal components, of which the
    first two initialize the method. Fewer than 5 images, or features on one line, get those two only.

    Args:
        features: float (N, D), N >= 1.
        method: ``"tsne"`` (van der Maaten & Hinton 2008, JMLR 9) or ``"umap"`` (McInnes et al. 2018, arXiv 1802.03426).

    Returns:
        Points float32 (N, 2) in [0, 1], with the same scale on both axes and centered in the unit square; and the
        method with its settings.

    Raises:
        UnknownName: No such method.
        MissingDependency: UMAP is not installed.

    >>> points, description = embed(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    >>> points.shape, description
    ((3, 2), 'first two principal components')
    """
    if method not in METHODS:
        raise UnknownName("embedding", method, METHODS)
    components = _components(_unit(features))
    if len(features) < MIN_IMAGES or not components[:, 1].any():
        return _fit_unit_square(components[:, :2]), "first two principal components"
    init = (components[:, :2] / components[:, 0].std() * 1e-4).astype(np.float32)
    points, description = (_tsne if method == "tsne" else _umap)(components, init)
    return _fit_unit_square(points), description


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float64; zeros stay zeros."""
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _components(rows: np.ndarray) -> np.ndarray:
    """Principal components float64 (N, 2 to 50); all 0 if the rows differ by rounding only."""
    centered = rows - rows.mean(axis=0)
    if np.abs(centered).max() < 1e-7:  # float32, of length 1
        return np.zeros((len(rows), 2))
    u, s, v = np.linalg.svd(centered, full_matrices=False)
    sign = np.sign(v[np.arange(len(v)), np.abs(v).argmax(axis=1)])  # either sign is a solution
    values = (u * s * np.where(sign == 0, 1.0, sign))[:, :COMPONENTS]
    return np.pad(values, ((0, 0), (0, max(0, 2 - values.shape[1]))))


def _fit_unit_square(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) or 1.0
    return np.clip((points - (low + high) / 2) / side + 0.5, 0, 1).astype(np.float32)


def _tsne(values: np.ndarray, init: np.ndarray) -> tuple[np.ndarray, str]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    method = TSNE(perplexity=perplexity, init=init, random_state=0, n_jobs=1)
    return method.fit_transform(values.astype(np.float32)), f"t-SNE, perplexity {perplexity:.3g}"


def _umap(values: np.ndarray, init: np.ndarray) -> tuple[np.ndarray, str]:
    try:
        from umap import UMAP  # pyrefly: ignore[missing-import]
    except ImportError:
        raise MissingDependency("--embedding umap", "explain") from None
    neighbors = min(UMAP_NEIGHBORS, len(values) - 1)
    method = UMAP(n_neighbors=neighbors, init=init, random_state=0, n_jobs=1)
    return method.fit_transform(values.astype(np.float32)), f"UMAP, {neighbors} neighbors"
