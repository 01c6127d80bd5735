"""Runs are listed with their results and deleted as a whole; the cache is shown and cleared; shells complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import error, topwork

from topwork import Comparison
from topwork.core import run_folders, storage
from topwork.core.folder_lock import lock_folder


@pytest.fixture
def runs(comparison: Comparison, tmp_path: Path) -> Path:
    shutil.copytree(comparison.path, tmp_path / "runs" / "photos compare")
    return tmp_path / "runs"


def test_a_run_is_listed_with_its_result_and_its_size(runs: Path, comparison: Comparison) -> None:
    lines = topwork("runs", runs).stdout.splitlines()
    assert len(lines) == 3
    recommended = comparison.recommended_run()
    accuracy = recommended.metrics["test"]["accuracy"]["value"]
    assert f"{recommended.strategy}: accuracy {100 * accuracy:.1f}\N{NO-BREAK SPACE}%" in lines[2]
    assert lines[2].endswith(str(runs / "photos compare"))
    size = sum(path.stat().st_size for path in runs.rglob("*") if path.is_file())
    assert f"{size / 1e6:.0f}" in lines[2]
    (single,) = [line for line in topwork("runs", runs / "photos compare").stdout.splitlines() if "/svm" in line]
    assert "svm: accuracy" in single


def test_a_run_without_result_is_listed(runs: Path) -> None:
    for name in ("verdict.json", "svm/metrics.json"):
        (runs / "photos compare" / name).write_text('{"test": [], "recommendation": {"name": 3}}')
    assert " -  " in topwork("runs", runs).stdout
    assert " -  " in next(x for x in topwork("runs", runs / "photos compare").stdout.splitlines() if "/svm" in x)


def test_a_run_is_deleted_as_a_whole(runs: Path) -> None:
    (runs / "other").mkdir()
    run = runs / "photos compare"
    outside = runs / "keep.txt"
    outside.write_text("kept")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "link").symlink_to(outside)
    done = topwork("runs", "--delete", run, "--yes")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in runs.iterdir()) == ["keep.txt", "other"]
    assert outside.read_text() == "kept"


def test_what_a_kill_has_left_of_a_deleted_run_is_not_listed_and_goes_with_the_next(runs: Path) -> None:
    shutil.copytree(runs / "photos compare", runs / ".deleted-0")
    assert "deleted" not in topwork("runs", runs).stdout
    run_folders.delete_run(runs / "photos compare")
    assert list(runs.iterdir()) == []


def test_what_is_no_run_of_its_own_is_not_deleted(runs: Path) -> None:
    run = runs / "photos compare"
    before = sorted(run.rglob("*"))
    (runs / "photos").mkdir()
    (runs / "link").symlink_to(run)
    assert "part of the comparison" in error(topwork("runs", "--delete", run / "svm", "--yes"), 2)
    assert "is not a run" in error(topwork("runs", "--delete", runs / "photos", "--yes"), 1)
    assert "is a link" in error(topwork("runs", "--delete", runs / "link", "--yes"), 2)
    assert "--yes" in error(topwork("runs", "--delete", run), 2)  # there is no terminal to ask on
    with lock_folder(run):
        assert "in use" in error(topwork("runs", "--delete", run, "--yes"), 1)
    assert sorted(run.rglob("*")) == before


def test_the_cache_is_shown_and_cleared(own_cache: Path) -> None:
    assert f"{own_cache}: 0\N{NO-BREAK SPACE}B" in topwork("cache").stdout
    for name in ("features/key/a.safetensors", "datasets/b/c.png", "images-1.json"):
        storage.write_bytes(own_cache / name, bytes(2000))
    mine = own_cache / "mine.txt"
    mine.write_text("kept")
    shown = topwork("cache").stdout
    assert "features: 2\N{NO-BREAK SPACE}kB" in shown
    assert ": 6\N{NO-BREAK SPACE}kB" in shown
    assert topwork("cache", "--clear", "--yes").returncode == 0
    assert [path for path in own_cache.rglob("*") if path.is_file()] == [mine]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("topwork ca", ["cache"]),
        ("topwork compare --strategy s", ["scratch", "svm"]),
        ("topwork compare --epo", ["--epochs"]),
    ],
)
def test_a_shell_completes_commands_options_and_strategies(line: str, offered: list[str]) -> None:
    variables = {
        **os.environ, "COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_TOPWORK_COMPLETE": "complete_bash",
    }  # fmt: skip
    code = "import sys; sys.argv = ['topwork']; from topwork.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.split() == offered
    assert done.stderr == ""
