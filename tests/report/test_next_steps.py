"""What the report says about more labeled images."""

from __future__ import annotations

import pytest

from topwork.evaluation.verdict import PredictedGain
from topwork.report.next_steps import _more_labels


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.021, 0.004, 0.035, "would help, by about 2.1 percentage points [0.4, 3.5]"),
        (0.012, -0.003, 0.03, "might not help much, by about 1.2 percentage points"),
        (0.0, 0.0, 0.016, "might not help: twice as many add [0.0, 1.6] percentage points"),
        (0.0, 0.0, 0.0004, "would hardly help"),
    ],
)
def test_a_gain_is_described_as_far_as_it_is_known(value: float, low: float, high: float, text: str) -> None:
    assert text in _more_labels(PredictedGain("svm", 100, value, low, high)).text
