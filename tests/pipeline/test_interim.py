"""A comparison says what it will do, and what is known so far."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tests.report.conftest import write_comparison

import topwork
from topwork.core.config import Config, validate
from topwork.core.progress import Progress
from topwork.pipeline import interim, report_images
from topwork.pipeline.interim import InterimReports, describe_plan
from topwork.strategies import work_order


def plan(device: str = "cpu", parallel: int = 1, **options: object) -> str:
    config = validate(Config, {"data": {"path": "x"}, **options})
    return "\n".join(describe_plan(config, device, Path("runs/x"), parallel))


def test_the_plan_names_what_comes_when() -> None:
    strategies = ["scratch", "mlp", "svm", "finetune"]
    text = plan(strategies=strategies)
    assert text.startswith("Plan      svm and mlp: classifiers on features of the pretrained network")
    assert "then finetune (about 5 to 15 min on this CPU) and scratch (about 2 min on this CPU): training" in text
    assert "to continue: topwork compare --resume runs/x" in text
    assert "runs/x/report.html can be read as soon as a strategy has finished" in text
    assert "on this CPU" not in plan("cuda", strategies=strategies)
    assert "5 to 15" not in plan(strategies=strategies, settings={"finetune": {"epochs": 3}})
    assert "scratch (about 2 min on this CPU)" in plan(strategies=strategies, settings={"finetune": {"minutes": 3}})
    assert "all of it 5 times, once for each fold" in plan(strategies=["svm"], folds=5)
    assert "then again with 2 more seeds" in plan(strategies=["finetune"], n_seeds=3)
    assert "3 trainings at a time" in plan(strategies=strategies, parallel=3)
    assert "network:" not in plan(strategies=["knn"]).partition("pretrained network")[2]


def test_the_order_of_work_does_not_depend_on_the_order_of_names() -> None:
    assert work_order(["finetune", "knn", "scratch", "mlp", "svm"]) == ["knn", "svm", "mlp", "finetune", "scratch"]


def test_a_comparison_follows_its_plan(comparison: topwork.Comparison) -> None:
    lines = (comparison.path / "train.log").read_text().splitlines()
    begun = [line.split()[-1] for line in lines if "/6] " in line]
    assert begun == ["linear", "knn", "svm", "mlp", "finetune", "scratch"]
    positions = [i for i, line in enumerate(lines) if "So far:" in line]
    assert len(positions) >= 2  # when the heads have finished, and after finetune
    assert "  Plan      linear, knn, svm and mlp: " in "\n".join(lines)
    assert list(comparison.runs) == ["scratch", "mlp", "linear", "knn", "svm", "finetune"]  # the table keeps its order


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1000.0, ["svm", "mlp", "finetune"]), (0.0, ["mlp", "finetune"])], ids=["slow", "quick"]
)
def test_the_report_is_written_when_it_tells_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[str]
) -> None:
    written, clock = [], iter(range(100))
    monkeypatch.setattr(interim.time, "monotonic", lambda: seconds * next(clock))
    reports = InterimReports(SimpleNamespace(), ["svm", "mlp", "finetune", "scratch"])  # type: ignore[arg-type]
    for name in ("svm", "mlp", "finetune", "scratch", "svm"):  # the last is of another seed
        monkeypatch.setattr(reports, "_write", lambda name=name: written.append(name))
        reports.finished(name)
    assert written == expected


def test_the_answer_so_far_is_printed_and_the_report_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_comparison(tmp_path / "fake", finished=("svm", "mlp"), status="running")
    monkeypatch.setattr(report_images, "load_small", lambda manifest, image: Image.new("RGB", (40, 30), "teal"))
    context = SimpleNamespace(folder=folder, manifest=None, progress=Progress())
    reports = InterimReports(context, ["svm", "mlp", "finetune", "scratch"])  # type: ignore[arg-type]
    reports.finished("svm")
    reports.finished("mlp")
    printed = capsys.readouterr().err
    assert "So far:   Use svm: it is right on" in printed
    assert f"finetune and scratch are still to be trained. Report so far: {folder}/report.html" in printed
    html = (folder / "report.html").read_text("utf-8")
    assert "So far: Use svm: it is right on" in html
    assert "finetune and scratch have not finished yet. This page is written again after each: reload it then." in html
    assert "topwork compare --resume fake" in html


def test_the_demo_needs_no_package_of_development(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["make", "-n", "demo", f"VENV={tmp_path}/none"], cwd=root, capture_output=True, text=True, check=True
    )
    (install,) = (line for line in done.stdout.splitlines() if " pip install " in line)
    assert "'.[demo,openvino]'" in install
