"""Predictions by fits without an image, or its unit, are those of scikit-learn fitted without it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from topwork.linear import leave_out
from topwork.linear.leave_out import LeaveOut


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("size", [5, 60])  # fewer and more features than images
def test_each_unit_is_predicted_by_a_fit_without_it(grouped: bool, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave_out, "PENALTIES", (0.3,))
    monkeypatch.setattr(leave_out, "CHUNK", 16)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    x = (rng.normal(size=(40, size)) + np.eye(3, size)[labels]).astype(np.float32)
    units = np.where(labels == 0, 9, rng.integers(0, 25, 40)) if grouped else None  # one unit is large
    found = LeaveOut(x).scores(labels, 3, units)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    share = np.bincount(labels, minlength=3) / 40
    for unit in np.unique(units) if grouped else range(40):
        out = (units if grouped else np.arange(40)) == unit
        model = Ridge(0.3, fit_intercept=False).fit(x[~out], np.eye(3)[labels[~out]] - share)
        np.testing.assert_allclose(found[out], model.predict(x[out]) + share, atol=1e-5)


def test_the_penalty_is_the_one_that_is_right_most_often(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    x = (rng.normal(size=(300, 50)) + labels[:, None] * 0.5).astype(np.float32)
    right = {}
    for penalty in leave_out.PENALTIES:
        with monkeypatch.context() as only:
            only.setattr(leave_out, "PENALTIES", (penalty,))
            right[penalty] = (LeaveOut(x).scores(labels, 2).argmax(axis=1) == labels).mean()
    assert (LeaveOut(x).scores(labels, 2).argmax(axis=1) == labels).mean() == max(right.values()) > min(right.values())
