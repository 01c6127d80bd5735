"""Folders -> ReportData, whole and unfinished ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from topwork.core import storage
from topwork.core.artifacts import RunInfo
from topwork.core.errors import CorruptFile, DataError
from topwork.core.predictions import Predictions
from topwork.report.image_choice import most_confident_errors
from topwork.report.report_data import read_report_data

Comparison = Callable[..., Path]


def test_a_comparison_has_what_its_files_say(comparison: Comparison) -> None:
    folder = comparison()
    data = read_report_data(folder)
    assert [s.name for s in data.strategies] == ["scratch", "mlp", "svm", "finetune"]
    assert data.finished == data.strategies
    svm = data.strategies[2]
    written = storage.read_json(folder / "svm" / "metrics.json")
    assert svm.test
    assert svm.val
    assert svm.test.accuracy.value == written["test"]["accuracy"]["value"]
    assert svm.test.metrics["roc_auc"].low == written["test"]["roc_auc"]["low"]
    assert [list(row) for row in svm.test.confusion] == written["test"]["confusion"]
    assert not svm.history
    assert len(data.strategies[0].history) == 5
    assert data.data.total("test") == 60
    assert data.config.startswith("seed = 0")


def test_a_strategy_without_metrics_has_not_finished(comparison: Comparison) -> None:
    data = read_report_data(comparison(finished=("svm",)))
    assert [(s.name, s.test is None) for s in data.strategies] == [
        ("scratch", True),
        ("mlp", True),
        ("svm", False),
        ("finetune", True),
    ]
    assert [s.name for s in data.finished] == ["svm"]


def test_a_run_folder_by_itself(comparison: Comparison) -> None:
    data = read_report_data(comparison() / "finetune")
    assert data.kind == "run"
    assert [s.name for s in data.strategies] == ["finetune"]


def test_only_run_json_is_needed(tmp_path: Path) -> None:
    RunInfo("comparison", "x", "", "running", ("svm",)).write(tmp_path)
    data = read_report_data(tmp_path)
    assert data.data.name == "x"
    assert data.data.majority_share is None
    assert data.finished == ()


def test_metrics_with_no_keys_do_not_matter(comparison: Comparison) -> None:
    folder = comparison()
    for name in ("svm", "mlp"):
        storage.write_json(folder / name / "metrics.json", {})
    assert [s.name for s in read_report_data(folder).finished] == ["scratch", "finetune"]


def test_images_set_aside_are_read_from_the_manifest_if_run_json_does_not_have_them(comparison: Comparison) -> None:
    folder = comparison()
    info = json.loads((folder / "run.json").read_text("utf-8"))
    del info["details"]["data"]["excluded"]
    storage.write_json(folder / "run.json", info)
    rows = [["a/bad.png", "a", "excluded", "the file is empty", "", 0, 0, "", ""]]
    columns = ["id", "label", "status", "reason", "sha256", "width", "height", "split", "stratum"]
    storage.write_csv(folder / "manifest.csv", columns, rows)
    assert read_report_data(folder).data.excluded == (("a/bad.png", "the file is empty"),)


def test_a_folder_without_run_json_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json"):
        read_report_data(tmp_path)


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".."])
def test_a_strategy_name_does_not_reach_out_of_the_folder(tmp_path: Path, name: str) -> None:
    RunInfo("comparison", "x", "", "done", (name,)).write(tmp_path)
    with pytest.raises(CorruptFile, match="no strategy is called"):
        read_report_data(tmp_path)


def test_the_worst_errors_are_wrong_and_in_order_of_probability() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6], [0.8, 0.2]])
    labels = np.array([1, 0, 0, 0, 1])
    predictions = Predictions(
        ("a", "c", "right", "d", "b"), ("no", "yes"), labels, np.log(probabilities), "logit", probabilities
    )
    assert [(e.id, e.label, e.predicted, e.probability) for e in most_confident_errors(predictions, 3)] == [
        ("a", "yes", "no", 0.9),
        ("b", "yes", "no", 0.8),
        ("c", "no", "yes", 0.8),
    ]
