"""The verdict of a comparison as figures: standings, pairs, what more labels would buy. ``sentences`` has the words.

It compares; nothing that it says is used by topwork afterwards. Pure functions on predictions, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from topwork.evaluation import intervals
from topwork.evaluation.paired import Pair, compare_all


@dataclass(frozen=True)
class Outcome:
    """What one strategy did on the test images.

    Attributes:
        name: Of the strategy.
        right: Whether each image was right with each seed, bool (R, N).
        costs: ``costs`` of its ``metrics.json``; of the first seed.
    """

    name: str
    right: np.ndarray
    costs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """One strategy's accuracy.

    Attributes:
        name: Of the strategy.
        accuracy: Share of right images in [0, 1]; over seeds, the mean.
        low, high: 95 % interval for other test images: Wilson's, over seeds a bootstrap of the images' means.
        by_seed: Accuracy with each seed, (R,); over folds, in each fold.
        seconds: Of training.
    """

    name: str
    accuracy: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    seconds: float

    @property
    def spread(self) -> float | None:
        """Standard deviation between seeds or folds; None with one."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Gain:
    """What twice the labels would buy a strategy, in accuracy, with its 95 % interval."""

    name: str
    labels: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """All that is said.

    Attributes:
        images: N, each counted once.
        majority: Share of the most frequent class.
        standings: The most accurate first; of equals the one that trains faster.
        pairs: All pairs, the more accurate one first.
        repeats: ``"seeds"``, ``"folds"`` or empty, and how many there are.
        gains: From learning curves over labels.
    """

    images: int
    majority: float
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    repeats: tuple[str, int] = ("", 1)
    gains: tuple[Gain, ...] = ()

    def pair(self, first: str, second: str) -> Pair:
        """The comparison of two strategies, in this order."""
        for pair in self.pairs:
            if {pair.first, pair.second} == {first, second}:
                return pair if pair.first == first else pair.swapped()
        raise KeyError((first, second))

    @property
    def top(self) -> tuple[Standing, ...]:
        """The most accurate strategy and all that can't be told apart from it."""
        best = self.standings[0]
        return tuple(s for s in self.standings if s is best or not self.pair(best.name, s.name).apart)

    @property
    def rankings(self) -> tuple[tuple[str, ...], ...]:
        """Names by accuracy, the best first, for each seed or fold; of equals in the order of the standings."""
        rounds = range(min(len(s.by_seed) for s in self.standings))
        return tuple(tuple(s.name for s in sorted(self.standings, key=lambda s: -s.by_seed[r])) for r in rounds)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        value = asdict(self)
        for standing, plain in zip(self.standings, value["standings"], strict=True):
            plain["spread"] = standing.spread
        for pair, plain in zip(self.pairs, value["pairs"], strict=True):
            plain["apart"] = pair.apart
        return {**value, "repeats": {"over": self.repeats[0], "count": self.repeats[1]}}


def judge(
    outcomes: Sequence[Outcome],
    labels: np.ndarray,
    seed: int = 0,
    folds: np.ndarray | None = None,
    gains: Sequence[Gain] = (),
) -> Verdict:
    """Compare strategies on the same test images.

    Args:
        outcomes: At least one, with equal N >= 1.
        labels: True classes, int (N,).
        seed: Of the bootstrap.
        folds: Which fold each image was tested in, int (N,), where there are folds.
        gains: What more labels would buy.
    """
    standings = sorted(
        (_standing(o, labels, np.random.default_rng([seed, i]), folds) for i, o in enumerate(outcomes)),
        key=lambda s: (-s.accuracy, s.seconds),
    )
    order = [s.name for s in standings]
    right = {o.name: o.right for o in sorted(outcomes, key=lambda o: order.index(o.name))}
    seeds = max(len(o.right) for o in outcomes)
    repeats = ("folds", len(np.unique(folds))) if folds is not None else ("seeds", seeds) if seeds > 1 else ("", 1)
    majority = float(np.bincount(labels).max() / len(labels))
    pairs = tuple(compare_all(right, labels, seed))
    known = tuple(sorted((g for g in gains if g.name in order), key=lambda g: order.index(g.name)))
    return Verdict(len(labels), majority, tuple(standings), pairs, repeats, known)


def _standing(outcome: Outcome, labels: np.ndarray, rng: np.random.Generator, folds: np.ndarray | None) -> Standing:
    right = outcome.right
    by_image = right.mean(axis=0)
    accuracy = float(by_image.mean())
    one = len(right) == 1
    low, high = intervals.wilson(int(right.sum()), right.size) if one else intervals.mean(by_image, labels, rng)
    by_seed = right.mean(axis=1) if folds is None else [by_image[folds == f].mean() for f in np.unique(folds)]
    seconds = float(outcome.costs.get("train_seconds") or 0.0)
    return Standing(outcome.name, accuracy, low, high, tuple(float(x) for x in by_seed), seconds)
