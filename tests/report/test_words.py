"""Numbers and findings in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from topwork.report import words
from topwork.report.gather import DataAccount, Figure, ReportData, Scores, StrategyData


def data(**accuracies: tuple[float, float, float] | None) -> ReportData:
    strategies = tuple(
        StrategyData(name, "waiting", Scores(200, {"accuracy": Figure(*value)}, (), ()) if value else None)
        for name, value in accuracies.items()
    )
    account = DataAccount("set", 300, {"train": {"a": 60, "b": 40}, "test": {"a": 150, "b": 50}})
    return ReportData("comparison", "n", "", "done", "", "", account, {}, {}, strategies, "", {})


def said(report: ReportData) -> str:
    return " ".join(words.summary(report)).replace(words.SPACE, " ").replace(words.DASH, "-")


def test_overlapping_intervals_are_no_verdict() -> None:
    text = said(data(scratch=(0.4, 0.3, 0.5), svm=(0.85, 0.8, 0.9), finetune=(0.88, 0.83, 0.93)))
    assert "On 200 test images finetune has the highest accuracy: 88.0 % (95 % interval 83.0-93.0 %)." in text
    assert "The interval of finetune overlaps that of svm: this test set alone gives no verdict between them." in text
    assert "It lies wholly above that of scratch." in text
    assert "most frequent class would be right on 75.0 %" in text


def test_one_strategy_is_not_the_highest_of_one() -> None:
    text = said(data(svm=(0.85, 0.8, 0.9)))
    assert "svm has an accuracy of 85.0 %" in text
    assert "highest" not in text
    assert "verdict" not in text


def test_a_tie_is_said_to_be_one() -> None:
    text = said(data(svm=(0.85, 0.8, 0.9), mlp=(0.85, 0.8, 0.9)))
    assert "svm and mlp have the same highest accuracy" in text


def test_what_has_not_finished_is_named() -> None:
    assert "mlp and svm have not finished" in said(data(mlp=None, svm=None))
    assert said(replace(data(mlp=None), strategies=())) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, words.NONE),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.7, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (7199, "2 h 00 min"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert words.seconds(value).replace(words.SPACE, " ") == text


def test_numbers_that_are_not_known_are_a_dash() -> None:
    assert {words.percent(None), words.percent(float("nan")), words.number(None), words.count(None)} == {words.NONE}
    assert {words.percent_interval(Figure(0.5)), words.number_interval(Figure(None))} == {words.NONE}


def test_plain_values_show_no_python() -> None:
    assert words.plain({"C": 0.031622776, "scaled": True, "tried": [1, 2.0], "kernel": None}) == (
        f"C 0.03162, scaled yes, tried 1, 2, kernel {words.NONE}"
    )
    assert words.listed(["a", "b", "c"]) == "a, b and c"
