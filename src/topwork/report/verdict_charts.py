"""Charts of calibration and of learning curves over labels, in the manner of ``charts``."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from topwork.evaluation.intervals import wilson
from topwork.evaluation.learning_curve import Curve
from topwork.report.charts import MUTED, SERIES, svg
from topwork.report.compared import Calibrated
from topwork.report.words import SPACE, percent, percent_interval

MARKERS = "os^Dvp"  # so that nothing is told by colour alone; the page's swatches have the same shapes


def reliability_chart(c: Calibrated) -> str:
    """Accuracy against confidence in bins, with Wilson intervals, as an ``<svg>`` element."""

    def draw(figure: Figure) -> None:
        axes, colour = figure.add_subplot(), SERIES[c.series % len(SERIES)]
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)))
        for x, right, images in zip(c.bins.confidence, c.bins.right, c.bins.images, strict=True):
            low, high = wilson(int(right), int(images))
            axes.plot([100 * x] * 2, [100 * low, 100 * high], color=colour, linewidth=1.6)
        axes.plot(100 * c.bins.confidence, 100 * c.bins.accuracy, "o", color=colour, markersize=5)
        axes.set_xlim(100 * min(0.5, float(c.bins.low[0])) - 1, 101)
        axes.set_ylim(-2, 102)
        axes.set_xlabel("confidence, %")
        axes.set_ylabel("accuracy on test, %")

    told = f"expected calibration error {percent(c.error.value)}, 95{SPACE}% interval {percent_interval(c.error)}"
    return svg(f"reliability-{c.name}", (3.4, 2.6), draw, f"Accuracy of {c.name} against its confidence: {told}.")


def coverage_chart(found: Sequence[Calibrated]) -> str:
    """Accuracy of what is answered against the share that is answered; empty if there is nothing to draw."""
    if not found:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for c in found:
            colour, marker = SERIES[c.series % len(SERIES)], MARKERS[c.series % len(MARKERS)]
            axes.plot(100 * c.coverage, 100 * c.accuracy, color=colour, marker=marker, markersize=4.5, markevery=0.12)
            if c.at:
                axes.plot(100 * c.at[0], 100 * c.at[1], marker, color=colour, markersize=10)
        axes.set_xlim(0, 101)
        axes.set_xlabel("share of test images answered, %")
        axes.set_ylabel("accuracy of these, %")

    told = [f"{c.name} {percent(c.at[1])} on {percent(c.at[0])} of the images" for c in found if c.at]
    return svg("coverage", (4.8, 3.0), draw, f"Accuracy against coverage. At the threshold: {'; '.join(told)}.")


def labels_chart(curves: Sequence[Curve], names: Sequence[str]) -> str:
    """Accuracy against training images: measured, and the fitted law with its interval up to twice as many.

    Args:
        curves: Of which strategies there are.
        names: Of all strategies, for their colours.
    """
    if not curves:
        return ""
    now = max(int(c.sizes[-1]) for c in curves)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for c in curves:
            i = names.index(c.name)
            colour = SERIES[i % len(SERIES)]
            axes.fill_between(c.grid, 100 * (1 - c.high), 100 * (1 - c.low), color=colour, alpha=0.18, linewidth=0)
            known = c.grid <= now
            line = 100 * (1 - c.error(c.grid))
            axes.plot(c.grid[known], line[known], color=colour)
            axes.plot(c.grid[~known], line[~known], color=colour, linestyle=(0, (3, 2)))
            mean = 100 * (1 - c.errors.mean(axis=0))
            axes.plot(c.sizes, mean, MARKERS[i % len(MARKERS)], color=colour, markersize=4.5)
        axes.axvline(now, color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)))
        axes.set_xscale("log")
        ticks = [n for n in (now / 8, now / 4, now / 2, now, 2 * now) if n >= min(c.sizes[0] for c in curves)]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, [f"{n:,.0f}" for n in ticks])
        axes.set_xlabel("training images (logarithmic)")
        axes.set_ylabel("accuracy on test, %")

    told = [
        f"{c.name} {percent(1 - float(c.error(now)))} now, {percent(1 - float(c.error(2 * now)))} with twice"
        for c in curves
    ]
    return svg("labels", (5.6, 3.3), draw, f"Accuracy against the number of training images: {'; '.join(told)}.")
