"""The verdict in a few sentences of everyday words, and each strategy compared with the recommended one.

They claim no more than ``verdict_text`` does, whose statistics they leave out. Pure functions, plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from topwork.evaluation import target_metric
from topwork.evaluation.paired import Pair
from topwork.evaluation.recommend import SIMILAR_COST_RATIO
from topwork.evaluation.verdict import StrategyResult, Verdict
from topwork.evaluation.verdict_text import join_names, metric_value, p_value

NEARLY_ALL = 0.985  # from this share on, and below 1 - this share, it is given of 1,000 instead of 100


@dataclass(frozen=True)
class Difference:
    """A strategy compared with another on the test images.

    Attributes:
        name: The strategy.
        difference, interval: By which it is better, in the unit of the metric, with a sign; and the 95 % interval.
        p: Corrected for all pairs of the comparison.
        conclusion: ``better``, ``worse`` or ``no significant difference``.
        cost: Its training time compared with the other's; may be empty.
    """

    name: str
    difference: str
    interval: str
    p: str
    conclusion: str
    cost: str


def answer(verdict: Verdict) -> list[str]:
    """What to use, how often it is right, and what the other strategies would cost and gain; a few short sentences."""
    chosen = main_result(verdict)
    quality, poor = _quality(chosen, verdict), _is_poor(chosen, verdict)
    if len(verdict.results) == 1:
        return [f"{chosen.name} {quality}.", *([_baseline(verdict)] if poor else [])]
    if verdict.recommendation is None:
        first = (
            f"No strategy can be recommended, because they were not chosen on the same images: {chosen.name} {quality}."
        )
    elif poor:
        first = f"Do not rely on these yet: {chosen.name}, the recommended strategy, {quality}."
    else:
        first = f"Use {chosen.name}: it {quality}."
    others = [s for s in verdict.results if s is not chosen]
    better = [s for s in others if _pair(s, chosen, verdict).significant and _pair(s, chosen, verdict).difference > 0]
    worse = [s for s in others if _pair(s, chosen, verdict).significant and s not in better]
    equal = [s for s in others if s not in better and s not in worse]
    clauses = [
        *(_better(s, chosen, verdict) for s in better),
        *_not_better(equal, chosen),
        *_worse(worse, chosen, verdict),
    ]
    sentences = [first, *([_baseline(verdict)] if poor else []), f"{'; '.join(clauses)}."]
    if chosen.still_improving:
        sentences.append(f"{chosen.name} was stopped while it was still improving: more epochs may make it better.")
    return sentences


def differences(verdict: Verdict) -> list[Difference]:
    """Every other strategy compared with the recommended one, the best first."""
    chosen, metric = main_result(verdict), verdict.metric
    rows = []
    for s in verdict.results:
        if s is chosen:
            continue
        pair = _pair(s, chosen, verdict)
        sign = "+" if pair.difference > 0 else ""
        conclusion = ("better" if pair.difference > 0 else "worse") if pair.significant else "no significant difference"
        rows.append(
            Difference(
                s.name,
                sign + metric_value(pair.difference, metric, " points"),
                f"[{metric_value(pair.low, metric, '')}, {metric_value(pair.high, metric, '')}]",
                p_value(pair.p_holm),
                conclusion,
                _cost(s, chosen),
            )
        )
    return rows


def main_result(verdict: Verdict) -> StrategyResult:
    """That of the recommended strategy; of the best if none is recommended."""
    return verdict.result(verdict.recommendation.name) if verdict.recommendation else verdict.results[0]


def _pair(s: StrategyResult, other: StrategyResult, verdict: Verdict) -> Pair:
    return verdict.pair(s.name, other.name)


def _quality(s: StrategyResult, verdict: Verdict) -> str:
    """How good a strategy is on new images, as a predicate."""
    metric = verdict.metric
    if metric == "macro-f1":
        low, high = metric_value(s.low, unit=""), metric_value(s.high, unit="")
        return f"has a macro-F1 of {metric_value(s.value)} on new images ({low} to {high})"
    if metric == "log-loss":
        low, high = metric_value(s.low, metric), metric_value(s.high, metric)
        return f"has a log-loss of {metric_value(s.value, metric)} on new images ({low} to {high}; lower is better)"
    if metric == "accuracy" and s.value == 1.0:
        return f"is right on all {verdict.images:,} test images ({_range(s, 100)} of 100 new images)"
    of = 1000 if not 1 - NEARLY_ALL < s.value < NEARLY_ALL and s.value < 1 else 100
    count, interval = f"{of * s.value:.0f} of {of:,}", _range(s, of)
    if metric == "roc-auc":
        return f"puts {count} pairs of new images of different classes in the right order ({interval})"
    end = "" if metric == "accuracy" else ", each class counted equally"
    return f"is right on {count} new images ({interval}{end})"


def _range(s: StrategyResult, of: int) -> str:
    return f"{of * s.low:.0f} to {of * s.high:.0f}"


def _is_poor(s: StrategyResult, verdict: Verdict) -> bool:
    """Whether it is not shown to be better than a classifier that does not look at the images."""
    lower = target_metric.lower_is_better(verdict.metric)
    return s.high >= verdict.baseline if lower else s.low <= verdict.baseline


def _baseline(verdict: Verdict) -> str:
    metric, value = verdict.metric, verdict.baseline
    if metric == "accuracy":
        reached = f"would be right on {100 * value:.0f} of 100"
    else:
        reached = f"would have {'an' if metric == 'roc-auc' else 'a'} {target_metric.NAMES[metric]} of " + metric_value(
            value, metric
        )
    what = target_metric.describe_baseline(metric)
    return f"That is not shown to be better than not looking at the image: {what} {reached}."


def _better(s: StrategyResult, chosen: StrategyResult, verdict: Verdict) -> str:
    cost = _cost(s, chosen)
    return f"{s.name} is better on the test images{_by(s, chosen, verdict)}{f' and {cost}' if cost else ''}"


def _not_better(found: Sequence[StrategyResult], chosen: StrategyResult) -> list[str]:
    """What was not shown to be better; or worse, of those that train clearly faster."""
    clauses = []
    for word, faster in (("better", False), ("worse", True)):
        group = [s for s in found if _is_faster(s, chosen) == faster]
        plain, improving = [s for s in group if not s.still_improving], [s for s in group if s.still_improving]
        for s in [*improving, *(plain if len(plain) == 1 else [])]:
            cost = _cost(s, chosen)
            end = ", but it was stopped while it was still improving" if s in improving else ""
            clauses.append(f"{s.name} {f'{cost} and ' if cost else ''}was not shown to be {word}{end}")
        if len(plain) > 1:
            costs = [(s.name, _cost(s, chosen).partition(" ")[2]) for s in plain]
            names = join_names([f"{name} ({cost})" if cost else name for name, cost in costs])
            clauses.append(f"{names} were not shown to be {word}")
    return clauses


def _is_faster(s: StrategyResult, other: StrategyResult) -> bool:
    """Whether it trains clearly faster."""
    return bool(s.seconds) and s.seconds * SIMILAR_COST_RATIO <= other.seconds


def _worse(found: Sequence[StrategyResult], chosen: StrategyResult, verdict: Verdict) -> list[str]:
    """Those that train clearly faster one by one, for they are a choice; the others together."""
    faster = [s for s in found if _is_faster(s, chosen)]
    clauses = [f"{s.name} {_cost(s, chosen)}, but is worse{_by(s, chosen, verdict)}{_so_far(s)}" for s in faster]
    rest = [s for s in found if s not in faster]
    if rest:
        names = join_names([f"{s.name}{_so_far(s)}" for s in rest])
        clauses.append(f"{names} {'is' if len(rest) == 1 else 'are'} worse")
    return clauses


def _so_far(s: StrategyResult) -> str:
    return " (stopped while it was still improving)" if s.still_improving else ""


def _by(s: StrategyResult, chosen: StrategyResult, verdict: Verdict) -> str:
    """``, right on 4 more of 100``."""
    pair, metric = _pair(s, chosen, verdict), verdict.metric
    count = round(100 * abs(pair.difference))
    if metric in ("accuracy", "balanced-accuracy") and count:
        return f" (right on {count} {'more' if pair.difference > 0 else 'fewer'} of 100)"
    return f" (by {metric_value(abs(pair.difference), metric, ' points')})"


def _cost(s: StrategyResult, other: StrategyResult) -> str:
    """Its training time compared with another's, as a predicate; empty if a time is unknown."""
    if not s.seconds or not other.seconds:
        return ""
    ratio = s.seconds / other.seconds
    if ratio >= SIMILAR_COST_RATIO:
        return f"takes {_times(ratio)} as long"
    return f"trains {_times(1 / ratio)} as fast" if ratio <= 1 / SIMILAR_COST_RATIO else "takes about as long"


def _times(ratio: float) -> str:
    """Two digits: ``twice``, ``1.6 times``, ``12 times``, ``730 times``."""
    text = f"{ratio:.1f}".removesuffix(".0") if ratio < 9.95 else f"{float(f'{ratio:.2g}'):,.0f}"
    return "twice" if text == "2" else f"{text} times"
