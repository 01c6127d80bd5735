"""``topwork train --devices 2`` with real processes: one dies, all are told to stop, one process goes on."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Started

import topwork
from topwork.core.artifacts import read_run_info
from topwork.core.errors import UsageError

QUICK = ("compute.engine=torch",)  # which starts at once
SECONDS = 300  # until a wait is given up
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


def _workers(launcher: int) -> dict[str, int]:
    """Rank to process id of the trainings that a launcher has started."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            names = dict(item.partition("=")[::2] for item in (place / "environ").read_text().split("\0"))
        except (OSError, ValueError):
            continue
        if parent == launcher and "RANK" in names:
            found[names["RANK"]] = int(place.name)
    return found


def _wait_for(condition: Callable[[], object], process: Started) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.is_alive(), f"the process ended too early: {process.text}"
        assert time.monotonic() < end
        time.sleep(0.05)


@needs_proc
def test_a_process_that_dies_is_started_again_and_one_alone_can_go_on(photos: Path, tmp_path: Path) -> None:
    """With sharded weights; ``make torture`` does the same without."""
    out = tmp_path / "run"
    words = ["train", str(photos), "--strategy", "scratch", "--out", str(out), "--devices", "2", "--max-restarts", "1"]
    words += ["--img-size", "32", "--precision", "float32", "-b", "7", "--epochs", "20", "-j", "0"]
    words += ["--model", "test_efficientnet", "--set", "compute.fsdp=true"]
    process = Started(words, tmp_path / "output")
    workers: dict[str, int] = {}
    try:
        _wait_for(lambda: len(list((out / "checkpoints").glob("last-*"))) == 2, process)
        workers = _workers(process.pid)
        assert set(workers) == {"0", "1"}
        os.kill(workers["1"], signal.SIGKILL)
        reached = max((out / "checkpoints").glob("last-*")).name
        _wait_for(lambda: set(_workers(process.pid).values()).isdisjoint(workers.values()), process)
        workers |= _workers(process.pid)
        _wait_for(lambda: max((out / "checkpoints").glob("last-*")).name > reached, process)
        os.kill(process.pid, signal.SIGTERM)
        ended, said = process.wait(SECONDS), process.text
    finally:
        process.kill()
        for worker in _workers(process.pid).values() or workers.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    assert ended == 143, said
    assert "7 images per step, 3 or 4 on each of 2 devices" in said
    assert "with sharded weights" in said
    assert list((out / "checkpoints").glob("last-*/shard-*"))
    assert re.search(r"Everything is saved; resume with: topwork train --resume \S+ --devices 2", said)
    assert "resuming from step" in said
    assert "Traceback" not in said
    epochs = re.findall(r"epoch (\d+)/20", said)
    assert len(epochs) == len(set(epochs)), "an epoch that was reported was trained again"
    assert read_run_info(out).details["command"].startswith("topwork train")
    run = topwork.train(resume=out, quiet=True, epochs=21)
    assert [record.epoch for record in run.history] == list(range(1, 22))
    assert "processes: 2 -> 1" in (out / "train.log").read_text()
    assert not list(max((out / "checkpoints").glob("last-*")).glob("shard-*"))


def test_a_network_that_is_cut_is_not_compiled(photos: Path, tmp_path: Path) -> None:
    words = ["train", str(photos), "--strategy", "scratch", "--out", str(tmp_path / "run"), "--devices", "2"]
    words += ["--img-size", "32", "--epochs", "1", "--set", "compute.fsdp=true", "--set", "scratch.compile=true"]
    words += ["--model", "test_efficientnet", "-j", "0"]
    process = Started(words, tmp_path / "output")
    try:
        ended = process.wait(SECONDS)
    finally:
        process.kill()
    assert ended not in {None, 0, 130, 143}
    assert "trains in float32 or bfloat16 and is not compiled" in process.text
    assert "Traceback" not in process.text


def test_trainings_at_once_leave_the_files_of_one_after_another(
    photos: Path, tmp_path: Path, tiny_network: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the excluded images, with their reasons, are more than a command line can hold."""
    photos = Path(shutil.copytree(photos, tmp_path / "photos"))
    for number in range(500):
        (photos / "class0" / f"{number:0250d}.png").touch()
    flags = tiny_network | {
        "strategies": ["svm", "scratch"],
        "sets": ["scratch.epochs=1", "svm.Cs=[0.01, 0.1]", *QUICK],
        "img_size": 32,
    }
    flags |= {
        "precision": "float32",
        "workers": 0,
        "threads": 1,
        "quiet": True,
        "batch_size": 8,
        "learning_curve": ["none"],
    }
    one = topwork.compare(photos, out=tmp_path / "one", **flags)
    monkeypatch.setenv("TOPWORK_CACHE", str(tmp_path / "another"))
    two = topwork.compare(photos, out=tmp_path / "two", parallel=2, **flags)
    assert list(one.runs) == list(two.runs) == ["svm", "scratch"]
    assert (two.path / "run.json").stat().st_size > 128 * 1024
    assert read_run_info(two.path).details["parallel"] == 2
    for name in one.runs:
        for file in ("predictions.csv", "config.toml", "model/weights.safetensors", "split.csv", "environment.json"):
            assert (one[name].path / file).read_bytes() == (two[name].path / file).read_bytes(), (name, file)
        assert one[name].history == two[name].history
        timeless = [
            {key: value for key, value in run.metrics.items() if key != "costs"} for run in (one[name], two[name])
        ]
        assert timeless[0] == timeless[1]
    assert two["svm"].metrics["costs"]["feature_seconds"] > 0, "who computed the features is told"
    assert (two.path / "config.toml").read_bytes() == (one.path / "config.toml").read_bytes()


def test_what_several_processes_cannot_do_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="--out"):
        topwork.train(photos, quiet=True)
    with pytest.raises(UsageError, match="--devices"):
        topwork.train(photos, out=tmp_path / "run", devices=2, quiet=True)
    with pytest.raises(UsageError, match="--trials"):
        topwork.train(photos, out=tmp_path / "run", trials=2, quiet=True)
    with pytest.raises(UsageError, match="torchrun"):
        topwork.compare(photos, out=tmp_path / "run", quiet=True)
