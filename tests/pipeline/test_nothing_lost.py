"""No command that is refused, killed or started twice takes away what an earlier one has finished."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.changes import MODEL, content
from tests.drawings import write_folder
from tests.pipeline.killed_replacement import hashes

import topwork
from topwork.core import folder_lock, run_folders
from topwork.core.artifacts import read_run_info

ROOT = Path(__file__).parents[2]
FAST: dict[str, Any] = {"img_size": 32, "precision": "float32", "workers": 0, "threads": 1, "quiet": True}


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``scratch`` for one epoch; tests copy it."""
    place = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(place / "cache"))
        return topwork.train(photos, "scratch", out=place / "run", model=MODEL, epochs=1, batch_size=8, **FAST).path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _one_class(place: Path) -> dict[str, Any]:
    return {"data": write_folder(place / "one", classes=1)}


def _no_tensors(place: Path) -> dict[str, Any]:
    (place / "w.safetensors").write_bytes(b"no tensors")
    return {"weights": str(place / "w.safetensors")}


REFUSED: dict[str, dict[str, Any] | Callable[[Path], dict[str, Any]]] = {
    "no such data": {"data": "photoss"},
    "one class": _one_class,
    "no such model": {"model": "resnet5O"},
    "no such weights": {"weights": "none.safetensors"},
    "damaged weights": _no_tensors,
    "no such device": {"device": "cuda:7"},
    "no such precision": {"precision": "float16"},
    "no such setting": {"sets": ["finetune.lrr=1"]},
    "no such stage": {"strategy": "finetune", "freeze_stages": 99},
    "no such crop": {"strategy": "finetune", "sets": ["finetune.train_size=64", "finetune.resize_from=96"]},
    "settings that exclude each other": {"strategy": "finetune", "freeze_stages": 1, "sets": ["finetune.mixup=0.2"]},
    "no such list": {"exclude": "none.txt"},
    "no such tracker": {"log_to": ["tensorbord"]},
    "no such group": {"group_by": "("},
}


@pytest.mark.parametrize(
    ("command", "fault"),
    [*(("train", fault) for fault in REFUSED), *(("compare", fault) for fault in ("no such data", "no such stage"))],
)
def test_a_command_that_is_refused_leaves_the_run_that_it_was_to_overwrite(
    photos: Path, run: Path, tmp_path: Path, command: str, fault: str
) -> None:
    given = REFUSED[fault]
    words = {"data": photos, **FAST, **(given(tmp_path) if callable(given) else given)}
    strategy = words.pop("strategy", "linear")
    if command == "compare":
        words["strategies"] = ["linear", strategy] if strategy != "linear" else ["linear"]
    else:
        words["strategy"] = strategy
    before = content(run)
    with pytest.raises(topwork.TopworkError):
        getattr(topwork, command)(out=run, overwrite=True, **words)
    assert content(run) == before


def test_overwriting_replaces_the_run_and_all_that_belongs_to_it(photos: Path, run: Path) -> None:
    (run / "mine.txt").write_text("old")
    new = topwork.train(photos, "linear", out=run, overwrite=True, **FAST)
    assert (new.strategy, new.status) == ("linear", "done")
    assert not {"mine.txt", "checkpoints", "history.jsonl"} & set(os.listdir(run))
    assert "scratch" not in (run / "train.log").read_text()
    assert "images found" in (run / "train.log").read_text()


def test_a_kill_while_a_run_is_replaced_leaves_the_old_one_or_the_new_one(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.pipeline.killed_replacement", str(run), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    deaths = [json.loads(line) for line in done.stdout.splitlines()]
    old = hashes(run)
    assert {is_old for is_old, _ in deaths} == {True, False}
    for is_old, files in deaths:
        assert files == old if is_old else set(files) == {"run.json"}


HOLD = """
import sys, time
from pathlib import Path
from topwork.core.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    Path(sys.argv[1], "train.log").touch()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("state", ["reading images", "finished"])
def test_a_second_process_changes_nothing_in_the_folder_of_the_first(
    photos: Path, finished: Path, tmp_path: Path, state: str
) -> None:
    out = tmp_path / "out"
    if state == "finished":
        shutil.copytree(finished, out)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        holder.stdout.readline()
        before = content(out)
        for words in {"out": out}, {"out": out, "overwrite": True}, {"resume": out}, {"resume": out, "epochs": 2}:
            strategy = "scratch" if "resume" in words else "linear"
            with pytest.raises(topwork.TopworkError):
                topwork.train(photos, strategy, **words, **FAST)
            with pytest.raises(topwork.TopworkError):
                topwork.compare(photos, strategies=["linear"], **words, **FAST)
            assert content(out) == before
    finally:
        holder.kill()
        holder.communicate()


def test_a_folder_that_was_filled_while_the_command_waited_is_kept(
    photos: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = content(run), folder_lock.lock_folder

    def late(folder: Path) -> Any:  # another process has made a run between the decision and the lock
        if not folder.exists():
            shutil.copytree(run, folder)
        return real(folder)

    monkeypatch.setattr(folder_lock, "lock_folder", late)
    with pytest.raises(topwork.TopworkError, match="is not empty"):
        topwork.train(photos, "linear", out=tmp_path / "late", **FAST)
    assert content(tmp_path / "late") == before


@pytest.mark.parametrize("command", ["train", "compare"])
def test_two_commands_at_once_take_two_folders(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    real, at_once = folder_lock.lock_folder, []

    def train() -> Any:
        return getattr(topwork, command)(
            photos, **{"compare": {"strategies": ["knn"]}}.get(command, {"strategy": "knn"}), **FAST
        )

    def late(folder: Path) -> Any:  # the second begins when the first has chosen its folder and has not locked it yet
        monkeypatch.setattr(folder_lock, "lock_folder", real)
        at_once.append(train())
        return real(folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder_lock, "lock_folder", late)
    at_once.append(train())
    assert sorted(at_once[n].path.name.removeprefix("photos-") for n in (0, 1))[1].endswith("-2")
    assert [read_run_info(one.path).status for one in at_once] == ["done", "done"]
    with pytest.raises(topwork.TopworkError):
        topwork.train(tmp_path / "none", "knn", **FAST)
    assert len(os.listdir("runs")) == 2


def test_a_folder_for_runs_that_is_a_file_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(topwork.TopworkError, match="runs"):
        topwork.train(photos, "knn", **FAST)


def test_processes_that_die_before_they_replace_a_run_do_not_offer_to_resume_it(
    photos: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = []

    def die(arguments: list[str], processes: int, max_restarts: int, resume_command: Callable[[], str]) -> None:
        offered.append(resume_command())
        run_folders.replace_run(run, replace(read_run_info(run), strategies=("linear",), status="running"))
        offered.append(resume_command())
        raise topwork.TopworkError("died")

    monkeypatch.setattr("topwork.compute.launch.launch", die)
    with pytest.raises(topwork.TopworkError, match="died"):
        topwork.train(photos, "linear", out=run, overwrite=True, devices=2, **FAST)
    assert offered == ["", f"topwork train --resume {run} --devices 2"]
