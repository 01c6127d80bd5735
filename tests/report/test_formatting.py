"""Numbers and findings in formatting."""

from __future__ import annotations

import numpy as np
import pytest

from topwork.evaluation.answer import answer
from topwork.evaluation.verdict import Outcome, Verdict, compare_strategies
from topwork.evaluation.verdict_text import join_names
from topwork.report import formatting
from topwork.report.overview import overview
from topwork.report.report_data import DatasetSummary, Metric, ReportData, Scores, StrategyData


def data(verdict: Verdict | None, **finished: bool) -> ReportData:
    strategies = tuple(
        StrategyData(name, "waiting", Scores(4, {}, (), ()) if f else None) for name, f in finished.items()
    )
    account = DatasetSummary("set", 300, {})
    return ReportData(
        "comparison", "n", "", "done", "", "", account, {}, {}, strategies, "", {}, verdict, folder="runs/n"
    )


def test_the_first_screen_has_the_answer_and_what_is_missing() -> None:
    labels = np.arange(200) % 4
    verdict = compare_strategies([Outcome("svm", (labels > 0)[None]), Outcome("linear", (labels < 9)[None])], labels)
    done = overview(data(verdict, svm=True, linear=True))
    assert (list(done.answer), done.waiting) == (answer(verdict), "")
    more = overview(data(verdict, svm=True, linear=True, mlp=False))
    first, *others = answer(verdict)
    assert list(more.answer) == [f"So far: {first}", *others]
    assert more.waiting == "mlp has not finished, so this report is incomplete."
    assert more.steps[0].command == "topwork compare --resume runs/n"


def test_what_has_not_finished_is_named() -> None:
    assert "mlp and svm have not finished" in overview(data(None, mlp=False, svm=False)).waiting
    assert overview(data(None)).answer == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, formatting.MISSING),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.7, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (7230, "2 h 00 min"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert formatting.format_duration(value).replace(formatting.NBSP, " ") == text


def test_numbers_that_are_not_known_are_a_dash() -> None:
    assert {
        formatting.percent(None),
        formatting.percent(float("nan")),
        formatting.number(None),
        formatting.count(None),
    } == {formatting.MISSING}
    assert {formatting.percent_interval(Metric(0.5)), formatting.number_interval(Metric(None))} == {formatting.MISSING}


def test_plain_values_show_no_python() -> None:
    assert formatting.format_value({"C": 0.031622776, "scaled": True, "tried": [1, 2.0], "kernel": None}) == (
        f"C 0.03162, scaled yes, tried 1, 2, kernel {formatting.MISSING}"
    )
    assert join_names(["a", "b", "c"]) == "a, b and c"
