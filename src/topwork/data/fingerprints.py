"""Near duplicates: images that are copies, resized, recompressed, mirrored or turned, found by their fingerprints.

A fingerprint is the 16 x 16 lowest frequencies of the image's 32 x 32 grays (their cosine transform), brightness and
contrast removed; mirroring only changes the sign of half of them, a quarter turn swaps rows and columns. The similarity
of two is the cosine between them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image

from topwork.core import storage
from topwork.data.images import PREPROCESSING_VERSION

VERSION = [2, PREPROCESSING_VERSION]
SEARCH = 2
"""Raised whenever the search would find other pairs among the same fingerprints."""
_SIDE, _KEPT = 32, 16
_LENGTH = _KEPT * _KEPT
_MIN_STD = 2.0  # in gray levels; below it an image has nothing to be recognized by

# How similar two must be: many times as similar as images of this data set usually are, within bounds. Solar cells are
# all similar, and only true copies are more so; varied images differ, and a cropped copy is still recognized.
MAX_THRESHOLD, MIN_THRESHOLD = 0.999, 0.96
_DISTANCE_FACTOR = 12.0
_MAX_COPIES = 20  # up to this many similar images may be copies of one; if there are more, the images are just similar
_SAMPLE_SIZE = 1000  # images whose nearest neighbors set the threshold

Pairs = list[tuple[str, str]]


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


def _vectors(fingerprints: Sequence[str]) -> np.ndarray:
    """Unit vectors float32 (N, 256)."""
    data = b"".join(map(base64.b64decode, fingerprints))
    coded = np.frombuffer(data, dtype=np.int8).reshape(-1, _LENGTH).astype(np.float32) / 127
    vectors = np.sign(coded) * coded**2
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _orientations(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """The vectors of the images as they are and in the seven other orientations, mirrored and turned."""
    signs = (-1.0) ** np.arange(_KEPT, dtype=np.float32)
    tables = vectors.reshape(-1, _KEPT, _KEPT)
    for table in (tables, tables.transpose(0, 2, 1)):
        for across, down in ((1, 1), (signs, 1), (1, signs[:, None]), (signs, signs[:, None])):
            yield np.ascontiguousarray(table * across * down).reshape(-1, _LENGTH)


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
        few = copies.sum(axis=1, keepdims=True) <= _MAX_COPIES
        nearest[start : start + len(rows)] = np.where(copies & few, -1, similarity).max(axis=1)
    return float(np.clip(1 - (1 - np.quantile(nearest, 0.75)) / _DISTANCE_FACTOR, MIN_THRESHOLD, MAX_THRESHOLD))


def find_pairs(fingerprints: Mapping[str, str], previous: tuple[str, Pairs]) -> tuple[str, Pairs]:
    """A hash of all contents, and the pairs of contents that are near duplicates.

    Args:
        fingerprints: By content.
        previous: An earlier result, which is returned if the contents are the same.
    """
    contents = sorted(content for content, code in fingerprints.items() if code)
    key = storage.sha256_bytes(f"{SEARCH} {''.join(contents)}".encode())
    if key == previous[0]:
        return previous
    found = near_pairs([fingerprints[content] for content in contents])
    return key, [(contents[i], contents[j]) for i, j in found.tolist()]


def near_pairs(fingerprints: Sequence[str]) -> np.ndarray:
    """Pairs of near duplicates.

    Args:
        fingerprints: Of any number of images; an empty one matches none.

    Returns:
        Positions int64 (P, 2), the smaller first.
    """
    from scipy.spatial import KDTree

    known = np.array([i for i, code in enumerate(fingerprints) if code], dtype=np.int64)
    if len(known) < 2:
        return np.empty((0, 2), dtype=np.int64)
    vectors = _vectors([fingerprints[i] for i in known])
    min_similarity = threshold(vectors)
    # Distances in a few directions are at most those in all: searching these first loses no pair.
    directions = _principal_directions(vectors)
    reach = float(np.sqrt(2 * (1 - min_similarity))) + 1e-4
    found = [np.empty((0, 2), dtype=np.int64)]
    tree = KDTree(vectors @ directions)
    for other in _orientations(vectors):
        near = tree.sparse_distance_matrix(KDTree(other @ directions), reach, output_type="coo_matrix")
        i, j = near.row, near.col
        one_way = i < j
        i, j = i[one_way], j[one_way]
        for start in range(0, len(i), 100_000):
            a, b = i[start : start + 100_000], j[start : start + 100_000]
            similar = np.einsum("nd,nd->n", vectors[a], other[b]) >= min_similarity
            found.append(np.stack([known[a[similar]], known[b[similar]]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _principal_directions(vectors: np.ndarray, count: int = 16) -> np.ndarray:
    """The directions of largest variance of these vectors, orthonormal (256, at most ``count``)."""
    sample = vectors[:: max(1, len(vectors) // 5000)]
    centered = sample - sample.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    return np.ascontiguousarray(directions[:, ::-1][:, :count])
