"""All randomness is a pure function of a seed and a purpose, so the state of a generator is never saved.

``order = f(seed, epoch)``, ``augmentation = f(seed, epoch, image id)``, ``dropout = f(seed, step)``: the number of
workers, the step of a resume and the presence of other images cannot change any of them.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any parts, by SHA-256; equal parts give the same seed on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def epoch_permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of the items in an epoch: a permutation of ``range(count)``, int64 (count,)."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(count)
