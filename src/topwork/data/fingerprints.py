"""Which images show the same picture, resized, recompressed, mirrored or turned: fingerprints, and the near pairs.

A fingerprint is the 16 x 16 lowest frequencies of the picture's 32 x 32 greys (their cosine transform), brightness and
contrast removed; mirroring only changes the sign of half of them, a quarter turn swaps rows and columns. The likeness
of two is the cosine between them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image

from topwork.data.images import POLICY

VERSION = [2, POLICY]
SEARCH = 2
"""Raised whenever other pairs would be found among the same fingerprints."""
_SIDE, _KEPT = 32, 16
_LENGTH = _KEPT * _KEPT
_FLAT = 2.0  # standard deviation in grey levels below which a picture has nothing to be recognised by

# How alike two must be: many times as alike as pictures of this data set usually are, within bounds. Solar cells all
# look alike, and only true copies are more so; photographs differ, and a cropped copy still stands out.
ALWAYS, NEVER = 0.999, 0.96
_CLOSER = 12.0
_COPIES = 20  # so many that are alike may be copies of one picture; if there are more, the pictures are just alike
_ASKED = 1000  # images whose neighbours are looked for; a sample is enough


@cache
def _cosines() -> np.ndarray:
    """The first rows of the orthonormal cosine transform, float64 (kept, side)."""
    n = np.arange(_SIDE)
    basis = np.cos(np.pi * np.arange(_KEPT)[:, None] * (n + 0.5) / _SIDE) * np.sqrt(2 / _SIDE)
    basis[0] /= np.sqrt(2)
    return basis


def fingerprint(image: Image.Image) -> str:
    """The fingerprint of an RGB picture, 256 bytes in base 64; empty if the picture is flat."""
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    greys = np.asarray(small, dtype=np.float64)
    if greys.std() < _FLAT:
        return ""
    low = _cosines() @ greys @ _cosines().T
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


def _turned(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """The vectors of the pictures as they are, mirrored left to right, and in the six other ways to lay one down."""
    signs = (-1.0) ** np.arange(_KEPT, dtype=np.float32)
    tables = vectors.reshape(-1, _KEPT, _KEPT)
    for table in (tables, tables.transpose(0, 2, 1)):
        for across, down in ((1, 1), (signs, 1), (1, signs[:, None]), (signs, signs[:, None])):
            yield np.ascontiguousarray(table * across * down).reshape(-1, _LENGTH)


def threshold(vectors: np.ndarray) -> float:
    """The likeness from which two of these pictures count as the same one.

    Of each picture the nearest that is no copy is looked for; of these distances, the one that a quarter of the
    pictures has is divided by ``_CLOSER``.
    """
    rows = np.arange(0, len(vectors), max(1, len(vectors) // _ASKED))
    nearest = np.empty(len(rows))
    for start in range(0, len(rows), 100):
        piece = rows[start : start + 100]
        alike = vectors[piece] @ vectors.T
        alike[np.arange(len(piece)), piece] = -1
        copies = alike >= NEVER
        few = copies.sum(axis=1, keepdims=True) <= _COPIES
        nearest[start : start + len(piece)] = np.where(copies & few, -1, alike).max(axis=1)
    return float(np.clip(1 - (1 - np.quantile(nearest, 0.75)) / _CLOSER, NEVER, ALWAYS))


def near_pairs(fingerprints: Sequence[str]) -> np.ndarray:
    """Pairs of images that show the same picture.

    Args:
        fingerprints: Of any number of images; an empty one is like none.

    Returns:
        Positions int64 (P, 2), the smaller first.
    """
    from scipy.spatial import KDTree

    known = np.array([i for i, code in enumerate(fingerprints) if code], dtype=np.int64)
    if len(known) < 2:
        return np.empty((0, 2), dtype=np.int64)
    vectors = _vectors([fingerprints[i] for i in known])
    least = threshold(vectors)
    # Distances in a few directions are at most those in all: no pair is lost by looking in these first.
    directions = _widest(vectors)
    reach = float(np.sqrt(2 * (1 - least))) + 1e-4
    found = [np.empty((0, 2), dtype=np.int64)]
    tree = KDTree(vectors @ directions)
    for other in _turned(vectors):
        near = tree.sparse_distance_matrix(KDTree(other @ directions), reach, output_type="coo_matrix")
        i, j = near.row, near.col
        one_way = i < j
        i, j = i[one_way], j[one_way]
        for start in range(0, len(i), 100_000):
            a, b = i[start : start + 100_000], j[start : start + 100_000]
            alike = np.einsum("nd,nd->n", vectors[a], other[b]) >= least
            found.append(np.stack([known[a[alike]], known[b[alike]]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _widest(vectors: np.ndarray, most: int = 16) -> np.ndarray:
    """The directions in which these vectors differ most, orthonormal (256, at most ``most``)."""
    sample = vectors[:: max(1, len(vectors) // 5000)]
    centred = sample - sample.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(directions[:, ::-1][:, :most])
