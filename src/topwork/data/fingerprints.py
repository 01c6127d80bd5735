"""Candidates for near duplicates: images that may be resized, recompressed, mirrored or turned copies of each other.

A fingerprint is the 16 x 16 lowest frequencies of the image's 32 x 32 grays (their cosine transform), brightness and
contrast removed; mirroring only changes the sign of half of them, a quarter turn swaps rows and columns. The similarity
of two is the cosine between them. ``near_duplicates`` confirms the candidates at a higher resolution.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image

from topwork.data.images import PREPROCESSING_VERSION

VERSION = [2, PREPROCESSING_VERSION]
_SIDE, _KEPT = 32, 16
_LENGTH = _KEPT * _KEPT
_MIN_STD = 2.0  # in gray levels; below it an image has nothing to be recognized by

# How similar two must be: many times as similar as images of this data set usually are, within bounds. Solar cells are
# all similar, and only true copies are more so; varied images differ, and a cropped copy is still recognized.
MAX_THRESHOLD, MIN_THRESHOLD = 0.999, 0.96
_DISTANCE_FACTOR = 12.0
MAX_COPIES = 20  # up to this many similar images may be copies of one; if there are more, the images are just similar
_SAMPLE_SIZE = 1000  # images whose nearest neighbors set the threshold
_CHUNK = 256  # images whose candidates are in memory at a time


@cache
def _cosines() -> np.ndarray:
    """The first rows of the orthonormal cosine transform, float64 (kept, side)."""
    n = np.arange(_SIDE)
    basis = np.cos(np.pi * np.arange(_KEPT)[:, None] * (n + 0.5) / _SIDE) * np.sqrt(2 / _SIDE)
    basis[0] /= np.sqrt(2)
    return basis


def fingerprint(image: Image.Image) -> str:
    """The fingerprint of an RGB image, 256 bytes in base 64; empty if the image is of nearly one color."""
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    grays = np.asarray(small, dtype=np.float64)
    if grays.std() < _MIN_STD:
        return ""
    low = _cosines() @ grays @ _cosines().T
    low[0, 0] = 0.0  # the mean
    share = low / np.abs(low).max()
    coded = np.rint(np.sign(share) * np.sqrt(np.abs(share)) * 127)  # finer steps for the many small ones
    return base64.b64encode(coded.astype(np.int8).tobytes()).decode()


def vectors_of(fingerprints: Sequence[str]) -> np.ndarray:
    """Unit vectors float32 (N, 256) of fingerprints that are not empty."""
    data = b"".join(map(base64.b64decode, fingerprints))
    coded = np.frombuffer(data, dtype=np.int8).reshape(-1, _LENGTH).astype(np.float32) / 127
    vectors = np.sign(coded) * coded**2
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def turned(vectors: np.ndarray, orientation: int) -> np.ndarray:
    """The vectors of the images in one of the eight orientations, as ``turn_pixels`` numbers them."""
    signs = (-1.0) ** np.arange(_KEPT, dtype=np.float32)
    tables = vectors.reshape(-1, _KEPT, _KEPT)
    tables = tables.transpose(0, 2, 1) if orientation & 4 else tables
    tables = tables * signs if orientation & 1 else tables
    tables = tables * signs[:, None] if orientation & 2 else tables
    return np.ascontiguousarray(tables).reshape(-1, _LENGTH)


def turn_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """A square of pixels transposed (4), then mirrored from top to bottom (2) and from left to right (1)."""
    pixels = pixels.T if orientation & 4 else pixels
    return pixels[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]


def threshold(vectors: np.ndarray) -> float:
    """The similarity from which two of these images count as near duplicates.

    The distance of each image to the nearest one that is not a copy is found; the lower quartile of these distances is
    divided by ``_DISTANCE_FACTOR``.
    """
    sample = np.arange(0, len(vectors), max(1, len(vectors) // _SAMPLE_SIZE))
    nearest = np.empty(len(sample))
    for start in range(0, len(sample), 100):
        rows = sample[start : start + 100]
        similarity = vectors[rows] @ vectors.T
        similarity[np.arange(len(rows)), rows] = -1
        copies = similarity >= MIN_THRESHOLD
        few = copies.sum(axis=1, keepdims=True) <= MAX_COPIES
        nearest[start : start + len(rows)] = np.where(copies & few, -1, similarity).max(axis=1)
    return float(np.clip(1 - (1 - np.quantile(nearest, 0.75)) / _DISTANCE_FACTOR, MIN_THRESHOLD, MAX_THRESHOLD))


def max_copies(number: int) -> int:
    """Similar images from which on those of a data set of this size are just similar, as frames of one camera are."""
    return min(max(number // 10, 5), MAX_COPIES)


def share_just_similar(vectors: np.ndarray, min_similarity: float) -> float:
    """Share of images that have more than ``max_copies`` near duplicates in the same orientation, of a sample."""
    limit = max_copies(len(vectors))
    sample = vectors[:: max(1, len(vectors) // _SAMPLE_SIZE)]
    counts = [
        (sample[start : start + 100] @ vectors.T >= min_similarity).sum(axis=1) for start in range(0, len(sample), 100)
    ]
    return float((np.concatenate(counts) - 1 > limit).mean())


def near_pairs(vectors: np.ndarray, min_similarity: float) -> Iterator[np.ndarray]:
    """Pairs of images of at least this similarity, some at a time, so that memory does not grow with their number.

    Yields:
        Two positions, the smaller first, and the orientation of the second image, int64 (P, 3); the most similar first.
    """
    from scipy.spatial import KDTree

    # Distances in a few directions are at most those in all: searching these first loses no pair.
    directions = _principal_directions(vectors)
    reach = float(np.sqrt(2 * (1 - min_similarity))) + 1e-4
    trees = [KDTree(turned(vectors, orientation) @ directions) for orientation in range(8)]
    for start in range(0, len(vectors), _CHUNK):
        chunk = KDTree(vectors[start : start + _CHUNK] @ directions)
        found, similarities = [np.empty((0, 3), dtype=np.int64)], [np.empty(0, dtype=np.float32)]
        for orientation, tree in enumerate(trees):
            near = chunk.sparse_distance_matrix(tree, reach, output_type="coo_matrix")
            a, b = near.row.astype(np.int64) + start, near.col.astype(np.int64)
            a, b = a[a < b], b[a < b]
            for first in range(0, len(a), 100_000):
                i, j = a[first : first + 100_000], b[first : first + 100_000]
                similarity = np.einsum("nd,nd->n", vectors[i], turned(vectors[j], orientation))
                enough = similarity >= min_similarity
                i, j = i[enough], j[enough]
                found.append(np.stack([i, j, np.full_like(i, orientation)], axis=1))
                similarities.append(similarity[enough])
        yield np.concatenate(found)[np.argsort(-np.concatenate(similarities), kind="stable")]


def _principal_directions(vectors: np.ndarray, count: int = 16) -> np.ndarray:
    """The directions of largest variance of these vectors, orthonormal (256, at most ``count``)."""
    sample = vectors[:: max(1, len(vectors) // 5000)]
    centered = sample - sample.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    return np.ascontiguousarray(directions[:, ::-1][:, :count])
