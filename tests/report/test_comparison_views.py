"""What the report says beyond single figures, and the CSV files that hold its numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from topwork.core import storage
from topwork.core.artifacts import RunInfo, read_run_info
from topwork.core.predictions import Predictions, read_predictions
from topwork.evaluation.calibration import BINS
from topwork.evaluation.learning_curve import subset_sizes
from topwork.report.comparison_views import describe_class_differences, most_different
from topwork.report.methods_text import methods, references
from topwork.report.render import write_report
from topwork.report.report_data import read_report_data
from topwork.report.shown_images import write_folder_thumbnails
from topwork.report.strategy_differences import class_differences, disagreements

Comparison = Callable[..., Path]


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_link_leads_to_a_file_with_rows_and_every_file_is_linked(comparison: Comparison) -> None:
    folder = comparison()
    html = write_report(folder).read_text("utf-8")
    files = {path.name for path in (folder / "tables").glob("*.csv")}
    assert files >= {"results.csv", "pairs.csv", "costs.csv", "reliability.csv", "coverage.csv", "epochs.csv"}
    for name in files:
        assert f'href="tables/{name}"' in html
        assert table(folder, name.removesuffix(".csv"))
    assert html.count('class="csv"') == len(files) + 1  # and verdict.json


def test_the_verdict_is_a_file_that_says_what_the_page_says(comparison: Comparison) -> None:
    folder = comparison()
    html = write_report(folder).read_text("utf-8")
    verdict = json.loads((folder / "verdict.json").read_text("utf-8"))
    assert len(verdict["pairs"]) == 6
    assert verdict["sentences"][0].replace("'", "&#39;") in html
    assert [row["p_holm"] for row in table(folder, "pairs")] == [str(p["p_holm"]) for p in verdict["pairs"]]
    assert html.count("no significant difference</small>") == 2 * sum(not p["significant"] for p in verdict["pairs"])


def test_reliability_is_that_of_scikit_learn(comparison: Comparison) -> None:
    folder = comparison(images=300)
    write_report(folder)
    found = read_predictions(folder / "mlp" / "predictions.csv")
    correct = found.predicted == found.labels
    share, mean = calibration_curve(correct, found.probabilities.max(axis=1), n_bins=BINS)
    rows = [row for row in table(folder, "reliability") if row["strategy"] == "mlp"]
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(share)
    assert [float(row["confidence"]) for row in rows] == pytest.approx(mean)


def predictions(*predicted: int, sure: float = 0.9) -> Predictions:
    labels = np.array([0] * 10 + [1] * 10)
    probabilities = np.full((20, 2), 1 - sure)
    probabilities[np.arange(20), predicted] = sure
    return Predictions(tuple(f"{i:02d}" for i in range(20)), ("a", "b"), labels, probabilities, "logit", probabilities)


def test_classes_gained_and_lost_are_counted_and_tested() -> None:
    better = predictions(*[0] * 10, *[1] * 7, *[0] * 3)
    worse = predictions(*[1] * 9, 0, *[1] * 10)
    found = class_differences({"x": better, "y": worse}, "x", "y")
    assert [(c.name, c.net, c.only_first_correct, c.only_second_correct) for c in found.classes] == [
        ("a", 9, 9, 0),
        ("b", -3, 0, 3),
    ]
    assert found.classes[0].p_holm == pytest.approx(2 * binomtest(0, 9).pvalue)
    assert [c.significant for c in found.classes] == [True, False]
    assert describe_class_differences(found) == (
        "Compared with y, x is correct on more images of a (+9 of 10) and fewer images of b (\N{MINUS SIGN}3 of 10). "
        "Significant: a."
    )


def test_the_classes_that_differ_most_stand_first() -> None:
    best, other = predictions(*[0] * 10, *[1] * 10), predictions(*[0] * 9, 1, *[0] * 3, *[1] * 7)
    against = class_differences({"x": best, "y": other}, "x", "y"), class_differences({"x": best, "z": best}, "x", "z")
    rows = most_different(against)
    assert [(row[0].name, [c.net for c in row]) for row in rows] == [("b", [3, 0]), ("a", [1, 0])]
    assert most_different(against[1:]) == []


def test_images_on_which_strategies_disagree_are_those_that_not_all_get_right() -> None:
    found = disagreements({"x": predictions(*[0] * 10, *[1] * 8, 0, 0), "y": predictions(*[0] * 10, *[1] * 9, 0)})
    assert [(d.id, d.label) for d in found] == [("18", "b")]
    assert [(a.strategy, a.correct) for a in found[0].predictions] == [("x", False), ("y", True)]
    assert disagreements({"x": predictions(*[0] * 20)}) == []


def test_disagreements_have_pictures(comparison: Comparison) -> None:
    folder = comparison()
    for path in (*(folder / name for name in ("scratch", "mlp", "svm", "finetune")), folder):
        write_folder_thumbnails(path, lambda _: Image.new("RGB", (300, 200), "teal"))
    data = read_report_data(folder)
    wanted = [d.id for d in disagreements(data.predictions)]
    assert wanted
    assert all(data.images.thumbnails[image].startswith("data:image/jpeg") for image in wanted)


def test_the_curve_over_labels_is_drawn_from_its_files(comparison: Comparison) -> None:
    folder = comparison()
    wrong = {str(n): list(range(30 - 2 * i)) for i, n in enumerate(subset_sizes(180, 2))}
    storage.write_json(folder / "learning_curves" / "svm-0.json", {"strategy": "svm", "draw": 0, "wrong": wrong})
    html = write_report(folder).read_text("utf-8")
    assert '<section id="labels">' in html
    rows = table(folder, "learning-curves")
    measured = [float(row["error"]) for row in rows if row["kind"] == "measured"]
    assert measured == pytest.approx([len(found) / 60 for found in wrong.values()])
    assert max(float(row["images"]) for row in rows) == pytest.approx(360)


def test_the_methods_say_how_it_was_done(comparison: Comparison) -> None:
    folder = comparison()
    info = read_run_info(folder)
    requested = {"config": {"seed": 3, "n_seeds": 4, "trials": 7}}
    RunInfo(info.kind, info.name, info.created, info.status, info.strategies, info.details | requested).write(folder)
    data = read_report_data(folder)
    text = " ".join(methods(data))
    for words in (
        "elpv", "CC BY-NC-SA 4.0", storage.sha256_file(folder / "split.csv"), "trained with 4 seeds, starting with 3",
        "7 settings of each strategy were tried", "McNemar 1947", "6 pairs (Holm 1979)", "topwork 0.1.0", "numpy 2.4.6",
    ):  # fmt: skip
        assert words in text, words
    assert any(entry.startswith("McNemar, Q. (1947)") for entry in references(data))
    assert not any("Hestness" in entry for entry in references(data))
