"""A killed run that is resumed ends bit for bit where the unbroken one ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Started
from tests.commands import topwork as command

import topwork
from topwork.core import folder_lock, storage
from topwork.report.results import Run

COMMON = ["--img-size", "32", "--precision", "float32", "-b", "8", "--epochs", "3", "--set", "compute.threads=1"]
COMMON += ["--set", "compute.engine=torch"]  # which starts at once


@pytest.fixture(scope="module")
def network(tiny_network: dict[str, Any]) -> list[str]:
    """The options that name the network of all trainings here."""
    return [word for name, value in tiny_network.items() for word in (f"--{name}", value)]


def _train(photos: Path, out: Path, strategy: str, workers: int, extra: Sequence[str]) -> list[str]:
    return ["train", str(photos), "--strategy", strategy, "--out", str(out), *COMMON, "-j", str(workers), *extra]


def _end(words: Sequence[object]) -> None:
    done = command(*words)
    assert done.returncode == 0, done.stderr


def _fingerprint(run: Path) -> dict[str, str]:
    """Hashes of everything that must be equal; times are not in these files."""
    names = ("history.jsonl", "predictions.csv", "model/weights.safetensors")
    sums = {name: storage.sha256_file(run / name) for name in names if (run / name).exists()}
    last = max((run / "checkpoints").glob("last-*"))
    return sums | {"state": storage.sha256_file(last / "state.safetensors"), "last": last.name}


EXTRAS = {
    "plain": [],
    "mixed": ["--set", "finetune.mixup=0.2", "--set", "finetune.cutmix=1.0", "--set", "finetune.randaugment=5"],
    "sgd": ["--set", "finetune.optimizer=sgd", "--set", "finetune.micro_batches=2", "--set", "finetune.ema_decay=0.0"],
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_killed_is_never_killed(photos: Path, tmp_path: Path, network: list[str], extra: str) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    options = [*network, *EXTRAS[extra]]
    _end(_train(photos, unbroken, "finetune", 0, options))
    process = Started(_train(photos, killed, "finetune", 1, options), tmp_path / "output")
    _wait_for(lambda: list((killed / "checkpoints").glob("last-*")), process)
    process.kill()
    assert not (killed / "metrics.json").exists()
    _end(["train", "--resume", killed, "--quiet"])
    assert _fingerprint(killed) == _fingerprint(unbroken)
    assert Run(killed).metrics["test"] == Run(unbroken).metrics["test"]


def _wait_for(condition: Callable[[], object], process: Started) -> None:
    for _ in range(6000):
        if condition():
            return
        assert process.is_alive(), f"the process ended before it was to be killed: {process.text}"
        time.sleep(0.02)
    raise AssertionError("waited for two minutes")


@pytest.fixture(scope="module")
def unbroken_scratch(photos: Path, network: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs; tests copy it."""
    out = tmp_path_factory.mktemp("scratch") / "unbroken"
    _end(_train(photos, out, "scratch", 0, network))
    return out


@pytest.fixture
def run(unbroken_scratch: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unbroken_scratch, tmp_path / "run"))


@pytest.mark.parametrize(("number", "status", "workers"), [(signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 0)])
def test_a_signal_to_all_processes_saves_in_the_middle_of_an_epoch(
    photos: Path, tmp_path: Path, network: list[str], unbroken_scratch: Path, number: int, status: int, workers: int
) -> None:
    stopped = tmp_path / "stopped"
    process = Started(_train(photos, stopped, "scratch", workers, network), tmp_path / "output")
    try:
        begun = "checkpoints" if workers else "config.toml"  # when there are checkpoints, the workers are at work
        _wait_for(lambda: (stopped / begun).exists(), process)
        os.killpg(process.pid, number)  # as a terminal, a scheduler or a service manager sends it
        ended = process.wait(120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert ended == status, process.text
    resume = re.search(r"topwork (train --resume \S+)", process.text)
    assert resume, process.text
    _end(resume[1].split())
    assert _fingerprint(stopped) == _fingerprint(unbroken_scratch)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run: Path) -> None:
    expected = _fingerprint(run)
    newest = max((run / "checkpoints").glob("last-*"))
    data = bytearray((newest / "state.safetensors").read_bytes())
    data[len(data) // 2] ^= 4
    (newest / "state.safetensors").write_bytes(data)
    (run / "metrics.json").unlink()
    again = topwork.train(resume=run, quiet=True)
    assert _fingerprint(again.path) == expected
    assert "state.safetensors is damaged" in (run / "train.log").read_text()


def _compare(photos: Path, out: Path, network: list[str]) -> list[str]:
    strategies = [word for name in ("mlp", "svm", "scratch") for word in ("--strategy", name)]
    options = ["-j", "0", "--set", "mlp.epochs=3", "--learning-curve", "none", *COMMON, *network]
    return ["compare", str(photos), "--out", str(out), *strategies, *options]


@pytest.fixture(scope="module")
def unbroken_comparison(photos: Path, network: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("comparison") / "unbroken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(out.parent / "cache"))
        _end(_compare(photos, out, network))
    return out


@pytest.mark.parametrize("begun", ["mlp/model/model.json", "scratch/checkpoints/last-000000003"])
def test_a_killed_comparison_needs_only_its_folder_to_resume(
    photos: Path, tmp_path: Path, network: list[str], unbroken_comparison: Path, begun: str
) -> None:
    killed = tmp_path / "killed"
    process = Started(_compare(photos, killed, network), tmp_path / "output")
    _wait_for(lambda: (killed / begun).exists(), process)
    process.kill()
    (killed / ".tmp-left-by-the-kill").touch()
    _end(["compare", "--resume", str(killed)])
    for name in ("mlp", "svm", "scratch"):
        for file in ("predictions.csv", "model/weights.safetensors"):
            assert (killed / name / file).read_bytes() == (unbroken_comparison / name / file).read_bytes(), (name, file)
    assert (killed / "report.html").is_file()
    assert not list(killed.rglob(".tmp-*"))


def test_a_folder_in_which_nothing_had_begun_can_be_used_again(
    photos: Path, tmp_path: Path, tiny_network: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".lock", "train.log", ".tmp-0123"):
        (out / name).touch()
    flags = {"img_size": 32, "precision": "float32", "workers": 0, "quiet": True, **tiny_network}
    assert topwork.train(photos, "svm", out=out, **flags).status == "done"


HOLD = """
import sys, time
from pathlib import Path
from topwork.core.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_share_a_folder_and_a_dead_one_leaves_no_lock(
    photos: Path, tmp_path: Path, tiny_network: dict[str, Any]
) -> None:
    flags = {"out": tmp_path / "run", "quiet": True, "img_size": 32, "precision": "float32", "workers": 0}
    flags |= tiny_network
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    with pytest.raises(topwork.TopworkError, match="in use by another"):
        topwork.train(photos, "svm", **flags)
    holder.kill()
    holder.communicate()
    with folder_lock.lock_folder(tmp_path / "run"), pytest.raises(topwork.TopworkError, match="in use by another"):
        topwork.train(photos, "svm", **flags)
    assert topwork.train(photos, "svm", **flags).status == "done"


def test_more_epochs_go_on_where_a_finished_run_ended(run: Path) -> None:
    begun = storage.read_json(max((run / "checkpoints").glob("last-*")) / "state.json")["position"]["history"]
    again = topwork.train(resume=run, quiet=True, epochs=5)
    assert [record.epoch for record in again.history] == [1, 2, 3, 4, 5]
    assert [record.train_loss for record in again.history[:3]] == [record["train_loss"] for record in begun]
    assert "resuming from step" in (run / "train.log").read_text()
    assert topwork.train(resume=run, quiet=True).metrics == again.metrics
    with pytest.raises(topwork.TopworkError, match=r"scratch\.epochs: 5 -> 4"):
        topwork.train(resume=run, quiet=True, epochs=4)
    with pytest.raises(topwork.TopworkError, match=r"scratch\.lr"):
        topwork.train(resume=run, quiet=True, epochs=9, lr=0.5)


def test_other_conditions_are_named(run: Path) -> None:
    (run / "metrics.json").unlink()
    environment = storage.read_json(run / "environment.json")
    storage.write_json(run / "environment.json", environment | {"threads": 77, "torch": "2.0.0"})
    topwork.train(resume=run, quiet=True)
    said = (run / "train.log").read_text()
    assert "different environment" in said
    assert f"threads: 77 -> {environment['threads']}" in said
    assert "torch: 2.0.0 ->" in said
