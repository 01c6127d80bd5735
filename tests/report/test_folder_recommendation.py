"""One recommendation in a folder: every reader takes it, from validation predictions, seeds and folds pooled."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from topwork.core import storage
from topwork.core.artifacts import RunInfo
from topwork.core.errors import DataError
from topwork.core.predictions import PREDICTIONS, Predictions, read_outcomes
from topwork.evaluation import target_metric
from topwork.evaluation.cut_short import CutShort
from topwork.evaluation.metrics import METRIC_NAMES
from topwork.inference.locate import locate_bundle
from topwork.pipeline.api import summary
from topwork.report.folder_recommendation import finished_runs, recommend_in_folder
from topwork.report.render import write_report
from topwork.report.results import Comparison, table

IMAGES = 200


def write_predictions(path: Path, incorrect: int, names: str) -> None:
    labels = np.arange(IMAGES) % 2
    scores = np.eye(2)[np.where(np.arange(IMAGES) < incorrect, 1 - labels, labels)]
    ids = tuple(f"{names}/{i}.png" for i in range(IMAGES))
    Predictions(ids, ("cat", "dog"), labels, scores, "logit", (scores + 1) / 3).write(path)


def write_run(folder: Path, strategy: str, val: int, test: int, costs: dict[str, float], names: str = "") -> None:
    """A finished run with so many mistakes."""
    RunInfo("run", strategy, "2026-03-01T10:00:00+00:00", "done", (strategy,)).write(folder)
    for split, incorrect in (("val", val), ("test", test)):
        write_predictions(folder / PREDICTIONS[split], incorrect, names + split)
    metric = {"value": 1 - test / IMAGES, "low": 0.0, "high": 1.0}
    costs = costs | {"trained_parameters": 1}
    storage.write_json(
        folder / "metrics.json", {"test": {"accuracy": metric, "macro_f1": metric}, "val": {}, "costs": costs}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """finetune is better on the test images, and svm costs less and is about as good on the validation images."""
    info = RunInfo("comparison", "cells", "2026-03-01T10:00:00+00:00", "done", ("finetune", "svm"), {"command": "x"})
    info.write(tmp_path)
    write_run(tmp_path / "finetune", "finetune", 20, 10, {"train_seconds": 400})
    write_run(tmp_path / "svm", "svm", 22, 60, {"train_seconds": 2, "feature_seconds": 30})
    return tmp_path


def test_every_reader_means_the_strategy_that_validation_chooses(folder: Path) -> None:
    comparison = Comparison(folder)
    assert comparison.recommended_run().strategy == "svm"
    location = locate_bundle(folder)
    assert location.bundle == folder / "svm" / "model"
    assert location.note == f"svm, chosen on the validation images of {folder.name} (accuracy there 89.0%)"
    printed = summary(comparison, False)
    assert "Use svm: it is right on 70 of 100 new images (63 to 76)." in printed
    assert "takes 12 times as long" in " ".join(printed.split())
    row = next(line for line in printed.splitlines() if line.startswith("finetune ") and "points" in line)
    assert row.split()[1:3] == ["+25.0", "points"]
    assert "\nsvm is right on 70 of 100 new images (63 to 76).\n" in summary(comparison["svm"], False)
    html = write_report(folder).read_text("utf-8")
    assert "Use svm: it is right on 70 of 100 new images (63 to 76)." in html
    assert "Chosen on the 200 validation images: svm, because" in html
    assert f"topwork predict {folder.name} new-images/" in html
    assert "svm<small>recommended</small>" in html
    assert "finetune<small>recommended</small>" not in html
    assert "where finetune is significantly better" in html
    assert storage.read_json(folder / "verdict.json")["recommendation"]["name"] == "svm"
    assert "svm was chosen on the 200 validation images, without the test images" in html
    assert "points between any two of them would be detected with a probability of 80 %" in html
    assert "Connor, R. J. (1987)" in html


@pytest.mark.parametrize("repeat", ["", "seed-1", "fold-2"])
@pytest.mark.parametrize("metric", ["balanced-accuracy", "macro-f1", "roc-auc", "log-loss"])
def test_another_metric_decides_and_is_named_everywhere(folder: Path, metric: str, repeat: str) -> None:
    repeats = {"": {}, "seed-1": {"n_seeds": 2}, "fold-2": {"folds": 2}}[repeat]
    details = {"config": {"metric": metric, **repeats}}
    RunInfo("comparison", "cells", "", "done", ("finetune", "svm"), details).write(folder)
    if repeat:
        names = "second" if repeats.get("folds") else ""
        for name in ("finetune", "svm"):
            write_run(folder / "repeats" / repeat / name, name, 20, 30, {"train_seconds": 1}, names)
    called = target_metric.NAMES[metric]
    assert f"({called} there " in locate_bundle(folder).note
    html, paper = write_report(folder).read_text("utf-8"), (folder / "paper.md").read_text("utf-8")
    verdict = storage.read_json(folder / "verdict.json")
    assert (verdict["metric"], verdict["recommendation"]["metric"]) == (metric, metric)
    for text in (html, paper):
        assert f"All choices were made by {called}." in text
        assert "a sign-flip test of what each image adds to the difference in " + called in text
    assert f"est {called} there (" in paper  # highest, or lowest
    assert html.count(f"Difference in {called} (") == 1
    known = metric == "macro-f1" or repeat == "fold-2"  # without folds these runs have no other
    first = METRIC_NAMES[target_metric.key(metric) if known else "accuracy"]
    assert re.findall(r'<th scope="col"[^>]*>([^<]*)', html.split('<table class="results">')[1])[1].strip() == first
    best = verdict["results"][0]
    assert best["low"] <= best["value"] <= best["high"]


def test_the_table_shows_the_metric_that_decides_first(folder: Path) -> None:
    def shown() -> list[list[str]]:
        return [re.split(r"\s{2,}", line) for line in table(list(Comparison(folder))).splitlines()]

    assert shown()[0][:4] == ["strategy", "accuracy", "95 % interval", "macro-F1"]
    assert shown()[2][:4] == ["finetune", "95.0%", "[0.0, 100.0]", "95.0%"]
    for metric, key, cells in (
        ("balanced-accuracy", "balanced_accuracy", ["finetune", "71.0%", "[68.0, 74.0]", "95.0%"]),
        ("macro-f1", "macro_f1", ["finetune", "71.0%", "[68.0, 74.0]", "95.0%"]),
        ("log-loss", "log_loss", ["finetune", "0.710", "[0.680, 0.740]", "95.0%"]),
        ("roc-auc", "roc_auc", ["finetune", "0.710", "[0.680, 0.740]", "95.0%"]),
    ):
        for name in ("finetune", "svm"):
            info = RunInfo("run", name, "", "done", (name,), {"config": {"metric": metric}})
            info.write(folder / name)
            values = storage.read_json(folder / name / "metrics.json")
            values["test"][key] = {"value": 0.71, "low": 0.68, "high": 0.74} if name == "finetune" else {"value": None}
            storage.write_json(folder / name / "metrics.json", values)
        rows = shown()
        assert rows[0][:4] == ["strategy", target_metric.NAMES[metric], "95 % interval", "accuracy"]
        assert rows[2][:4] == cells
        assert rows[3][:4] == ["svm", "-", "-", "70.0%"]  # not defined, as the AUC of a single class
        assert f"<th>{target_metric.NAMES[metric]}</th><th>95 % interval</th>" in Comparison(folder)._repr_html_()


def test_a_comparison_that_is_not_finished_says_so(folder: Path) -> None:
    (folder / "finetune" / "metrics.json").unlink()
    text = " ".join(summary(Comparison(folder), False).split())
    assert "So far: svm is right on 70 of 100 new images (63 to 76). finetune has not finished." in text


def test_no_test_file_chooses(folder: Path) -> None:
    chosen = recommend_in_folder(folder)
    for name in ("finetune", "svm"):
        write_predictions(folder / name / PREDICTIONS["test"], 200 if name == "svm" else 0, "test")
    assert recommend_in_folder(folder) == chosen
    write_predictions(folder / "svm" / PREDICTIONS["val"], 60, "val")
    assert Comparison(folder).recommended_run().strategy == "finetune"


def test_costs_have_features_and_search(folder: Path) -> None:
    chosen = recommend_in_folder(folder)
    assert chosen is not None
    assert chosen.seconds == {"finetune": 400, "svm": 32}
    write_run(folder / "svm", "svm", 22, 60, {"train_seconds": 2, "feature_seconds": 30, "tune_seconds": 3000})
    assert Comparison(folder).recommended_run().strategy == "finetune"


def test_the_table_has_the_parts_of_the_training_time(folder: Path) -> None:
    costs = {"train_seconds": 2, "feature_seconds": 30, "tune_seconds": 300, "forward_milliseconds_per_image": 1.25}
    write_run(folder / "svm", "svm", 22, 60, costs)
    assert "2 s + 30 s features + 5 min 00 s search" in table(list(Comparison(folder)))
    html = write_report(folder).read_text("utf-8")
    assert "<b>5\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}32\N{NO-BREAK SPACE}s</b>" in html
    assert "<td>1.2 ms</td>" in html
    assert "<td>\N{EN DASH}</td>" in html  # that of finetune is unknown
    assert storage.read_json(folder / "verdict.json")["results"][1]["seconds"] == 332


def test_the_report_says_that_a_training_was_cut_short(folder: Path) -> None:
    path = folder / "finetune" / "metrics.json"
    found = CutShort(2, 31, "minutes", True)
    storage.write_json(path, storage.read_json(path) | {"cut_short": found.to_json()})
    html = write_report(folder).read_text("utf-8")
    assert "finetune<small>cut short: 2 of 31 epochs</small><small>still improving</small>" in html
    assert "finetune was cut short after 2 of 31 epochs by --minutes and was still improving" in html
    assert "where finetune is significantly better" in html
    assert "finetune may do better with more epochs, and the choice may change" in html


def test_a_choice_among_some_and_of_what_has_finished(folder: Path) -> None:
    assert locate_bundle(folder, ["finetune"]).bundle == folder / "finetune" / "model"
    assert locate_bundle(folder, ["scratch"]).bundle == folder / "svm" / "model"
    (folder / "svm" / PREDICTIONS["val"]).unlink()
    assert list(finished_runs(folder)) == ["finetune"]
    (folder / "finetune" / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"No strategy in .* has finished. Resume with"):
        locate_bundle(folder)


@pytest.mark.parametrize(("repeat", "names", "images"), [("seed-1", "", 200), ("fold-2", "second", 400)])
def test_validation_images_of_seeds_and_folds_are_pooled(folder: Path, repeat: str, names: str, images: int) -> None:
    details = {"config": {"folds": 2} if names else {"n_seeds": 2}}
    RunInfo("comparison", "cells", "", "done", ("finetune", "svm"), details).write(folder)
    for name, incorrect in (("finetune", 20), ("svm", 60)):
        write_run(folder / "repeats" / repeat / name, name, incorrect, 10, {"train_seconds": 1}, names)
    chosen = recommend_in_folder(folder)
    assert chosen is not None
    assert (chosen.name, chosen.images) == ("finetune", images)
    assert chosen.values == {"finetune": 1 - 40 / 400, "svm": 1 - 82 / 400}


def test_the_table_of_folds_is_over_all_of_them(folder: Path) -> None:
    RunInfo("comparison", "cells", "", "done", ("finetune", "svm"), {"config": {"folds": 2}}).write(folder)
    for name, incorrect in (("finetune", 30), ("svm", 0)):
        write_run(folder / "repeats" / "fold-2" / name, name, 5, incorrect, {"train_seconds": 1}, "second")
    comparison = Comparison(folder)
    text = summary(comparison, False)
    assert [line.split()[:2] for line in text.splitlines()[2:4]] == [["finetune", "90.0%"], ["svm", "85.0%"]]
    assert "The table is over 2 folds; training times are those of the first." in text
    assert comparison.metrics["svm"]["test"]["images"] == 400
    html = write_report(folder).read_text("utf-8")
    assert "<small>over 2 folds" in html
    assert "<b>85.0\N{NO-BREAK SPACE}%</b>" in html
    assert "<b>70.0\N{NO-BREAK SPACE}%</b>" not in html  # of the first fold
    assert "this may be slightly too high" in html


def test_a_deterministic_strategy_has_one_run_for_all_seeds(folder: Path) -> None:
    write_run(folder / "repeats" / "seed-1" / "finetune", "finetune", 20, 12, {"train_seconds": 1})
    path = folder / "svm" / "metrics.json"
    assert {name: len(runs) for name, runs in finished_runs(folder).items()} == {"finetune": 1, "svm": 1}
    storage.write_json(path, storage.read_json(path) | {"deterministic": True})
    assert {name: len(runs) for name, runs in finished_runs(folder).items()} == {"finetune": 2, "svm": 1}
    chosen = recommend_in_folder(folder)
    assert chosen is not None
    assert chosen.values == {"finetune": 0.9, "svm": 0.89}
    html = write_report(folder).read_text("utf-8")
    assert "deterministic: the same with every seed" in html
    assert "0.0 points" not in html


def test_a_run_of_an_older_format_is_refused_in_one_sentence(folder: Path) -> None:
    value = storage.read_json(folder / "run.json")
    storage.write_json(folder / "run.json", value | {"format": 2})
    with pytest.raises(DataError, match=r"was written by an older topwork \(format 2, not 5\). Train again.$"):
        locate_bundle(folder)


def test_outcomes_are_those_of_the_predictions(folder: Path) -> None:
    outcomes = read_outcomes(folder / "svm" / PREDICTIONS["val"])
    assert outcomes.ids[1] == "val/1.png"
    assert outcomes.labels[:2] == ("cat", "dog")
    assert outcomes.correct.tolist() == [False] * 22 + [True] * 178
