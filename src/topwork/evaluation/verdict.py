"""The verdict of a comparison as numbers: results, pairs, predicted gains. ``verdict_text`` puts it into sentences.

Nothing in topwork makes a choice by it; ``recommend`` chooses, on the validation images. Pure functions, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from topwork.evaluation import intervals, target_metric
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
        by_image: What ``target_metric.by_image`` gives for the metric that decides, (R, N); None: ``correct``.
        interval: 95 % interval of that metric; None: of accuracy, from ``correct``.
    """

    name: str
    correct: np.ndarray
    seconds: float = 0.0
    cut_short: CutShort | None = None
    by_image: np.ndarray | None = None
    interval: intervals.Interval | None = None


@dataclass(frozen=True)
class StrategyResult:
    """One strategy's accuracy on the test set, and the metric that decides if that is another.

    Attributes:
        accuracy: In [0, 1]; with several seeds the mean.
        value: The metric that decides; with several seeds the mean.
        low, high: 95 % interval of the metric that decides; of accuracy by ``intervals.share_interval``.
        by_repeat: The metric that decides with each seed, or in each fold, (R,); one if it does not depend on the seed.
        seconds: Training time, with features and search.
        cut_short: If its training ended early.
    """

    name: str
    accuracy: float
    value: float
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
        results: The best by the metric first; of equals the one that trains faster.
        pairs: All pairs, the better strategy first.
        repeats: ``"seeds"``, ``"folds"`` or empty, and their number.
        gains: From learning curves.
        groups: Groups of test images, which the intervals and tests count as units; None: all are independent.
        recommendation: What the validation images choose; None for a single run.
        metric: That decides and is compared, a key of ``target_metric.NAMES``.
        baseline: The metric of a classifier that does not look (``target_metric.baseline``).
    """

    images: int
    majority_share: float
    results: tuple[StrategyResult, ...]
    pairs: tuple[Pair, ...]
    repeats: tuple[str, int] = ("", 1)
    gains: tuple[PredictedGain, ...] = ()
    groups: int | None = None
    recommendation: Recommendation | None = None
    metric: str = "accuracy"
    baseline: float = 0.0

    def pair(self, first: str, second: str) -> Pair:
        """The comparison of two strategies, in this order."""
        return find_pair(self.pairs, first, second)

    def result(self, name: str) -> StrategyResult:
        """That of a strategy."""
        return next(s for s in self.results if s.name == name)

    @property
    def top(self) -> tuple[StrategyResult, ...]:
        """The best strategy and all that do not differ significantly from it."""
        best = self.results[0]
        return tuple(s for s in self.results if s is best or not self.pair(best.name, s.name).significant)

    @property
    def rankings(self) -> tuple[tuple[str, ...], ...]:
        """Names by the metric, the best first, for each seed or fold; of equals in the order of ``results``."""
        rounds = range(self.repeats[1])
        by_name = {s.name: s.by_repeat if len(s.by_repeat) > 1 else s.by_repeat * len(rounds) for s in self.results}
        sign = 1 if target_metric.lower_is_better(self.metric) else -1
        return tuple(tuple(sorted(by_name, key=lambda name: sign * by_name[name][r])) for r in rounds)

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
    metric: str = "accuracy",
) -> Verdict:
    """Compare strategies on the same test images.

    Args:
        outcomes: At least one, with equal N >= 1.
        labels: True classes, int (N,).
        folds: The fold in which each image was tested, int (N,); None without cross-validation.
        groups: Images with equal numbers belong together, int (N,); None if all are independent.
        recommendation: See ``Verdict``; it was made without the test images.
        metric: That decides.
    """
    sign = 1 if target_metric.lower_is_better(metric) else -1
    results = sorted(
        (_result(outcome, labels, groups, folds, metric) for outcome in outcomes),
        key=lambda s: (sign * s.value, s.seconds),
    )
    order = [s.name for s in results]
    ordered = sorted(outcomes, key=lambda o: order.index(o.name))
    correct, by_image = {o.name: o.correct for o in ordered}, {o.name: _known(o) for o in ordered}
    seeds = max(len(o.correct) for o in outcomes)
    repeats = ("folds", len(np.unique(folds))) if folds is not None else ("seeds", seeds) if seeds > 1 else ("", 1)
    majority_share = float(np.bincount(labels).max() / len(labels))
    pairs = tuple(pairwise(correct, labels, seed, groups=groups, metric=metric, by_image=by_image))
    known = tuple(sorted((g for g in gains if g.name in order), key=lambda g: order.index(g.name)))
    n_groups = None if groups is None else len(np.unique(groups))
    baseline = target_metric.baseline(metric, labels)
    return Verdict(
        len(labels), majority_share, tuple(results), pairs, repeats, known, n_groups, recommendation, metric, baseline
    )


def _known(outcome: Outcome) -> np.ndarray:
    return outcome.correct if outcome.by_image is None else outcome.by_image


def _result(
    outcome: Outcome, labels: np.ndarray, groups: np.ndarray | None, folds: np.ndarray | None, metric: str
) -> StrategyResult:
    known, by_image = _known(outcome), outcome.correct.mean(axis=0)
    accuracy = float(by_image.mean())
    low, high = outcome.interval or intervals.share_interval(by_image, groups)
    value = target_metric.mean_value(metric, labels, known)
    if folds is None:
        by_repeat = [target_metric.value(metric, labels, one) for one in known]
    else:
        rows = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
        by_repeat = [target_metric.mean_value(metric, labels[fold], known[:, fold]) for fold in rows]
    return StrategyResult(
        outcome.name, accuracy, value, low, high, tuple(by_repeat), outcome.seconds, outcome.cut_short
    )
