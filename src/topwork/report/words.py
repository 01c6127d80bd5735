"""Numbers and findings in words, as the report prints them. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from topwork.report.gather import Figure, ReportData, StrategyData

SPACE = "\u00a0"  # keeps a number and its unit on one line
DASH = "\u2013"
NONE = "\u2013"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in [0, 1] as a percentage, or a dash."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f}{SPACE}%"


def percent_interval(figure: Figure) -> str:
    """The interval of a fraction, e.g. ``85.1-90.2 %`` with an en dash, or a dash."""
    if figure.low is None or figure.high is None:
        return NONE
    return f"{100 * figure.low:.1f}{DASH}{100 * figure.high:.1f}{SPACE}%"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with fixed digits, or a dash."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def number_interval(figure: Figure, digits: int = 3) -> str:
    """The interval of a plain number, or a dash."""
    if figure.low is None or figure.high is None:
        return NONE
    return f"{figure.low:.{digits}f}{DASH}{figure.high:.{digits}f}"


def count(value: float | None) -> str:
    """A whole number with thousands separators, or a dash."""
    return NONE if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """A duration as people say it: ``0.4 s``, ``42 s``, ``3 min 12 s``, ``1 h 05 min``."""
    if value is None:
        return NONE
    if value < 9.95:
        return f"{value:.1f}{SPACE}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    minutes = round(whole / 60)
    return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"


def plain(value: Any) -> str:
    """A value of a free-form dict for reading: short floats, no Python syntax."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(entry)}" for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(entry) for entry in value)
    return NONE if value is None or value == "" else str(value)


def listed(names: Sequence[str]) -> str:
    """Names as an English list: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def summary(data: ReportData) -> list[str]:
    """What was found, in sentences that claim no more than the intervals allow."""
    ranked = sorted(
        (s for s in data.finished if s.test and s.test.accuracy.value is not None),
        key=lambda s: -_value(s),
    )
    waiting = [s.name for s in data.strategies if not s.test]
    sentences = []
    if ranked:
        best, others = ranked[0], ranked[1:]
        sentences.append(_first(best, others))
        sentences += _against(best, others)
        if data.data.majority is not None:
            share = percent(data.data.majority)
            sentences.append(f"Always answering the most frequent class would be right on {share} of these images.")
    if waiting:
        verb = "has" if len(waiting) == 1 else "have"
        sentences.append(f"{listed(waiting)} {verb} not finished, so this report is incomplete.")
    return sentences


def _value(strategy: StrategyData) -> float:
    return strategy.test.accuracy.value or 0.0 if strategy.test else 0.0


def _first(best: StrategyData, others: Sequence[StrategyData]) -> str:
    assert best.test
    value = f"{percent(best.test.accuracy.value)} (95{SPACE}% interval {percent_interval(best.test.accuracy)})"
    start = f"On {count(best.test.images)} test images"
    ties = [s.name for s in others if _value(s) == _value(best)]
    if ties:
        return f"{start} {listed([best.name, *ties])} have the same highest accuracy: {value}."
    if others:
        return f"{start} {best.name} has the highest accuracy: {value}."
    return f"{start} {best.name} has an accuracy of {value}."


def _against(best: StrategyData, others: Sequence[StrategyData]) -> list[str]:
    assert best.test
    low = best.test.accuracy.low
    if not others or low is None:
        return []
    close = [s.name for s in others if s.test and (s.test.accuracy.high is None or s.test.accuracy.high >= low)]
    apart = [s.name for s in others if s.name not in close]
    sentences = []
    if close:
        overlap = f"The interval of {best.name} overlaps {_those(close)} of {listed(close)}"
        sentences.append(f"{overlap}: this test set alone gives no verdict between them.")
    if apart:
        start = "It" if close else "Its interval"
        sentences.append(f"{start} lies wholly above {_those(apart)} of {listed(apart)}.")
    return sentences


def _those(names: Sequence[str]) -> str:
    return "those" if len(names) > 1 else "that"
