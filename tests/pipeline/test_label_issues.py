"""Labels that look wrong: with and without the extra, and out-of-fold predictions that never saw the image."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from topwork.evaluation import label_issues
from topwork.linear.selection import DEFAULT_CS, out_of_fold_probabilities


def blobs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes in 8 dimensions, and the rows whose labels are wrong."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    features = rng.normal(size=(180, 8)) + 4 * np.eye(3, 8)[labels]
    wrong = rng.choice(180, 9, replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1) % 3
    return features.astype(np.float32), given, wrong


def test_out_of_fold_predictions_are_those_of_scikit_learn() -> None:
    features, labels, _ = blobs()
    folds = [np.arange(180)[k::5] for k in range(5)]
    found = out_of_fold_probabilities(features, labels, 3, folds)
    best = None
    for c in DEFAULT_CS:
        expected = np.empty((180, 3))
        for fold in folds:
            rest = np.setdiff1d(np.arange(180), fold)
            model = LogisticRegression(C=c, tol=1e-8, max_iter=2000).fit(features[rest], labels[rest])
            expected[fold] = model.predict_proba(features[fold])
        right = (expected.argmax(axis=1) == labels).mean()
        best = (right, expected) if best is None or right > best[0] else best
    assert best is not None
    assert (found.argmax(axis=1) == best[1].argmax(axis=1)).mean() > 0.98
    assert np.abs(found - best[1]).mean() < 0.03  # the bias is hardly penalised here, and not at all there


@pytest.mark.parametrize("extra", [True, False])
def test_wrong_labels_come_first(monkeypatch: pytest.MonkeyPatch, extra: bool) -> None:
    if extra and importlib.util.find_spec("cleanlab") is None:
        pytest.skip("cleanlab is not installed")
    if not extra:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    features, labels, wrong = blobs()
    found, how = label_issues.rank_label_issues(
        labels, out_of_fold_probabilities(features, labels, 3, [np.arange(180)[k::5] for k in range(5)])
    )
    assert ("cleanlab" in how) == extra
    assert len(set(found[:9]) & set(wrong)) >= 7
    assert len(found) <= 16
