"""How similar images are apart from their classes: unit vectors, what is usual for each image, nearest neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topwork.data.fingerprints import vectors_of

MAX_DIRECTIONS = 64
_EXTRA_DIRECTIONS, _ITERATIONS = 16, 4
_MAX_FITTED = 5000  # images that the directions are found from
_MAX_QUERIES, _MAX_REFERENCES = 2000, 1000
_QUERIES_AT_A_TIME = 200
_USUAL = 0.75  # quantile of an image's similarities to others; its own group should be no larger than the rest


def fingerprint_vectors(fingerprints: Sequence[str]) -> np.ndarray:
    """Features float32 (N, D) of images by their fingerprints; 0 for an empty one."""
    found = [i for i, code in enumerate(fingerprints) if code]
    vectors = vectors_of([fingerprints[i] for i in found])
    values = np.zeros((len(fingerprints), vectors.shape[1]), dtype=np.float32)
    values[found] = vectors
    return values


@dataclass(frozen=True)
class Similarity:
    """What similarities are computed from.

    Attributes:
        vectors: Unit vectors float32 (N, D), of the deviation from the class; 0 for an image without one.
        usual: How similar others are to each image, float32 (N,): to some, many images are.
        labels: Class indices int64 (N,).
        seed: Of samples and permutations.
    """

    vectors: np.ndarray
    usual: np.ndarray
    labels: np.ndarray
    seed: int

    def between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """How much more similar pairs of images are than others usually are to either, float32 (P,)."""
        cosine = np.einsum("nd,nd->n", self.vectors[first], self.vectors[second])
        return 2 * cosine - self.usual[first] - self.usual[second]


def measure(features: np.ndarray, labels: np.ndarray, seed: int = 0) -> Similarity:
    """The similarities of images by features float (N, D), of which the means of the classes are taken away.

    The largest directions are weakened (divided by the fourth root of their variance): they would outweigh the details
    that two images of one scene share.
    """
    rng = np.random.default_rng([seed, len(features)])
    values = np.sign(features) * np.sqrt(np.abs(features)).astype(np.float32)
    for rows in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
        values[rows] -= values[rows].mean(axis=0) if len(rows) else 0.0
    sample = values[:: max(1, len(values) // _MAX_FITTED)]
    variances, directions = _principal_directions(sample, rng)
    vectors = values @ (directions / np.sqrt(np.sqrt(variances))).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    references = vectors[rng.permutation(len(vectors))[:_MAX_REFERENCES]]
    usual = np.empty(len(vectors), dtype=np.float32)
    rank = max(1, round((1 - _USUAL) * len(references)))
    for start in range(0, len(vectors), _MAX_REFERENCES):
        similarity = vectors[start : start + _MAX_REFERENCES] @ references.T
        usual[start : start + _MAX_REFERENCES] = np.partition(similarity, -rank, axis=1)[:, -rank]
    return Similarity(vectors, usual, labels, seed)


def _principal_directions(values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The largest variances (K,) of values (N, D) and their directions (D, K).

    By subspace iteration (Halko et al. 2011).
    """
    count = min(MAX_DIRECTIONS + _EXTRA_DIRECTIONS, values.shape[1])
    basis = np.linalg.qr(rng.standard_normal((values.shape[1], count)).astype(np.float32))[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(values.T @ (values @ basis))[0]
    projected = (values @ basis).astype(np.float64)
    variances, rotation = np.linalg.eigh(projected.T @ projected / len(values))
    variances, rotation = variances[::-1][:MAX_DIRECTIONS], rotation[:, ::-1][:, :MAX_DIRECTIONS]
    kept = variances > 1e-6 * max(float(variances[0]), 1e-12)
    return variances[kept], basis @ rotation[:, kept]


@dataclass(frozen=True)
class Neighbors:
    """The most similar images of a sample.

    Attributes:
        queries: Images, int64 (Q,).
        nearest: Their most similar images, the most similar first, int64 (Q, K).
    """

    queries: np.ndarray
    nearest: np.ndarray


def find_neighbors(similarity: Similarity, count: int) -> Neighbors:
    """The ``count`` nearest neighbors, at most, of up to 2,000 images."""
    vectors = similarity.vectors
    rng = np.random.default_rng([similarity.seed, 1])
    queries = np.sort(rng.permutation(len(vectors))[:_MAX_QUERIES])
    count = min(count, len(vectors) - 1)
    found = []
    for start in range(0, len(queries), _QUERIES_AT_A_TIME):
        rows = queries[start : start + _QUERIES_AT_A_TIME]
        values = 2 * vectors[rows] @ vectors.T - similarity.usual
        values[np.arange(len(rows)), rows] = -np.inf
        best = np.argpartition(-values, count - 1, axis=1)[:, :count]
        found.append(np.take_along_axis(best, np.argsort(-np.take_along_axis(values, best, 1), axis=1), 1))
    return Neighbors(queries, np.concatenate(found).astype(np.int64))


def shuffle_within(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation int64 (N,) that leaves every stratum, int (N,), in its places."""
    places = np.argsort(strata, kind="stable")
    moved = np.empty(len(strata), dtype=np.int64)
    moved[places] = np.lexsort((rng.random(len(strata)), strata))
    return moved
