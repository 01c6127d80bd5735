"""Charts as inline SVG that follows the page: its font, its text color, its light or dark mode.

matplotlib cannot write ``currentColor`` or CSS variables, so it draws in stand-in colors that are replaced afterwards.
The text stays text, there is no date in the file, and equal data give equal bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from topwork.core.artifacts import EpochRecord
from topwork.core.names import AT
from topwork.evaluation import target_metric
from topwork.evaluation.intervals import wilson
from topwork.evaluation.learning_curve import Curve
from topwork.evaluation.metrics import METRIC_NAMES
from topwork.report.comparison_views import CalibrationView
from topwork.report.formatting import (
    NBSP,
    format_duration,
    metric_cell,
    metric_interval,
    number,
    percent,
    percent_interval,
)
from topwork.report.report_data import Metric, StrategyData

INK, MUTED, RULE, SECONDARY = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0500{i:02x}" for i in range(6))
MARKERS = "os^Dvp"  # nothing depends on color alone; the page's swatches have the same shapes
_CSS = {INK: "currentColor", MUTED: "var(--muted)", RULE: "var(--rule)", SECONDARY: "var(--second)"}
_CSS |= {color: f"var(--series-{i})" for i, color in enumerate(SERIES)}
_PRINT = {"currentColor": "#000000", "var(--muted)": "#444444", "var(--rule)": "#bbbbbb", "var(--second)": "#444444"}
_PRINT |= {  # Okabe & Ito 2008: distinct for readers with any color vision
    f"var(--series-{i})": color
    for i, color in enumerate(("#000000", "#d55e00", "#009e73", "#0072b2", "#cc79a7", "#e69f00"))
}
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def metric_chart(strategies: Sequence[StrategyData], baseline: float | None = None, metric: str = "accuracy") -> str:
    """The metric that decides on the test set with its 95 % interval, one row per strategy.

    Args:
        strategies: Strategies without the metric are omitted; without any, the result is empty.
        baseline: Of ``target_metric.baseline``, drawn as a line.
        metric: A key of ``target_metric.NAMES``.
    """
    rows = _scored(strategies, metric)
    if not rows:
        return ""

    def draw(figure: Figure) -> None:
        _draw_metric(figure.add_subplot(), rows, baseline, metric)

    return _svg("accuracy", (4.4, 0.75 + 0.48 * len(rows)), draw, _describe_metric(rows, baseline, metric))


def overview_chart(strategies: Sequence[StrategyData], baseline: float | None = None, metric: str = "accuracy") -> str:
    """``metric_chart`` with the training time of each strategy beside it; arguments and empty result as there."""
    rows = _scored(strategies, metric)
    if not rows:
        return ""
    seconds = {name: s.training_seconds for i, name, _ in rows if (s := strategies[i])}
    known = [value for value in seconds.values() if value > 0]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
        _draw_metric(left, rows, baseline, metric)
        for y, (i, name, _) in enumerate(rows):
            if seconds[name] > 0:
                right.plot([seconds[name]], [y], MARKERS[0], color=SERIES[i % len(SERIES)], markersize=7.5)
                label = format_duration(seconds[name])
                right.annotate(label, (seconds[name], y), (0, 7), textcoords="offset points", ha="center", va="bottom")
        right.set_xscale("log")
        right.set_xlim(min(known, default=1) / 3, max(known, default=1) * 3)
        right.xaxis.set_major_locator(NullLocator())
        right.xaxis.set_minor_locator(NullLocator())
        right.set_yticks(range(len(rows)), [""] * len(rows))
        right.set_ylim(len(rows) - 0.5, -0.75)
        right.tick_params(axis="y", length=0)
        right.spines["left"].set_visible(False)
        right.set_xlabel("time to train, log", loc="right")

    times = "; ".join(f"{name} {format_duration(value)}" for name, value in seconds.items() if value > 0)
    description = _describe_metric(rows, baseline, metric) + (f" Training time: {times}." if times else "")
    return _svg("overview", (4.7, 0.75 + 0.48 * len(rows)), draw, description)


def _scored(strategies: Sequence[StrategyData], metric: str) -> list[tuple[int, str, Metric]]:
    """Index, name and metric of the strategies that have it."""
    key = target_metric.key(metric)
    scored = [(i, s.name, s.test.metrics.get(key, Metric(None))) for i, s in enumerate(strategies) if s.test]
    return [row for row in scored if row[2].value is not None]


def _draw_metric(axes: Axes, rows: Sequence[tuple[int, str, Metric]], baseline: float | None, metric: str) -> None:
    in_percent = target_metric.in_percent(metric)
    scale = 100 if in_percent else 1
    for y, (i, _, found) in enumerate(rows):
        value, low, high = (scale * (x if x is not None else 0.0) for x in (found.value, found.low, found.high))
        color = SERIES[i % len(SERIES)]
        if found.low is not None and found.high is not None:
            axes.plot([low, high], [y, y], color=color, linewidth=2.4)
        axes.plot([value], [y], "o", color=color, markersize=7.5)
        label = metric_cell(found.value, metric)
        axes.annotate(label, (value, y), (0, 7), textcoords="offset points", ha="center", va="bottom")
    if baseline is not None:
        axes.axvline(scale * baseline, color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)))
    axes.set_yticks(range(len(rows)), [name.replace(AT, "\n") for _, name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.75)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    axes.set_xlabel(f"{target_metric.NAMES[metric]} on the test set{', %' if in_percent else ''}")


def _describe_metric(rows: Sequence[tuple[int, str, Metric]], baseline: float | None, metric: str) -> str:
    description = [
        f"{strategy} {metric_cell(found.value, metric)}, 95{NBSP}% interval {metric_interval(found, metric)}"
        for _, strategy, found in rows
    ]
    if baseline is not None:
        description.append(f"{target_metric.describe_baseline(metric)} {metric_cell(baseline, metric)}")
    return f"{METRIC_NAMES[target_metric.key(metric)]} on the test set. {'; '.join(description)}."


def standalone(svg: str) -> str:
    """A chart of a page as a file of its own, for print: black on white, without the page's style sheet."""
    for css, color in _PRINT.items():
        svg = svg.replace(css, color)
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return svg.replace("<svg ", f'<svg {spaces} style="background: #ffffff" ', 1) + "\n"


def loss_chart(name: str, history: Sequence[EpochRecord], series: int = 0) -> str:
    """Training and validation loss of a strategy by epoch (at least one), as an ``<svg>`` element.

    ``series`` is the index of the color of the validation loss.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _line(axes, history, [r.train_loss for r in history], SECONDARY, (0, (4, 2)))
        _line(axes, history, [r.val_loss for r in history], SERIES[series % len(SERIES)])
        axes.set_ylabel("loss")

    last = history[-1]
    words = f"training {number(last.train_loss)}, validation {number(last.val_loss)} after epoch {last.epoch}"
    return _svg(f"loss-{name}", (4.1, 2.35), draw, f"Loss of {name} by epoch: {words}.")


def val_accuracy_chart(name: str, history: Sequence[EpochRecord], series: int = 0) -> str:
    """Validation accuracy by epoch with the kept epoch marked; arguments as ``loss_chart``."""
    kept = [record for record in history if record.best][-1:]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        color = SERIES[series % len(SERIES)]
        _line(axes, history, [100 * r.val_accuracy for r in history], color)
        for record in kept:
            axes.plot([record.epoch], [100 * record.val_accuracy], "o", color=color, markersize=7)
        axes.set_ylabel("validation accuracy, %")

    words = f"{percent(history[-1].val_accuracy)} after epoch {history[-1].epoch}"
    chosen = "".join(f"; epoch {r.epoch} kept with {percent(r.val_accuracy)}" for r in kept)
    return _svg(f"val-{name}", (4.1, 2.35), draw, f"Validation accuracy of {name} by epoch: {words}{chosen}.")


def _line(axes: Axes, history: Sequence[EpochRecord], values: list[float], color: str, style: object = "-") -> None:
    points = [(r.epoch, v) for r, v in zip(history, values, strict=True) if math.isfinite(v)]
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=color,
        linestyle=style,  # pyrefly: ignore[bad-argument-type]
        marker="." if len(points) < 3 else "",
    )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(history) == 1:
        axes.set_xlim(history[0].epoch - 1, history[0].epoch + 1)


def reliability_chart(c: CalibrationView) -> str:
    """Accuracy against confidence in bins, with Wilson intervals, as an ``<svg>`` element."""

    def draw(figure: Figure) -> None:
        axes, color = figure.add_subplot(), SERIES[c.series % len(SERIES)]
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)))
        for x, correct, images in zip(c.bins.confidence, c.bins.correct, c.bins.images, strict=True):
            low, high = wilson(int(correct), int(images))
            axes.plot([100 * x] * 2, [100 * low, 100 * high], color=color, linewidth=1.6)
        axes.plot(100 * c.bins.confidence, 100 * c.bins.accuracy, "o", color=color, markersize=5)
        axes.set_xlim(100 * min(0.5, float(c.bins.low[0])) - 1, 101)
        axes.set_ylim(-2, 102)
        axes.set_xlabel("confidence, %")
        axes.set_ylabel("accuracy on the test set, %")

    description = f"expected calibration error {percent(c.ece.value)}, 95{NBSP}% interval {percent_interval(c.ece)}"
    return _svg(
        f"reliability-{c.name}", (3.4, 2.6), draw, f"Accuracy of {c.name} against its confidence: {description}."
    )


def coverage_chart(found: Sequence[CalibrationView]) -> str:
    """Accuracy against coverage of selective prediction; empty if there is nothing to draw."""
    if not found:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for c in found:
            color, marker = SERIES[c.series % len(SERIES)], MARKERS[c.series % len(MARKERS)]
            axes.plot(100 * c.coverage, 100 * c.accuracy, color=color, marker=marker, markersize=4.5, markevery=0.12)
            if c.at_threshold:
                axes.plot(100 * c.at_threshold[0], 100 * c.at_threshold[1], marker, color=color, markersize=10)
        axes.set_xlim(0, 101)
        axes.set_xlabel("most confident test images, %")
        axes.set_ylabel("accuracy on them, %")

    description = [
        f"{c.name} {percent(c.at_threshold[1])} on {percent(c.at_threshold[0])} of the images"
        for c in found
        if c.at_threshold
    ]
    return _svg("coverage", (4.8, 3.0), draw, f"Accuracy against coverage. At the threshold: {'; '.join(description)}.")


def data_size_chart(curves: Sequence[Curve], names: Sequence[str]) -> str:
    """Accuracy against the number of training images: measured, and the fitted power law up to twice as many.

    ``names`` are those of all strategies, for their colors.
    """
    if not curves:
        return ""
    now = max(int(c.sizes[-1]) for c in curves)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for c in curves:
            i = names.index(c.name)
            color = SERIES[i % len(SERIES)]
            axes.fill_between(c.grid, 100 * (1 - c.high), 100 * (1 - c.low), color=color, alpha=0.18, linewidth=0)
            known = c.grid <= now
            line = 100 * (1 - c.error(c.grid))
            axes.plot(c.grid[known], line[known], color=color)
            axes.plot(c.grid[~known], line[~known], color=color, linestyle=(0, (3, 2)))
            mean = 100 * (1 - c.errors.mean(axis=0))
            axes.plot(c.sizes, mean, MARKERS[i % len(MARKERS)], color=color, markersize=4.5)
        axes.axvline(now, color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)))
        axes.set_xscale("log")
        ticks = [n for n in (now / 8, now / 4, now / 2, now, 2 * now) if n >= min(c.sizes[0] for c in curves)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, [f"{n:,.0f}" for n in ticks])
        axes.set_xlabel("training images (logarithmic)")
        axes.set_ylabel("accuracy on the test set, %")

    description = [
        f"{c.name} {percent(1 - float(c.error(now)))} now, {percent(1 - float(c.error(2 * now)))} with twice as many"
        for c in curves
    ]
    return _svg(
        "labels", (5.6, 3.3), draw, f"Accuracy against the number of training images: {'; '.join(description)}."
    )


def _svg(id_prefix: str, size: tuple[float, float], draw: Callable[[Figure], None], description: str) -> str:
    """An ``<svg>`` element in the colors of the page, drawn by ``draw``.

    Args:
        id_prefix: Unique in a page; ids inside begin with it.
        size: Width and height in inches.
        draw: Draws on an empty figure in the colors of this module.
        description: Alternative text.
    """
    prefix = re.sub(r"[^a-z0-9]+", "-", id_prefix.lower())
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": prefix}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    # Several charts share one page, and ids must be unique in it.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for color, css in _CSS.items():
        svg = svg.replace(color, css)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view
    width = f"{size[0] * 96:.0f}"
    head = f'<svg class="chart" role="img" aria-label="{escape(description)}" {view[0]} width="{width}">'
    return head + svg[svg.index(">") + 1 :].strip()
