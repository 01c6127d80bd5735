"""Is an image like anything in training? By the distance to its k-th nearest training image in feature space.

Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors" (arXiv 2204.06507). Pure functions on numpy
arrays, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 5000  # training images that are kept for comparison
FALSE_POSITIVE_RATE = 0.05  # share of images like those of training that may be called unlike them
_BLOCK = 16  # images compared at once, always so many: the last bits of a product depend on its shape


@dataclass(frozen=True)
class Neighbours:
    """Training images to compare with.

    Attributes:
        features: Of length 1, float16 (M, D).
        labels: Class indices, int64 (M,).
        ids: Image ids, (M,).
    """

    features: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]

    @property
    def k(self) -> int:
        """Which neighbour's distance counts: a twentieth of the images of a class of middle size, from 1 to 10."""
        counts = np.bincount(self.labels)
        return int(np.clip(np.median(counts[counts > 0]) // 20, 1, min(10, len(self.labels))))

    def nearest(self, features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The most similar training images, the most similar first; what is said of an image depends on no other.

        Args:
            features: float (N, D), of any length.
            count: How many, at most M.

        Returns:
            Distances, 1 - cosine similarity, float32 (N, count) in [0, 2]; and rows of ``features``, int64 (N, count).
        """
        bank = self.features.astype(np.float32, copy=False)
        distances, rows = [], []
        for start in range(0, len(features), _BLOCK):
            block = unit(features[start : start + _BLOCK])
            filled = np.concatenate([block, np.zeros((_BLOCK - len(block), block.shape[1]), np.float32)])
            product = bank @ filled.T  # this way round BLAS waits for no thread
            likeness = np.ascontiguousarray(product.T[: len(block)])
            best = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(likeness, best, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            rows.append(np.take_along_axis(best, order, axis=1))
            distances.append(np.clip(1 - np.take_along_axis(values, order, axis=1), 0, 2))
        if not distances:
            return np.zeros((0, count), np.float32), np.zeros((0, count), np.int64)
        return np.concatenate(distances), np.concatenate(rows)

    def distances(self, features: np.ndarray, k: int | None = None) -> np.ndarray:
        """Distance of each image to its k-th nearest training image, float32 (N,) in [0, 2]; ``self.k`` if None."""
        return self.nearest(features, k or self.k)[0][:, -1]


def unit(features: np.ndarray) -> np.ndarray:
    """Features float (N, D) scaled to length 1, float32; rows of zeros stay."""
    features = features.astype(np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def chosen_rows(labels: np.ndarray, seed: int, most: int = MOST) -> np.ndarray:
    """Rows of at most ``most`` images in proportion to their classes, in rising order, int64; equal seeds, equal rows.

    Every class keeps at least one image where ``most`` allows it.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]  # shuffled within each class
    sorted_labels = labels[by_class]
    rank = np.arange(len(labels)) - np.searchsorted(sorted_labels, sorted_labels)
    size = np.bincount(labels)[sorted_labels]
    return np.sort(by_class[np.argsort(rank / size, kind="stable")[:most]])


def threshold(distances: np.ndarray, false_positive_rate: float = FALSE_POSITIVE_RATE) -> float:
    """The distance above which an image is called unlike training, from those of N >= 1 images that are like it.

    The smallest of the distances that a new image like these exceeds with a probability of at most
    ``false_positive_rate`` (the conformal quantile: Vovk et al. 2005); the largest if there are too few for that.
    """
    rank = int(np.ceil((len(distances) + 1) * (1 - false_positive_rate)))
    return float(np.sort(distances)[min(rank, len(distances)) - 1])
