"""Labels that look wrong: with and without the extra, and what is said of how many are."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from topwork.evaluation import label_issues
from topwork.evaluation.label_noise import LabelNoise, probabilities_of
from topwork.linear.leave_out import LeaveOut
from topwork.pipeline.label_issues import describe_yield


def blobs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes in 8 dimensions, and the rows whose labels are wrong."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    features = rng.normal(size=(180, 8)) + 4 * np.eye(3, 8)[labels]
    wrong = rng.choice(180, 9, replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1) % 3
    return features.astype(np.float32), given, wrong


@pytest.mark.parametrize("extra", [True, False])
def test_wrong_labels_come_first(monkeypatch: pytest.MonkeyPatch, extra: bool) -> None:
    if extra and importlib.util.find_spec("cleanlab") is None:
        pytest.skip("cleanlab is not installed")
    if not extra:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    features, labels, wrong = blobs()
    probabilities = probabilities_of(LeaveOut(features).scores(labels, 3), labels)
    found, how = label_issues.rank_label_issues(labels, probabilities)
    assert ("cleanlab" in how) == extra
    assert len(set(found[:9]) & set(wrong)) >= 7
    assert len(found) <= 16


def test_the_finding_says_how_many_errors_to_expect_and_when_to_stop() -> None:
    """Of 100 images the labels of the first 40 are surely wrong, or of none."""
    contradicted = np.arange(100) < 40
    bins = contradicted.astype(np.int64)
    right = np.full((2, 2), 0.5)
    rates = np.full(2, 0.5)
    noise = LabelNoise(rates, right, bins, contradicted, 0.5, np.where(contradicted, 1e12, 1e-12), 0.0)
    ranked = np.arange(100)
    assert describe_yield(noise, ranked[:30]) == "of the first 30 expect 30 real errors, at least 30 (95 % confidence)"
    assert describe_yield(noise, ranked) == (
        "of the first 50 expect 40 real errors, at least 40 (95 % confidence); stop looking after 39, since fewer "
        "than 1 in 5 of the next are errors"
    )
    assert describe_yield(noise, ranked[:1]) == "of it expect 1 real error, at least 1 (95 % confidence)"
    assert describe_yield(noise, ranked[60:62]).endswith(
        "at least 0 (95 % confidence): fewer than 1 in 5, so they may be hard images with correct labels"
    )
