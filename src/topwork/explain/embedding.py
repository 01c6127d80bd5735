"""Many images on one plane, near where the network finds them alike; and the images that are nearest to an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.core.errors import MissingDependency, UnknownName

METHODS = ("tsne", "umap")
COMPONENTS = 50
PERPLEXITY = 30.0
NEIGHBOURS = 15
FEWEST = 5  # images; fewer have no neighbourhoods
BLOCK = 1 << 22  # similarities held at once


@dataclass(frozen=True)
class Embedding:
    """Images on a plane.

    Attributes:
        points: float32 (N, 2) in [0, 1], of one scale for both axes, in the middle of the square.
        words: Method and settings.
    """

    points: np.ndarray
    words: str


def embed(features: np.ndarray, method: str = "tsne", seed: int = 0) -> Embedding:
    """Lay images out on a plane; the same numbers on the same machine give the same plane.

    Features are brought to length 1, so that distance means angle, and then to 50 principal components, the first two
    of which are where the method starts. Fewer than 5 images, or features that lie on one line, get those two alone.

    Args:
        features: float (N, D), N >= 1.
        method: ``"tsne"`` (van der Maaten & Hinton 2008, JMLR 9) or ``"umap"`` (McInnes et al. 2018, arXiv 1802.03426).
        seed: Of the method.

    Raises:
        UnknownName: There is no such method.
        MissingExtra: UMAP is not installed.
    """
    if method not in METHODS:
        raise UnknownName("embedding", method, METHODS)
    components = _components(_unit(features))
    if len(features) < FEWEST or not components[:, 1].any():
        return Embedding(_square(components[:, :2]), "first two principal components")
    start = (components[:, :2] / components[:, 0].std() * 1e-4).astype(np.float32)
    points, words = (_tsne if method == "tsne" else _umap)(components, start, seed)
    return Embedding(_square(points), words)


def nearest(queries: np.ndarray, pool: np.ndarray, k: int = 5) -> np.ndarray:
    """The nearest by cosine similarity; a row of zeros has similarity 0 to all.

    Args:
        queries: float (Q, D).
        pool: float (P, D).
        k: How many; at most P are given.

    Returns:
        Row numbers of the pool, int64 (Q, min(k, P)), nearest first; of equals to 12 digits the first.
    """
    a, b = _unit(queries), _unit(pool)
    step = max(1, BLOCK // max(1, len(b)))
    found = [np.empty((0, min(k, len(b))), dtype=np.int64)]
    for start in range(0, len(a), step):
        similarity = (a[start : start + step] @ b.T).round(12)  # products of equal rows may differ in the last bit
        found.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return np.concatenate(found)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64; zeros stay zeros."""
    rows = rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _components(rows: np.ndarray) -> np.ndarray:
    """Principal components float64 (N, at least 2 and at most 50); all 0 if the rows differ by rounding only."""
    centred = rows - rows.mean(axis=0)
    if np.abs(centred).max() < 1e-7:  # float32, of length 1
        return np.zeros((len(rows), 2))
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    sign = np.sign(v[np.arange(len(v)), np.abs(v).argmax(axis=1)])  # either sign is a solution
    values = (u * s * np.where(sign == 0, 1.0, sign))[:, :COMPONENTS]
    return np.pad(values, ((0, 0), (0, max(0, 2 - values.shape[1]))))


def _square(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) or 1.0
    return np.clip((points - (low + high) / 2) / side + 0.5, 0, 1).astype(np.float32)


def _tsne(values: np.ndarray, start: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    method = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1)
    return method.fit_transform(values.astype(np.float32)), f"t-SNE, perplexity {perplexity:.3g}"


def _umap(values: np.ndarray, start: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    try:
        from umap import UMAP  # pyrefly: ignore[missing-import]
    except ImportError:
        raise MissingDependency("--embedding umap", "explain") from None
    neighbours = min(NEIGHBOURS, len(values) - 1)
    method = UMAP(n_neighbors=neighbours, init=start, random_state=seed, n_jobs=1)
    return method.fit_transform(values.astype(np.float32)), f"UMAP, {neighbours} neighbours"
