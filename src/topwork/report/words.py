"""Numbers and findings in words, as the report prints them. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from topwork.evaluation.verdict_text import listed, verdict_text
from topwork.report.gather import Figure, ReportData

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


def summary(data: ReportData) -> list[str]:
    """The verdict and what is missing, in sentences that claim no more than the figures allow."""
    waiting = [s.name for s in data.strategies if not s.test]
    sentences = verdict_text(data.verdict) if data.verdict else []
    if waiting:
        verb = "has" if len(waiting) == 1 else "have"
        sentences.append(f"{listed(waiting)} {verb} not finished, so this report is incomplete.")
    return sentences
