"""Figures and HTML for notebooks: they show the numbers of the run, and names are text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import topwork
from topwork.bundle.postprocessing import ClassProbability, Prediction
from topwork.report import plots

EVIL = '<img src=x onerror="alert(1)">'


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda found: hasattr(found, "get_text"))]


def test_bars_show_value_interval_and_time() -> None:
    bars = [plots.Bar("svm", 0.86, 0.83, 0.88, 3.0), plots.Bar("mlp", 0.84, None, None, 0.0)]
    figure = plots.plot_bars(bars, "accuracy", percent=True)
    left, right = figure.axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["svm", "mlp"]
    assert {"86.0 %", "84.0 %", "3 s"} <= set(texts(figure))
    assert list(left.lines[0].get_xdata()) == pytest.approx([83, 88])
    assert len(right.lines) == 1  # no time, no point


def test_a_confusion_matrix_shows_the_counts_and_many_classes_their_recall() -> None:
    matrix = np.array([[7, 1], [0, 4]])
    (axes,) = plots.plot_training("svm", [], matrix, ["cat", "dog"]).axes
    assert [text.get_text() for text in axes.texts] == ["7", "1", "4"]
    many = np.diag(np.arange(40)) + np.eye(40, k=1, dtype=int)
    (axes,) = plots.plot_training("svm", [], many, [str(k) for k in range(40)]).axes
    heights = [bar.get_height() for bar in axes.patches]
    totals = many.sum(axis=1)
    assert heights == pytest.approx(sorted(100 * np.arange(40)[totals > 0] / totals[totals > 0]))


def test_views_of_a_comparison(comparison: topwork.Comparison) -> None:
    figure = comparison.plot()
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(comparison.runs)
    run = comparison["finetune"]
    panels = run.plot().axes
    assert list(panels[0].lines[0].get_xdata()) == [record.epoch for record in run.history]
    correct = int((run.predictions.predicted == run.predictions.labels).sum())
    counts = {(text.get_position()): int(text.get_text()) for text in panels[2].texts}
    assert sum(number for (x, y), number in counts.items() if x == y) == correct
    html = comparison._repr_html_()
    assert "data:image/svg+xml" in html
    assert "<b>Use " in html or " is right on " in html
    assert "data:image/svg+xml" in run._repr_html_()


def test_a_prediction_shows_its_image_and_names_are_text(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (300, 200), "red").save(file)
    top = (ClassProbability(EVIL, 0.75), ClassProbability("b", 0.25))
    html = Prediction(str(file), top, abstain=True)._repr_html_()
    assert "data:image/jpeg" in html
    assert EVIL not in html
    assert "75.0 %" in html
    assert "unsure" in html
    assert "<img" not in Prediction(EVIL, top)._repr_html_()
    assert EVIL not in Prediction(EVIL, error=EVIL)._repr_html_()


def test_a_check_shows_images_of_each_class(photos: Path, tmp_path: Path) -> None:
    result = topwork.check(photos, quick=True, out=tmp_path, quiet=True)
    html = result._repr_html_()
    assert html.count("data:image/jpeg") == 6 * len(result.manifest.classes)
    assert "can be used" in html
