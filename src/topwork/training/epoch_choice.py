"""Which epoch of a training is kept: the latest that is not worse than the best so far by more than chance.

Neighboring epochs differ by a few of some hundred validation images, mostly by chance, so the highest validation
accuracy is a poor guide; and while the learning rate falls to 0, later epochs are better more often than not. A later
epoch is therefore kept unless the validation images show that it is worse, as they do when a network overfits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.evaluation.paired import sign_flip_test

ALPHA = 0.32  # the level of one standard error; compared with 0.05 and other rules in docs/lab-log.md


@dataclass(frozen=True)
class ValMetrics:
    """Metrics of an epoch on held-out images: the validation set, or out-of-fold predictions.

    Attributes:
        loss: Mean cross-entropy.
        accuracy: In [0, 1].
        correct: Whether each image is classified correctly, bool (N,).
        groups: A number for each image, equal for those that belong together, int (N,); None if they are independent.
    """

    loss: float
    accuracy: float
    correct: np.ndarray
    groups: np.ndarray | None = None


def is_worse(correct: np.ndarray, best: np.ndarray, groups: np.ndarray | None = None, alpha: float = ALPHA) -> bool:
    """Whether an epoch is worse than the best one by more than chance: the exact paired test on the same images.

    Args:
        correct: Whether the epoch classifies each image correctly, bool (N,).
        best: The same of the best epoch.
        groups: See ``ValMetrics``.
        alpha: Level of the test.

    >>> best = np.ones(300, dtype=bool)
    >>> is_worse(np.arange(300) >= 1, best), is_worse(np.arange(300) >= 30, best)
    (False, True)
    """
    differences = correct.astype(np.int64) - best
    return bool(differences.sum() < 0) and sign_flip_test(differences, groups) < alpha


def pack(correct: np.ndarray) -> str:
    """Bool (N,) as text for JSON."""
    return np.packbits(correct).tobytes().hex()


def unpack(text: str, count: int) -> np.ndarray:
    """The inverse of ``pack``, for ``count`` images."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)
