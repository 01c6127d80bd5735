"""The verdict of a comparison as numbers: results, pairs, predicted gains. ``verdict_text`` puts it into sentences.

Nothing in topwork makes a choice by it; ``recommend`` chooses, on the validation images. Pure functions, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from topwork.evaluation import intervals
from topwork.evaluation.cut_short import CutShort
from topwork.evaluation.paired import Pair, find_pair, pairwise
from topwork.evaluation.recommend import Recommendation


@dataclass(frozen=True)
class Outcome:
    """What one strategy did on the test images.

    Attributes:
        correct: Whether each image was classified correctly with each seed, bool (R, N); one row if it does not depend
            on the seed.
        seconds: Training time of the first seed, with features and search; 0 if unknown.
        cut_short: If its training ended early.
    """

    name: str
    correct: np.ndarray
    seconds: float = 0.0
    cut_short: CutShort | None = None


@dataclass(frozen=True)
class StrategyResult:
    """One strategy's accuracy on the test set.

    Attributes:
        accuracy: In [0, 1]; with several seeds the mean.
        low, high: 95 % interval (``intervals.share_interval``).
        by_repeat: Accuracy with each seed, or in each fold, (R,); one if it does not depend on the seed.
        seconds: Training time, with features and search.
        cut_short: If its training ended early.
    """

    name: str
    accuracy: float
    low: float
    high: float
    by_repeat: tuple[float, ...]
    seconds: float
    cut_short: CutShort | None = None

    @property
    def still_improving(self) -> bool:
        """Whether it was cut short while it improved, so that no other can be called better than it could be."""
        return self.cut_short is not None and self.cut_short.improving

    @property
    def std(self) -> float | None:
        """Standard deviation between seeds or folds; None with one, or if it does not depend on the seed."""
        return float(np.std(self.by_repeat, ddof=1)) if len(self.by_repeat) > 1 else None


@dataclass(frozen=True)
class PredictedGain:
    """Predicted gain in accuracy from doubling the labels, with its 95 % interval."""

    name: str
    labels: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """The comparison of all strategies.

    Attributes:
        images: N, each counted once.
        majority_share: Share of the most frequent class.
        results: Most accurate first; of equals the one that trains faster.
        pairs: All pairs, the more accurate strategy first.
        repeats: ``"seeds"``, ``"folds"`` or empty, and their number.
        gains: From learning curves.
        groups: Groups of test images, which the intervals and tests count as units; None: all are independent.
        recommendation: What the validation images choose; None for a single run.
    """

    images: int
    majority_share: float
    results: tuple[StrategyResult, ...]
    pairs: tuple[Pair, ...]
    repeats: tuple[str, int] = ("", 1)
    gains: tuple[PredictedGain, ...] = ()
    groups: int | None = None
    recommendation: Recommendation | None = None

    def pair(self, first: str, second: str) -> Pair:
        """The comparison of two strategies, in this order."""
        return find_pair(self.pairs, first, second)

    def result(self, name: str) -> StrategyResult:
        """That of a strategy."""
        return next(s for s in self.results if s.name == name)

    @property
    def top(self) -> tuple[StrategyResult, ...]:
        """The most accurate strategy and all that do not differ significantly from it."""
        best = self.results[0]
        return tuple(s for s in self.results if s is best or not self.pair(best.name, s.name).significant)

    @property
    def rankings(self) -> tuple[tuple[str, ...], ...]:
        """Names by accuracy, the best first, for each seed or fold; of equals in the order of ``results``."""
        rounds = range(self.repeats[1])
        by_name = {s.name: s.by_repeat if len(s.by_repeat) > 1 else s.by_repeat * len(rounds) for s in self.results}
        return tuple(tuple(sorted(by_name, key=lambda name: -by_name[name][r])) for r in rounds)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        value = asdict(self)
        for result, plain in zip(self.results, value["results"], strict=True):
            plain["std"] = result.std
        for pair, plain in zip(self.pairs, value["pairs"], strict=True):
            plain["significant"] = pair.significant
        return {**value, "repeats": {"over": self.repeats[0], "count": self.repeats[1]}}


def compare_strategies(
    outcomes: Sequence[Outcome],
    labels: np.ndarray,
    seed: int = 0,
    folds: np.ndarray | None = None,
    gains: Sequence[PredictedGain] = (),
    groups: np.ndarray | None = None,
    recommendation: Recommendation | None = None,
) -> Verdict:
    """Compare strategies on the same test images.

    Args:
        outcomes: At least one, with equal N >= 1.
        labels: True classes, int (N,).
        folds: The fold in which each image was tested, int (N,); None without cross-validation.
        groups: Images with equal numbers belong together, int (N,); None if all are independent.
        recommendation: See ``Verdict``; it was made without the test images.
    """
    results = sorted(
        (_result(outcome, groups, folds) for outcome in outcomes),
        key=lambda s: (-s.accuracy, s.seconds),
    )
    order = [s.name for s in results]
    correct = {o.name: o.correct for o in sorted(outcomes, key=lambda o: order.index(o.name))}
    seeds = max(len(o.correct) for o in outcomes)
    repeats = ("folds", len(np.unique(folds))) if folds is not None else ("seeds", seeds) if seeds > 1 else ("", 1)
    majority_share = float(np.bincount(labels).max() / len(labels))
    pairs = tuple(pairwise(correct, labels, seed, groups=groups))
    known = tuple(sorted((g for g in gains if g.name in order), key=lambda g: order.index(g.name)))
    n_groups = None if groups is None else len(np.unique(groups))
    return Verdict(len(labels), majority_share, tuple(results), pairs, repeats, known, n_groups, recommendation)


def _result(outcome: Outcome, groups: np.ndarray | None, folds: np.ndarray | None) -> StrategyResult:
    correct, by_image = outcome.correct, outcome.correct.mean(axis=0)
    accuracy = float(by_image.mean())
    low, high = intervals.share_interval(by_image, groups)
    by_repeat = correct.mean(axis=1) if folds is None else [by_image[folds == f].mean() for f in np.unique(folds)]
    rounds = tuple(float(x) for x in by_repeat)
    return StrategyResult(outcome.name, accuracy, low, high, rounds, outcome.seconds, outcome.cut_short)
