"""``--metric``: what the log says and what a resume refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.drawn_features import DrawnFeatures

from topwork.core.artifacts import ImageRow, Manifest, RunInfo
from topwork.core.config import Config, DataConfig
from topwork.core.errors import ConfigError, SettingsChanged
from topwork.pipeline import configure


def manifest(tmp_path: Path, **counts: int) -> Manifest:
    rows = tuple(ImageRow(f"{label}/{i}.png", label) for label, count in counts.items() for i in range(count))
    return Manifest(tmp_path, rows, "drawn")


def test_auto_is_accuracy_and_says_when_that_is_a_bad_choice(tmp_path: Path) -> None:
    config = Config(data=DataConfig(path="drawn"), strategies=("svm",))
    assert configure.describe_metric(config, manifest(tmp_path, ok=60, crack=40)) == ""
    assert configure.describe_metric(config, manifest(tmp_path, ok=95, crack=5)) == (
        "Metric    accuracy decides what is chosen and compared; always predicting 'ok' would reach 95 % accuracy; for "
        "rare classes pass --metric balanced-accuracy"
    )
    explicit = config.model_copy(update={"metric": "accuracy"})
    assert configure.describe_metric(explicit, manifest(tmp_path, ok=95, crack=5)) == (
        "Metric    accuracy decides what is chosen and compared"
    )
    assert DrawnFeatures(2, 5, 1, 1.0).context(tmp_path, balance=False).metric == "accuracy"


def test_another_metric_is_refused_by_a_resume_and_an_unknown_one_at_once(tmp_path: Path) -> None:
    options = {"metric": "macro-f1"}
    config = configure.build(str(tmp_path), ["svm", "mlp"], options=options)
    assert config.metric == "macro-f1"
    details = {"config": config.model_dump(mode="json", exclude_none=True)}
    RunInfo("comparison", "cells", "", "running", ("svm", "mlp"), details).write(tmp_path / "out")

    def resume(metric: str | None) -> Config:
        return configure.request("comparison", None, None, tmp_path / "out", None, (), {"metric": metric})

    assert resume(None).metric == resume("macro-f1").metric == "macro-f1"
    with pytest.raises(SettingsChanged, match="metric: 'macro-f1' -> 'log-loss'"):
        resume("log-loss")
    with pytest.raises(ConfigError, match="metric: input should be 'auto', 'accuracy', 'balanced-accuracy'"):
        configure.build(str(tmp_path), options={"metric": "f1"})
