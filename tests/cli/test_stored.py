"""Runs are listed with their results and deleted as a whole; the cache is shown and cleared; shells complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.commands import error, topwork

from topwork import Comparison
from topwork.core import folder_lock, run_folders, storage
from topwork.core.folder_lock import lock_folder, share_folder


@pytest.fixture
def runs(comparison: Comparison, tmp_path: Path) -> Path:
    shutil.copytree(comparison.path, tmp_path / "runs" / "photos compare")
    return tmp_path / "runs"


def test_a_run_is_listed_with_its_result_and_its_size(runs: Path, comparison: Comparison) -> None:
    lines = topwork("runs", runs).stdout.splitlines()
    assert lines[0].split() == ["started", "status", "kind", "accuracy", "size", "folder"]
    assert len(lines) == 2
    assert " comparison " in lines[1]
    recommended = comparison.recommended_run()
    accuracy = recommended.metrics["test"]["accuracy"]["value"]
    assert f"{100 * accuracy:.1f}\N{NO-BREAK SPACE}% ({recommended.strategy})" in lines[1]
    assert lines[1].endswith(str(runs / "photos compare"))
    size = sum(path.stat().st_size for path in runs.rglob("*") if path.is_file())
    assert f"{size / 1e6:.0f}" in lines[1]
    (single,) = [line for line in topwork("runs", runs / "photos compare").stdout.splitlines() if "/svm" in line]
    assert "% (svm)" in single


def test_a_run_without_result_is_listed(runs: Path) -> None:
    for name in ("verdict.json", "svm/metrics.json"):
        (runs / "photos compare" / name).write_text('{"test": [], "recommendation": {"name": 3}}')
    assert " -  " in topwork("runs", runs).stdout
    assert " -  " in next(x for x in topwork("runs", runs / "photos compare").stdout.splitlines() if "/svm" in x)


def test_runs_of_another_version_are_named(runs: Path) -> None:
    old = runs / "old run"
    shutil.copytree(runs / "photos compare", old)
    value = storage.read_json(old / "run.json")
    storage.write_json(old / "run.json", value | {"format": value["format"] - 1})
    lines = topwork("runs", runs).stdout.splitlines()
    assert len(lines) == 3
    assert lines[2] == f"Of another version of topwork, or damaged: {old}"
    shutil.rmtree(runs / "photos compare")
    assert topwork("runs", runs).stdout.splitlines() == lines[2:]


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"metric": "\\u001b[2J", "recommendation": {"name": 3}, "results": [null]}']
)
def test_results_of_somebody_else_are_not_relied_on(runs: Path, text: str) -> None:
    (runs / "photos compare" / "verdict.json").write_text(text)
    done = topwork("runs", runs)
    assert done.returncode == 0
    assert " -  " in done.stdout
    assert "\x1b" not in done.stdout


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


def test_a_run_is_deleted_from_inside(runs: Path) -> None:
    done = topwork("runs", "--delete", ".", "--yes", cwd=runs / "photos compare")
    assert done.returncode == 0, done.stderr
    assert list(runs.iterdir()) == []


def test_what_a_kill_has_left_of_a_deleted_run_is_not_listed_and_goes_with_the_next(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    shutil.copytree(runs / "photos compare", runs / "second")
    (runs / ".deleted-by-me").mkdir()  # not ours
    with monkeypatch.context() as patch:
        patch.setattr(run_folders.shutil, "rmtree", killed)
        assert topwork("runs", "--delete", runs / "photos compare", "--yes").returncode == 130
    assert [path.name for path, _ in run_folders.list_runs(runs)] == ["second"]
    assert len(list(runs.iterdir())) == 3
    run_folders.delete_run(runs / "second")
    assert [path.name for path in runs.iterdir()] == [".deleted-by-me"]


def test_an_answer_decides(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for answer in (False, True):
        monkeypatch.setattr("typer.confirm", lambda question, answer=answer: answer)
        assert topwork("runs", "--delete", runs / "photos compare").returncode == (0 if answer else 1)
        assert (runs / "photos compare").exists() != answer


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
        line = error(topwork("runs", "--delete", run, "--yes"), 1)
    assert "in use" in line
    assert "--out" not in line
    assert sorted(run.rglob("*")) == before


def test_the_cache_is_shown_and_cleared(own_cache: Path) -> None:
    assert f"{own_cache}: 0\N{NO-BREAK SPACE}B" in topwork("cache").stdout
    for name in ("features/key/a.safetensors", "datasets/b/c.png", "images-1.json"):
        storage.write_bytes(own_cache / name, bytes(2000))
    mine = own_cache / "mine.txt"
    mine.write_text("kept")
    shown = topwork("cache").stdout
    assert "features: 2\N{NO-BREAK SPACE}kB of 1 network setting\n" in shown
    assert ": 6\N{NO-BREAK SPACE}kB" in shown
    assert topwork("cache", "--clear", "--yes").returncode == 0
    assert [path for path in own_cache.rglob("*") if path.is_file() and path.name != ".lock"] == [mine]


def test_a_cache_in_use_is_not_cleared(own_cache: Path) -> None:
    """By this process or another; two uses in one process are counted."""
    storage.write_bytes(own_cache / "features" / "key" / "a.safetensors", bytes(2000))
    code = (
        "import pathlib, sys; from topwork.core.folder_lock import share_folder\n"
        "with share_folder(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(own_cache)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        assert "in use" in error(topwork("cache", "--clear", "--yes"), 1)
        other.communicate("")
    with share_folder(own_cache):
        with share_folder(own_cache):
            pass
        assert "in use" in error(topwork("cache", "--clear", "--yes"), 1)
    assert topwork("cache").stdout.startswith(f"{own_cache}: 2")
    assert topwork("cache", "--clear", "--yes").returncode == 0
    assert not (own_cache / "features").exists()


def test_a_training_and_a_check_use_the_cache(
    photos: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    real = folder_lock.share_folder

    @contextlib.contextmanager
    def share(folder: Path) -> Iterator[None]:
        with real(folder):
            used.append(folder)
            yield

    monkeypatch.setattr(folder_lock, "share_folder", share)
    topwork("check", photos, "--quick", "--out", tmp_path / "check")
    topwork("train", tmp_path, "--strategy", "knn", "--out", tmp_path / "run")
    assert used == [own_cache, own_cache]


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
    code = (
        "import sys; sys.argv = ['topwork']; from topwork.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'timm', 'sklearn', 'scipy'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.split() == offered
    assert done.stderr == "set()\n"  # a shell waits for it
