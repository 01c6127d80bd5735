"""A verdict in words: sentences that claim no more than the figures allow. Pure functions, plain text."""

from __future__ import annotations

from collections.abc import Sequence

from topwork.evaluation.paired import Pair
from topwork.evaluation.verdict import Gain, Standing, Verdict

SIMILAR = 1.5  # training times within this ratio are called alike
CHEAP = 5.0  # a strategy that trains this much faster is offered to those who retrain often
MINUS = "\N{MINUS SIGN}"


def verdict_text(verdict: Verdict) -> list[str]:
    """The verdict, a sentence or two an entry: what is better, by how much, at what cost, what is not known."""
    if len(verdict.standings) == 1:
        only = verdict.standings[0]
        lines = [f"{_score(only)} of {verdict.images:,} test images are right by {only.name}."]
    else:
        lines = [*_top(verdict), *_below(verdict)]
    lines += _no_better_than_guessing(verdict)
    lines += _repeats(verdict)
    lines += [f"Twice the labels would buy {_bought(verdict.gains)}."] if verdict.gains else []
    return lines + ([recommendation(verdict)] if len(verdict.standings) > 1 else [])


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def points(share: float) -> str:
    """A difference of shares in points, with a real minus sign: ``3.6``."""
    return f"{100 * share:.1f}".replace("-0.0", "0.0").replace("-", MINUS)


def p_value(p: float) -> str:
    """``p = 0.004``, ``p = 0.31``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def interval(low: float, high: float) -> str:
    """``[1.2, 6.1]``, in points."""
    return f"[{points(low)}, {points(high)}]"


def _score(s: Standing) -> str:
    return f"{100 * s.accuracy:.1f} % {interval(s.low, s.high)}"


def _difference(pair: Pair, test: str, pairs: int) -> str:
    corrected = f", corrected for {pairs} pairs" if pairs > 1 else ""
    return (
        f"paired difference {points(pair.difference)} points {interval(pair.low, pair.high)}, "
        f"{test} {p_value(pair.p_holm)}{corrected}"
    )


def _test(verdict: Verdict) -> str:
    return "sign-flip" if verdict.repeats[0] == "seeds" else "McNemar"


def _top(verdict: Verdict) -> list[str]:
    best, *others = verdict.top
    test, pairs = _test(verdict), len(verdict.pairs)
    if not others:
        second = verdict.standings[1]
        pair = verdict.pair(best.name, second.name)
        return [
            f"{best.name} {_score(best)} is better than {second.name} {_score(second)} "
            f"({_difference(pair, test, pairs)}) and {_cost(best, second)}."
        ]
    named = listed([f"{s.name} {_score(s)}" for s in verdict.top])
    details = [
        f"{best.name} against {s.name}: {_difference(verdict.pair(best.name, s.name), test, pairs)}" for s in others
    ]
    needed = max(verdict.pair(best.name, s.name).detectable for s in others)
    lines = [
        f"{named} can't be told apart on {verdict.images:,} images ({'; '.join(details)}). "
        f"A true difference of {points(needed)} points would have shown in four of five such test sets; a smaller one "
        "may be there."
    ]
    for pair in verdict.pairs:
        if pair.apart and {pair.first, pair.second} <= {s.name for s in others}:
            lines.append(f"Of these, {pair.first} is better than {pair.second} ({_difference(pair, test, pairs)}).")
    unsteady = [s.name for s in others if verdict.pair(best.name, s.name).p_holm < 0.05]
    if unsteady:
        lines.append(f"Not every seed puts {best.name} before {listed(unsteady)}, so this is no finding.")
    return lines


def _below(verdict: Verdict) -> list[str]:
    """The strategies under the best ones: how far, and which of them can't be told apart."""
    best, top = verdict.standings[0], verdict.top
    below = [s for s in verdict.standings if s not in top]
    said = below[1:] if len(top) == 1 else below  # the second was named with the first
    lines = []
    if said:
        far = [f"{s.name} by {points(verdict.pair(best.name, s.name).difference)} points" for s in said]
        lines.append(f"{best.name} is {'also ' if len(top) == 1 else ''}better than {listed(far)}.")
    groups: list[list[Standing]] = []
    for s in below:
        if groups and all(not verdict.pair(other.name, s.name).apart for other in groups[-1]):
            groups[-1].append(s)
        else:
            groups.append([s])
    for group in groups:
        if len(group) > 1:
            names = listed([s.name for s in group])
            lines.append(f"{names} can't be told apart on {verdict.images:,} images.")
    return lines


def _no_better_than_guessing(verdict: Verdict) -> list[str]:
    poor = [s.name for s in verdict.standings if s.low <= verdict.majority]
    if not poor:
        return []
    share = f"{100 * verdict.majority:.1f} %"
    return [
        f"{listed(poor)} {'is' if len(poor) == 1 else 'are'} not shown to be better than always answering the most "
        f"frequent class, which is right on {share}."
    ]


def _repeats(verdict: Verdict) -> list[str]:
    over, count = verdict.repeats
    spreads = listed([f"{s.name} {points(s.spread)}" for s in verdict.standings if s.spread is not None])
    if over == "folds":
        return [
            f"Every image was tested once, in one of {count} folds; standard deviation between folds, in points: "
            f"{spreads}. Folds share training images, so the intervals are somewhat too narrow."
        ]
    if over != "seeds":
        return []
    line = (
        f"Means over {count} seeds; standard deviation between seeds, in points: {spreads} (the intervals are those of "
        "other test images)."
    )
    if len(verdict.standings) == 1:
        return [line]
    rankings = list(dict.fromkeys(verdict.rankings))
    if len(rankings) == 1:
        return [f"{line} All seeds give the same ranking."]
    told = "; ".join(" > ".join(ranking) for ranking in rankings)
    return [f"{line} The seeds don't give the same ranking: {told}."]


def _bought(gains: Sequence[Gain]) -> str:
    return listed([f"{g.name} about {points(g.value)} points {interval(g.low, g.high)}" for g in gains])


def _cost(a: Standing, b: Standing) -> str:
    """What a costs beside b."""
    if not a.seconds or not b.seconds:
        return "costs about as much"
    ratio = a.seconds / b.seconds
    if ratio >= SIMILAR:
        return f"costs {_times(ratio)} the training time"
    return f"trains {_times(1 / ratio)} as fast" if ratio <= 1 / SIMILAR else "takes as long to train"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:,.0f}x"


def recommendation(verdict: Verdict) -> str:
    """What to take: by accuracy, and by cost where something cheaper is near."""
    best, top = verdict.standings[0], verdict.top
    if len(top) > 1:
        return _unproven(verdict)
    cheap = [s for s in verdict.standings[1:] if s.seconds * CHEAP <= best.seconds]
    if not cheap:
        return f"Take {best.name}: it is the most accurate, and nothing near it trains much faster."
    return (
        f"If accuracy decides take {best.name}; if you retrain daily on a laptop take {cheap[0].name}, at "
        f"{points(verdict.pair(best.name, cheap[0].name).difference)} points less."
    )


def _unproven(verdict: Verdict) -> str:
    """Where the best has equals: the cheapest of those that none of them is proven to beat."""
    best, top = verdict.standings[0], verdict.top
    beaten = {p.second if p.difference > 0 else p.first for p in verdict.pairs if p.apart}
    level = [s for s in top if s.name not in beaten]
    fastest = min(level, key=lambda s: s.seconds)
    if fastest is best or best.seconds < SIMILAR * fastest.seconds:
        return (
            f"Nothing shows that one of {listed([s.name for s in level])} is better than another, and "
            f"none trains much faster than {best.name}, which has the highest figure: take it."
        )
    return (
        f"Nothing shows that one of {listed([s.name for s in level])} is better than another, so cost may "
        f"decide: {fastest.name} is the cheapest and trains {_times(best.seconds / max(fastest.seconds, 1e-3))} as "
        f"fast as {best.name}, which has the highest figure."
    )
