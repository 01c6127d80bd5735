"""Charts of a run or a comparison as matplotlib figures, for notebooks and papers, in colors of Okabe & Ito 2008.

The charts of the report are in ``charts``: they follow the page's colors.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from topwork.core.artifacts import EpochRecord
from topwork.core.progress import duration

MAX_CLASSES = 30  # of a confusion matrix
COLORS = ("#000000", "#d55e00", "#009e73", "#0072b2", "#cc79a7", "#e69f00")
_STYLE = {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}


@dataclass(frozen=True)
class Bar:
    """One strategy: its metric with interval, and its training time."""

    name: str
    value: float
    low: float | None
    high: float | None
    seconds: float


def plot_bars(bars: Sequence[Bar], metric: str, percent: bool) -> Figure:
    """The metric of each strategy with its 95 % interval, and its training time beside it."""
    scale = 100 if percent else 1
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 0.9 + 0.5 * len(bars)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.6, 1), sharey=True)
        for y, bar in enumerate(bars):
            color = COLORS[y % len(COLORS)]
            if bar.low is not None and bar.high is not None:
                left.plot([scale * bar.low, scale * bar.high], [y, y], color=color, linewidth=2.4)
            left.plot([scale * bar.value], [y], "o", color=color, markersize=7.5)
            _label(left, f"{scale * bar.value:.{1 if percent else 3}f}{' %' if percent else ''}", scale * bar.value, y)
            if bar.seconds > 0:
                right.plot([bar.seconds], [y], "o", color=color, markersize=7.5)
                _label(right, duration(bar.seconds), bar.seconds, y)
        left.set_yticks(range(len(bars)), [bar.name for bar in bars])
        left.set_ylim(len(bars) - 0.5, -0.75)
        left.margins(x=0.1)
        left.grid(axis="x", alpha=0.3)
        left.set_xlabel(f"{metric} on the test images, with 95 % interval")
        right.set_xscale("log")
        times = [bar.seconds for bar in bars if bar.seconds > 0] or [1.0]
        right.set_xlim(min(times) / 4, max(times) * 4)
        right.set_xticks([], [])
        right.set_xticks([], [], minor=True)
        right.tick_params(axis="y", length=0)
        right.set_xlabel("training time, log scale")
    return figure


def _label(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (0, 6), textcoords="offset points", ha="center", va="bottom")


def plot_training(name: str, history: Sequence[EpochRecord], matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Losses and validation accuracy by epoch, if there are epochs, and which class is predicted as which.

    Args:
        matrix: Test images by true and predicted class, (K, K). Of more than ``MAX_CLASSES`` classes the recall of each
            is drawn instead, sorted.
    """
    with matplotlib.rc_context(_STYLE):
        width = 3.6 if history else 0
        figure = Figure(figsize=(width * 2 + 4.6, 3.8), layout="constrained")
        figure.suptitle(name)
        panels = figure.subplots(1, 3 if history else 1, squeeze=False)[0]
        if history:
            epochs = [record.epoch for record in history]
            losses, accuracy = panels[:2]
            losses.plot(epochs, [r.train_loss for r in history], color=COLORS[1], linestyle="--", label="training")
            losses.plot(epochs, [r.val_loss for r in history], color=COLORS[3], label="validation")
            losses.set_ylabel("loss")
            losses.legend(frameon=False)
            accuracy.plot(epochs, [100 * r.val_accuracy for r in history], color=COLORS[3])
            for record in [r for r in history if r.best][-1:]:
                accuracy.plot([record.epoch], [100 * record.val_accuracy], "o", color=COLORS[3])
            accuracy.set_ylabel("validation accuracy, %")
            for axes in (losses, accuracy):
                axes.set_xlabel("epoch")
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        (_confusion if len(classes) <= MAX_CLASSES else _recalls)(panels[-1], matrix, classes)
    return figure


def _confusion(axes: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(matrix):
        color = "white" if shares[i, j] > 0.6 else "black"
        axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(classes)), classes, rotation=90 if len(classes) > 3 else 0)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")


def _recalls(axes: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    totals = matrix.sum(axis=1)
    recall = np.sort(100 * np.diag(matrix)[totals > 0] / totals[totals > 0])
    axes.bar(range(len(recall)), recall, width=1.0, color=COLORS[3])
    axes.set_xlabel(f"{len(recall)} of {len(classes)} classes, sorted")
    axes.set_ylabel("recall on the test images, %")


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element on white."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return text.getvalue()[text.getvalue().index("<svg") :]
