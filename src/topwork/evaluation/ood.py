"""Out-of-distribution detection: the distance to the k-th nearest training image in feature space.

Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors" (arXiv 2204.06507). Pure functions on numpy
arrays, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.evaluation.learning_curve import nested_order

MAX_STORED = 5000  # training images kept for comparison
FALSE_POSITIVE_RATE = 0.05  # target share of in-distribution images that are flagged
_BLOCK = 16  # images compared at once; constant, because the last bits of a product depend on its shape


@dataclass(frozen=True)
class KNNIndex:
    """Training images for nearest-neighbour search.

    >>> index = KNNIndex(np.float16([[1, 0], [0, 1]]), np.array([0, 1]), ("a.png", "b.png"))
    >>> index.nearest(np.array([[3.0, 4.0]]), 2)
    (array([[0.19999999, 0.39999998]], dtype=float32), array([[1, 0]]))

    Attributes:
        features: L2-normalized, float16 (M, D).
        labels: Class indices, int64 (M,).
        ids: Image ids, (M,).
    """

    features: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]

    @property
    def k(self) -> int:
        """Which neighbour's distance counts: a twentieth of the median class size, between 1 and 10."""
        counts = np.bincount(self.labels)
        return int(np.clip(np.median(counts[counts > 0]) // 20, 1, min(10, len(self.labels))))

    def nearest(self, features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The most similar training images, most similar first. The result for an image does not depend on the others.

        Args:
            features: float (N, D), of any length.
            count: Neighbours per image, at most M.

        Returns:
            Distances, 1 - cosine similarity, float32 (N, count) in [0, 2]; and rows of ``features``, int64 (N, count).
        """
        reference = self.features.astype(np.float32, copy=False)
        distances, rows = [np.zeros((0, count), np.float32)], [np.zeros((0, count), np.int64)]
        for start in range(0, len(features), _BLOCK):
            block = l2_normalize(features[start : start + _BLOCK])
            padded = np.concatenate([block, np.zeros((_BLOCK - len(block), block.shape[1]), np.float32)])
            product = reference @ padded.T  # in this order BLAS waits for no thread
            similarity = np.ascontiguousarray(product.T[: len(block)])
            best = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(similarity, best, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            rows.append(np.take_along_axis(best, order, axis=1))
            distances.append(np.clip(1 - np.take_along_axis(values, order, axis=1), 0, 2))
        return np.concatenate(distances), np.concatenate(rows)

    def distances(self, features: np.ndarray, k: int | None = None) -> np.ndarray:
        """Distance of each image to its k-th nearest training image, float32 (N,) in [0, 2]; ``self.k`` if None."""
        return self.nearest(features, k or self.k)[0][:, -1]

    def distances_between_groups(self, groups: np.ndarray, k: int | None = None) -> np.ndarray:
        """Distance of each stored image to the k-th nearest one of another group, float32 (M,) in [0, 2].

        Where there are fewer in other groups, to the farthest of them; 2 where there are none.

        Args:
            groups: Stored images with equal numbers belong together, int (M,).
            k: As in ``distances``.
        """
        reference, found = self.features.astype(np.float32, copy=False), []
        others = len(groups) - np.bincount(groups)[groups]
        for start in range(0, len(groups), _BLOCK):
            rows = slice(start, start + _BLOCK)
            similarity = np.where(groups[rows, None] == groups, -1.0, reference[rows] @ reference.T)
            ranked = -np.sort(-similarity, axis=1)
            kth = np.minimum(k or self.k, np.maximum(others[rows], 1)) - 1
            found.append(np.clip(1 - np.take_along_axis(ranked, kth[:, None], axis=1)[:, 0], 0, 2))
        return np.concatenate(found).astype(np.float32)


def l2_normalize(features: np.ndarray) -> np.ndarray:
    """Scale each row of ``features`` float (N, D) to length 1, float32; rows of zeros are unchanged.

    >>> l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    features = features.astype(np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def stratified_subset(labels: np.ndarray, seed: int, max_images: int = MAX_STORED) -> np.ndarray:
    """Indices of at most ``max_images`` images with the classes in proportion, rising, int64; reproducible by ``seed``.

    Every class keeps at least one image where ``max_images`` allows it.

    >>> labels = np.array([0] * 6 + [1] * 2)
    >>> np.bincount(labels[stratified_subset(labels, seed=0, max_images=4)])
    array([3, 1])
    """
    return np.arange(len(labels)) if len(labels) <= max_images else np.sort(nested_order(labels, seed)[:max_images])


def threshold(distances: np.ndarray, false_positive_rate: float = FALSE_POSITIVE_RATE) -> float:
    """The distance above which an image is flagged, from the distances of N >= 1 in-distribution images.

    The smallest of the distances that a new in-distribution image exceeds with a probability of at most
    ``false_positive_rate`` (the conformal quantile: Vovk et al. 2005); the largest if N is too small for that.

    >>> threshold(np.arange(1, 100) / 100)
    0.95
    """
    rank = int(np.ceil((len(distances) + 1) * (1 - false_positive_rate)))
    return float(np.sort(distances)[min(rank, len(distances)) - 1])
