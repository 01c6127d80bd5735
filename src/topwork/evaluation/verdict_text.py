"""The verdict as sentences that claim no more than the numbers support. Pure functions, plain text."""

from __future__ import annotations

from collections.abc import Sequence

from topwork.evaluation import target_metric
from topwork.evaluation.paired import Pair
from topwork.evaluation.recommend import SIMILAR_COST_RATIO, Recommendation
from topwork.evaluation.verdict import PredictedGain, StrategyResult, Verdict

MINUS = "\N{MINUS SIGN}"


def verdict_sentences(verdict: Verdict) -> list[str]:
    """The verdict, one or two sentences per entry: what is better, by how much, at what cost, what remains open."""
    lines = [_single(verdict)] if len(verdict.results) == 1 else [*_top(verdict), *_below(verdict)]
    lines += cautions(verdict)
    if verdict.gains:
        gains = [f"{percentage_points(g.value)} points {_interval(g)} for {g.name}" for g in verdict.gains]
        what = "" if verdict.metric == "accuracy" else " of accuracy"
        lines.append(f"Doubling the labels would add about {join_names(gains)}{what}.")
    return lines + ([recommendation(verdict)] if verdict.recommendation and len(verdict.results) > 1 else [])


def cautions(verdict: Verdict) -> list[str]:
    """What limits the results, one or two sentences per entry."""
    return [*_cut_short(verdict), *_no_better_than_guessing(verdict), *_groups(verdict), *_repeats(verdict)]


def join_names(names: Sequence[str]) -> str:
    """Join names.

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def percentage_points(share: float) -> str:
    """A difference of shares in percentage points, with a real minus sign.

    >>> percentage_points(0.0362)
    '3.6'
    """
    return f"{100 * share:.1f}".replace("-0.0", "0.0").replace("-", MINUS)


def p_value(p: float) -> str:
    """``p = 0.004``, ``p = 0.31``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def metric_value(value: float, metric: str = "accuracy", unit: str = " %") -> str:
    """A value of a metric that decides, or a difference of two: in percent, or as a number.

    >>> metric_value(0.861), metric_value(0.021, "macro-f1", " points"), metric_value(0.4567, "log-loss")
    ('86.1 %', '2.1 points', '0.457')
    """
    if target_metric.in_percent(metric):
        return f"{percentage_points(value)}{unit}"
    return f"{value:.3f}".replace("-0.000", "0.000").replace("-", MINUS)


def _interval(item: Pair | StrategyResult | PredictedGain, metric: str = "accuracy") -> str:
    return f"[{metric_value(item.low, metric, '')}, {metric_value(item.high, metric, '')}]"


def _named(s: StrategyResult) -> str:
    return f"{s.name} (cut short)" if s.still_improving else s.name


def _score(s: StrategyResult, metric: str) -> str:
    return f"{metric_value(s.value, metric)} {_interval(s, metric)}"


def _single(verdict: Verdict) -> str:
    only, metric = verdict.results[0], verdict.metric
    if metric == "accuracy":
        return f"{only.name} classifies {_score(only, metric)} of {verdict.images:,} test images correctly."
    what = f"{_article(metric)} {target_metric.NAMES[metric]}"
    return f"{only.name} has {what} of {_score(only, metric)} on {verdict.images:,} test images."


def _article(metric: str) -> str:
    return "an" if metric in ("accuracy", "roc-auc") else "a"


def _difference(verdict: Verdict, pair: Pair) -> str:
    metric = verdict.metric
    sums = verdict.repeats[0] == "seeds" or verdict.groups is not None or metric != "accuracy"
    test, pairs = "sign-flip" if sums else "McNemar", len(verdict.pairs)
    corrected = f", corrected for {pairs} pairs" if pairs > 1 else ""
    return (
        f"paired difference {metric_value(pair.difference, metric, ' points')} {_interval(pair, metric)}, "
        f"{test} {p_value(pair.p_holm)}{corrected}"
    )


def _top(verdict: Verdict) -> list[str]:
    (best, *others), metric = verdict.top, verdict.metric
    by = "" if metric == "accuracy" else f"By {target_metric.NAMES[metric]}: "
    if not others:
        second = verdict.results[1]
        difference = _difference(verdict, verdict.pair(best.name, second.name))
        return [
            f"{by}{best.name} {_score(best, metric)} is significantly better than {_named(second)} "
            f"{_score(second, metric)} ({difference}) and {_cost(best, second)}."
        ]
    pairs = [verdict.pair(best.name, s.name) for s in others]
    named = join_names([f"{_named(s)} {_score(s, metric)}" for s in verdict.top])
    details = [f"{best.name} vs. {pair.second}: {_difference(verdict, pair)}" for pair in pairs]
    needed = max(pair.minimum_detectable_difference for pair in pairs)
    lines = [
        f"{by}There is no significant difference between {named} on {verdict.images:,} images ({'; '.join(details)}). "
        f"With this test set, a true difference of {metric_value(needed, metric, ' points')} would be detected 80 % "
        "of the time; smaller differences may exist."
    ]
    for pair in verdict.pairs:
        if pair.significant and {pair.first, pair.second} <= {s.name for s in others}:
            worse = _named(verdict.result(pair.second))
            lines.append(f"{pair.first} is significantly better than {worse} ({_difference(verdict, pair)}).")
    inconsistent = [pair.second for pair in pairs if pair.p_holm < 0.05]
    if inconsistent:
        lines.append(
            f"The order of {best.name} and {join_names(inconsistent)} changes between seeds, so this is not conclusive."
        )
    return lines


def _below(verdict: Verdict) -> list[str]:
    """The strategies below the best: their distance, and which of them do not differ significantly."""
    best, top = verdict.results[0], verdict.top
    below = [s for s in verdict.results if s not in top]
    remaining = below[1:] if len(top) == 1 else below  # the second is named with the first
    lines = []
    if remaining:
        far = [
            f"{_named(s)} by {metric_value(verdict.pair(best.name, s.name).difference, verdict.metric, ' points')}"
            for s in remaining
        ]
        lines.append(f"{best.name} is {'also ' if len(top) == 1 else ''}significantly better than {join_names(far)}.")
    groups: list[list[StrategyResult]] = []
    for s in below:
        if groups and all(not verdict.pair(other.name, s.name).significant for other in groups[-1]):
            groups[-1].append(s)
        else:
            groups.append([s])
    for group in groups:
        if len(group) > 1:
            names = join_names([_named(s) for s in group])
            lines.append(f"There is no significant difference between {names} on {verdict.images:,} images.")
    return lines


def _cut_short(verdict: Verdict) -> list[str]:
    """What is to be said of trainings that ended early: their accuracy is not that of the strategy."""
    lines = []
    for s in verdict.results:
        if s.cut_short and s.cut_short.improving:
            lines.append(
                f"{s.name} was cut short {s.cut_short.describe()} and was still improving: its accuracy is that of so "
                "many epochs, and no strategy is shown to be better than what more of them would give."
            )
        elif s.cut_short:
            lines.append(
                f"{s.name} was cut short {s.cut_short.describe()}; its last epoch was no better than earlier ones on "
                "the validation images."
            )
    return lines


def _no_better_than_guessing(verdict: Verdict) -> list[str]:
    metric, baseline = verdict.metric, verdict.baseline
    lower = target_metric.lower_is_better(metric)
    poor = [s.name for s in verdict.results if (s.high >= baseline if lower else s.low <= baseline)]
    if not poor:
        return []
    name = f"{_article(metric)} {target_metric.NAMES[metric]}"
    return [
        f"{join_names(poor)} {'is' if len(poor) == 1 else 'are'} not shown to be better than "
        f"{target_metric.describe_baseline(metric)}, which has {name} of {metric_value(baseline, metric)}."
    ]


def _groups(verdict: Verdict) -> list[str]:
    if verdict.groups is None:
        return []
    return [
        f"Of the {verdict.images:,} test images some belong together (a group, duplicates): the intervals and tests "
        f"count {verdict.groups:,} independent units."
    ]


def _repeats(verdict: Verdict) -> list[str]:
    over, count = verdict.repeats
    metric = verdict.metric
    stds = join_names([f"{s.name} {metric_value(s.std, metric, '')}" for s in verdict.results if s.std is not None])
    points = ", in points" if target_metric.in_percent(metric) else ""
    if over == "folds":
        return [
            f"Every image was tested once, in one of {count} folds; standard deviation between folds{points}: "
            f"{stds}. Folds share training images, so the intervals are somewhat too narrow."
        ]
    if over != "seeds":
        return []
    once = [s.name for s in verdict.results if s.std is None]
    verbs = ("does", "was") if len(once) == 1 else ("do", "were")
    fitted = f" {join_names(once)} {verbs[0]} not depend on the seed and {verbs[1]} fitted once." if once else ""
    line = (
        f"Means over {count} seeds; standard deviation between seeds{points}: {stds} (the intervals show the "
        f"variation with other test images).{fitted}"
    )
    if len(verdict.results) == 1:
        return [line]
    rankings = list(dict.fromkeys(verdict.rankings))
    if len(rankings) == 1:
        return [f"{line} All seeds give the same ranking."]
    orders = "; ".join(" > ".join(ranking) for ranking in rankings)
    return [f"{line} The ranking differs between seeds: {orders}."]


def _cost(a: StrategyResult, b: StrategyResult) -> str:
    """The training time of a compared with b."""
    if not a.seconds or not b.seconds:
        return "has a similar cost"
    ratio = a.seconds / b.seconds
    if ratio >= SIMILAR_COST_RATIO:
        return f"takes {_times(ratio)} as long to train"
    return f"trains {_times(1 / ratio)} as fast" if ratio <= 1 / SIMILAR_COST_RATIO else "takes about as long to train"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:,.0f}x"


def recommendation(verdict: Verdict) -> str:
    """Which strategy the validation images choose, why, and how good it is on the test images."""
    chosen = verdict.recommendation
    if chosen is None:
        return ""
    result = verdict.result(chosen.name)
    better = [s.name for s in verdict.results if s is not result and _is_better(verdict.pair(s.name, result.name))]
    verb = "is" if len(better) == 1 else "are"
    end = f", where {join_names(better)} {verb} significantly better" if better else ""
    folds = (
        " Validation images of one fold are test images of another, so this may be slightly too high."
        if verdict.repeats[0] == "folds"
        else ""
    )
    longer = [s.name for s in verdict.results if s.still_improving]
    more = f" {join_names(longer)} may do better with more epochs, and the choice may change." if longer else ""
    return (
        f"Chosen on the {chosen.images:,} validation images: {chosen.name}, because {_reason(chosen)}; on the test "
        f"images it reaches {_score(result, verdict.metric)}{end}.{folds}{more}"
    )


def _is_better(pair: Pair) -> bool:
    return pair.significant and pair.difference > 0


def _reason(chosen: Recommendation) -> str:
    name, best, metric = chosen.name, chosen.best, chosen.metric
    highest = f"{'lowest' if target_metric.lower_is_better(metric) else 'highest'} {target_metric.NAMES[metric]} there"
    if name != best:
        pair = chosen.pair(best, name)
        return (
            f"no strategy is significantly better there and it trains "
            f"{_times(chosen.seconds[best] / max(chosen.seconds[name], 1e-3))} as fast as {best}, which has the "
            f"{highest} ({metric_value(pair.difference, metric, ' points')} {_more(metric)}, {p_value(pair.p_holm)})"
        )
    highest = f"it has the {highest} ({metric_value(chosen.values[name], metric)})"
    if not chosen.cheaper:
        return f"{highest} and none trains much faster"
    beaten = all(chosen.pair(name, other).significant for other in chosen.cheaper)
    verbs = ("costs", "is") if len(chosen.cheaper) == 1 else ("cost", "are")
    than = "" if beaten else " than another strategy"
    faster = f"{join_names(chosen.cheaper)}, which {verbs[0]} less to train, {verbs[1]}"
    return f"{highest} and {faster} significantly worse{than}"


def _more(metric: str) -> str:
    return "less" if target_metric.lower_is_better(metric) else "more"
