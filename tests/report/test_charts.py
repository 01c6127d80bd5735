"""Charts: well-formed, deterministic, colored by the page, told in words."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from topwork.core.artifacts import EpochRecord
from topwork.report.charts import loss_chart, metric_chart, val_accuracy_chart
from topwork.report.report_data import Metric, Scores, StrategyData

pytestmark = pytest.mark.usefixtures("drawn_charts")
HISTORY = [EpochRecord(i, 10 * i, 1.0 / i, 1.2 / i, 0.5 + i / 20, 1e-3, i < 4) for i in range(1, 6)]


def strategy(name: str, *accuracy: float | None) -> StrategyData:
    return StrategyData(name, "done", Scores(10, {"accuracy": Metric(*accuracy)}, (), ()))


def all_charts() -> list[str]:
    rows = [strategy("mlp", 0.8, 0.7, 0.9), strategy("svm", 0.85, 0.75, 0.95)]
    return [metric_chart(rows, 0.6), loss_chart("mlp", HISTORY, 1), val_accuracy_chart("mlp", HISTORY, 1)]


def test_charts_are_well_formed_and_say_in_words_what_they_show() -> None:
    for svg in all_charts():
        root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
        assert root.get("role") == "img"
    labels = [re.search(r'aria-label="([^"]*)"', svg) for svg in all_charts()]
    assert labels[0]
    assert "mlp 80.0\u00a0%, 95\u00a0% interval 70.0\u201390.0\u00a0%" in labels[0][1]
    assert labels[2]
    assert "epoch 3 kept with 65.0\u00a0%" in labels[2][1]


def test_charts_have_no_color_date_or_address_of_their_own() -> None:
    for svg in all_charts():
        assert not re.search(r"#[0-9a-f]{6}\b", svg)
        assert "metadata" not in svg
        assert "http" not in svg
        assert "var(--muted)" in svg
        assert "var(--series-" in svg


def test_equal_data_give_equal_bytes_and_ids_are_unique_in_a_page() -> None:
    assert all_charts() == all_charts()
    ids = re.findall(r'\bid="([^"]+)"', "".join(all_charts()))
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|href="#)([^)"]+)', "".join(all_charts()))
    assert set(used) <= set(ids)


def test_a_strategy_without_accuracy_is_left_out() -> None:
    assert metric_chart([StrategyData("svm", "running"), strategy("mlp", None)]) == ""
    assert ">svm<" not in metric_chart([StrategyData("svm", "running"), strategy("mlp", 1.0)])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_epoch_and_a_diverged_training_can_be_drawn(bad: float) -> None:
    broken = [replace(HISTORY[0], train_loss=bad, val_loss=bad)]
    assert "<svg" in loss_chart("scratch", broken)
    assert "<svg" in val_accuracy_chart("scratch", HISTORY[:1])


def test_a_dollar_sign_is_not_mathematics() -> None:
    assert "a $x^ b$" in metric_chart([strategy("a $x^ b$", 0.5, 0.4, 0.6)])
