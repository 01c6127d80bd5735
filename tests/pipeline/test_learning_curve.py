"""The learning curve over labels: resumable, nested, and told in the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import topwork
from topwork.core import storage
from topwork.core.strategy_config import FinetuneConfig, SVMConfig
from topwork.data.batches import Targets
from topwork.pipeline.learning_curve import scale_epochs
from topwork.report.folder_evaluation import evaluate_folder
from topwork.strategies.base import CachedBatches

FAST: dict[str, Any] = {"img_size": 32, "precision": "float32", "workers": 0, "threads": 1, "quiet": True}


def test_quick_strategies_have_a_curve_and_a_resume_makes_only_what_is_missing(photos: Path, tmp_path: Path) -> None:
    flags = {"strategies": ["svm", "knn", "mlp"], "out": tmp_path / "out", "sets": ["mlp.epochs=2"], **FAST}
    comparison = topwork.compare(photos, **flags)
    files = sorted(path.name for path in (comparison.path / "learning_curves").iterdir())
    assert files == [f"{name}-{draw}.json" for name in ("knn", "svm") for draw in range(3)]
    path = comparison.path / "learning_curves" / "svm-1.json"
    whole = storage.read_json(path)
    *_, missing, last = sorted(whole["wrong"], key=int)
    predictions = comparison["svm"].predictions
    assert whole["wrong"][last] == np.flatnonzero(predictions.predicted != predictions.labels).tolist()
    storage.write_json(path, whole | {"wrong": {k: v for k, v in whole["wrong"].items() if k != missing}})
    kept = (comparison.path / "learning_curves" / "knn-0.json").stat().st_mtime_ns
    topwork.compare(resume=comparison.path, quiet=True)
    assert storage.read_json(path) == whole
    assert (comparison.path / "learning_curves" / "knn-0.json").stat().st_mtime_ns == kept
    curves = evaluate_folder(comparison.path).curves
    assert {curve.name for curve in curves} == {"svm", "knn"}
    verdict = comparison.verdict
    assert verdict is not None
    assert {gain.name for gain in verdict.gains} == {"svm", "knn"}


@given(images=st.integers(20, 5000), share=st.floats(0.02, 1), batch_size=st.integers(2, 64), epochs=st.integers(1, 40))
def test_a_subset_gets_the_steps_of_the_whole(images: int, share: float, batch_size: int, epochs: int) -> None:
    subset = max(2, round(share * images))
    settings = FinetuneConfig(epochs=epochs, batch_size=batch_size, patience=3, minutes=2)
    scaled = scale_epochs(settings, images, subset)
    assert isinstance(scaled, FinetuneConfig)
    assert isinstance(scaled.epochs, int)
    whole, own = (len(CachedBatches(None, Targets(np.zeros(n, int), 2), batch_size, 0)) for n in (images, subset))
    assert epochs * whole - own < scaled.epochs * own <= epochs * whole
    assert (scaled.minutes, scaled.patience >= 3) == (None, True)
    assert scale_epochs(settings, images, images).epochs == epochs
    assert scale_epochs(SVMConfig(), images, subset) == SVMConfig()


def test_a_curve_is_made_of_what_is_trained(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(topwork.TopworkError, match="not among the strategies"):
        topwork.compare(photos, strategies=["svm"], out=tmp_path / "a", learning_curve=["finetune"], **FAST)
    comparison = topwork.compare(photos, strategies=["svm"], out=tmp_path / "b", learning_curve=["none"], **FAST)
    assert not (comparison.path / "learning_curves").exists()
