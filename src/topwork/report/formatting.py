"""Numbers and sentences as the report prints them. Pure functions."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from topwork.core.progress import duration
from topwork.evaluation import target_metric
from topwork.evaluation.verdict_text import metric_value
from topwork.report.report_data import Metric

NBSP = "\u00a0"  # keeps a number and its unit on one line
EN_DASH = "\u2013"
MISSING = "\u2013"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in [0, 1] as a percentage, or a dash."""
    return MISSING if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f}{NBSP}%"


def percent_interval(metric: Metric) -> str:
    """The interval of a fraction, e.g. ``85.1-90.2 %`` with an en dash, or a dash."""
    if metric.low is None or metric.high is None:
        return MISSING
    return f"{100 * metric.low:.1f}{EN_DASH}{100 * metric.high:.1f}{NBSP}%"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with fixed digits, or a dash."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def number_interval(metric: Metric, digits: int = 3) -> str:
    """The interval of a plain number, or a dash."""
    if metric.low is None or metric.high is None:
        return MISSING
    return f"{metric.low:.{digits}f}{EN_DASH}{metric.high:.{digits}f}"


def metric_cell(value: float | None, metric: str) -> str:
    """A value of a metric that decides."""
    return percent(value) if target_metric.in_percent(metric) else number(value)


def metric_interval(item: Metric, metric: str) -> str:
    """The interval of a metric that decides."""
    return percent_interval(item) if target_metric.in_percent(metric) else number_interval(item)


def metric_difference(value: float, metric: str) -> str:
    """A difference of a metric that decides: in percentage points, or as a number."""
    return metric_value(value, metric, "")


def count(value: float | None) -> str:
    """A whole number with thousands separators, or a dash."""
    return MISSING if value is None else f"{value:,.0f}"


def format_signed(value: int) -> str:
    """``+3``, ``0`` or a minus sign and the number."""
    return f"+{value}" if value > 0 else str(value).replace("-", "\N{MINUS SIGN}")


def isolate(name: str) -> str:
    """A name in a sentence: one that is written from right to left must not turn what stands around it.

    >>> isolate("cat"), isolate("\u06af\u0631\u0628\u0647") == "\u2068\u06af\u0631\u0628\u0647\u2069"
    ('cat', True)
    """
    turns = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in name)
    return f"\u2068{name}\u2069" if turns else name


def format_bytes(value: float | None) -> str:
    """A size on disk or in memory, in decimal units: ``23.3 MB``; or a dash."""
    if value is None:
        return MISSING
    unit, size = next(((u, s) for u, s in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if value >= s), ("B", 1))
    return f"{value / size:.3g}{NBSP}{unit}"


def format_duration(value: float | None) -> str:
    """A duration: ``0.4 s``, ``42 s``, ``3 min 12 s``, ``1 h 05 min``; or a dash."""
    if value is None:
        return MISSING
    return (f"{value:.1f} s" if value < 9.95 else duration(value)).replace(" ", NBSP)


def format_value(value: Any) -> str:
    """A JSON value for reading: short floats, no Python syntax."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {format_value(entry)}" for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(format_value(entry) for entry in value)
    return MISSING if value is None or value == "" else str(value)
