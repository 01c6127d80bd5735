"""Which epoch of a training is kept: the latest that is not worse than the best so far by more than chance.

Neighboring epochs differ by a few of some hundred validation images, mostly by chance, so the highest validation
accuracy is a poor guide; and while the learning rate falls to 0, later epochs are better more often than not. A later
epoch is therefore kept unless the validation images show that it is worse, as they do when a network overfits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.evaluation import target_metric
from topwork.evaluation.paired import sign_flip_test

ALPHA = 0.32  # the level of one standard error; compared with 0.05 and other rules in docs/maintainers/lab-log.md


@dataclass(frozen=True)
class ValMetrics:
    """Metrics of an epoch on held-out images: the validation set, or out-of-fold predictions.

    Attributes:
        loss: Mean cross-entropy.
        accuracy: In [0, 1].
        correct: Whether each image is classified correctly, bool (N,).
        groups: A number for each image, equal for those that belong together, int (N,); None if they are independent.
        target: The metric that decides, if it is not accuracy.
    """

    loss: float
    accuracy: float
    correct: np.ndarray
    groups: np.ndarray | None = None
    target: Target | None = None

    @property
    def by_image(self) -> np.ndarray:
        """What the metric that decides needs of each image, (N,)."""
        return self.target.by_image if self.target else self.correct

    @property
    def score(self) -> tuple[float, float]:
        """Higher for better epochs: the metric that decides, then the loss."""
        return (self.target.gain if self.target else self.accuracy), -self.loss

    def is_worse(self, best: np.ndarray) -> bool:
        """Whether it is worse by more than chance than an epoch with this ``by_image``."""
        if self.target is None:
            return is_worse(self.correct, best, self.groups)
        return shows_loss(
            target_metric.paired_differences(self.target.metric, self.target.labels, self.by_image, best), self.groups
        )


@dataclass(frozen=True)
class Target:
    """A metric that decides, on images of classes int (N,): ``target_metric.by_image`` of an epoch, (N,)."""

    metric: str
    labels: np.ndarray
    by_image: np.ndarray

    @property
    def value(self) -> float:
        """The metric."""
        return target_metric.value(self.metric, self.labels, self.by_image)

    @property
    def gain(self) -> float:
        """The metric, higher where it is better."""
        return target_metric.gain(self.metric, self.labels, self.by_image)


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
    return shows_loss(correct.astype(np.int64) - best, groups, alpha)


def shows_loss(differences: np.ndarray, groups: np.ndarray | None = None, alpha: float = ALPHA) -> bool:
    """Whether a difference (``target_metric.paired_differences``, (N,)) is negative by more than chance."""
    return bool(differences.sum() < 0) and sign_flip_test(differences, groups) < alpha


def pack(by_image: np.ndarray) -> str:
    """Bool, int or float (N,) as text for JSON."""
    if by_image.dtype == bool:
        return np.packbits(by_image).tobytes().hex()
    return by_image.astype("<i4" if by_image.dtype.kind == "i" else "<f8").tobytes().hex()


def unpack(text: str, like: np.ndarray) -> np.ndarray:
    """The inverse of ``pack``, for as many values of the same kind."""
    packed = bytes.fromhex(text)
    if like.dtype == bool:
        return np.unpackbits(np.frombuffer(packed, np.uint8), count=len(like)).astype(bool)
    return np.frombuffer(packed, "<i4" if like.dtype.kind == "i" else "<f8").astype(like.dtype)
