"""Charts of calibration and of learning curves, in the style of ``charts``."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from topwork.evaluation.intervals import wilson
from topwork.evaluation.learning_curve import Curve
from topwork.report.charts import MUTED, SERIES, svg
from topwork.report.comparison_views import CalibrationView
from topwork.report.formatting import NBSP, percent, percent_interval

MARKERS = "os^Dvp"  # nothing depends on color alone; the page's swatches have the same shapes


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
    return svg(
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
    return svg("coverage", (4.8, 3.0), draw, f"Accuracy against coverage. At the threshold: {'; '.join(description)}.")


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
    return svg("labels", (5.6, 3.3), draw, f"Accuracy against the number of training images: {'; '.join(description)}.")
