"""A killed run that is resumed ends bit for bit where the unbroken one ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import topwork
from topwork.core import storage
from topwork.report.results import Run

COMMON = ["--img-size", "32", "--precision", "float32", "-b", "8", "--epochs", "3"]
SETTINGS = ["--set", "compute.threads=1"]


def _command(photos: Path, out: Path, strategy: str, workers: int, extra: list[str]) -> list[str]:
    command = [sys.executable, "-m", "topwork", "train", str(photos), "--strategy", strategy, "--out", str(out)]
    return [*command, *COMMON, *SETTINGS, "-j", str(workers), *extra]


def _fingerprint(run: Path) -> dict[str, str]:
    """Hashes of everything that must be equal; times are not in these files."""
    names = ("history.jsonl", "predictions.csv", "model/weights.safetensors")
    sums = {name: storage.sha256_file(run / name) for name in names if (run / name).exists()}
    last = max((run / "checkpoints").glob("last-*"))
    return sums | {"state": storage.sha256_file(last / "state.safetensors"), "last": last.name}


EXTRAS = {
    "plain": [],
    "sgd": ["--set", "finetune.optimizer=sgd"],
    "mixed": ["--set", "finetune.mixup=0.2", "--set", "finetune.cutmix=1.0", "--set", "finetune.randaugment=5"],
    "pieces": ["--set", "finetune.micro_batches=2", "--set", "finetune.ema_decay=0.0"],
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_killed_is_never_killed(photos: Path, tmp_path: Path, extra: str) -> None:
    unbroken = tmp_path / "unbroken"
    subprocess.run(_command(photos, unbroken, "finetune", 0, EXTRAS[extra]), check=True, capture_output=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen(_command(photos, killed, "finetune", 1, EXTRAS[extra]), stderr=subprocess.DEVNULL)
    _wait_for(lambda: list((killed / "checkpoints").glob("last-*")), process)
    process.kill()
    process.wait()
    assert not (killed / "metrics.json").exists()
    resumed = [sys.executable, "-m", "topwork", "train", "--resume", str(killed), "--quiet"]
    subprocess.run(resumed, check=True, capture_output=True)
    expected, got = _fingerprint(unbroken), _fingerprint(killed)
    assert got == expected
    assert Run(killed).metrics["test"] == Run(unbroken).metrics["test"]


def _wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    for _ in range(2400):
        if condition():
            return
        assert process.poll() is None, "the process ended before it was to be killed"
        time.sleep(0.05)
    raise AssertionError("waited for two minutes")


@pytest.mark.parametrize(("number", "status", "workers"), [(signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 0)])
def test_a_signal_to_all_processes_saves_in_the_middle_of_an_epoch(
    photos: Path, tmp_path: Path, number: int, status: int, workers: int
) -> None:
    unbroken, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    subprocess.run(_command(photos, unbroken, "scratch", 0, []), check=True, capture_output=True)
    command = _command(photos, stopped, "scratch", workers, [])
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        begun = "checkpoints" if workers else "config.toml"  # when there are checkpoints, the workers are at work
        _wait_for(lambda: (stopped / begun).exists(), process)
        os.killpg(process.pid, number)  # as a terminal, a scheduler or a service manager sends it
        _, errors = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status, errors
    command = re.search(r"topwork (train --resume \S+)", errors)
    assert command, errors
    subprocess.run([sys.executable, "-m", "topwork", *command[1].split()], check=True, capture_output=True)
    assert _fingerprint(stopped) == _fingerprint(unbroken)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(photos: Path, tmp_path: Path) -> None:
    flags = {"img_size": 32, "precision": "float32", "batch_size": 8, "epochs": 3, "workers": 0, "threads": 1}
    run = topwork.train(photos, "scratch", out=tmp_path / "run", quiet=True, **flags)
    expected = _fingerprint(run.path)
    newest = max((run.path / "checkpoints").glob("last-*"))
    data = bytearray((newest / "state.safetensors").read_bytes())
    data[len(data) // 2] ^= 4
    (newest / "state.safetensors").write_bytes(data)
    (run.path / "metrics.json").unlink()
    again = topwork.train(resume=run.path, quiet=True)
    assert _fingerprint(again.path) == expected
    assert "state.safetensors is damaged" in (run.path / "train.log").read_text()


@pytest.mark.parametrize("begun", ["mlp/model/model.json", "scratch/checkpoints/last-000000003"])
def test_a_killed_comparison_goes_on_with_the_same_command_plus_resume(
    photos: Path, tmp_path: Path, begun: str
) -> None:
    def command(out: Path) -> list[str]:
        words = ["compare", str(photos), "--out", str(out), "--strategy", "mlp", "--strategy", "svm"]
        words += ["--strategy", "scratch", "-j", "0", "--set", "mlp.epochs=3", *COMMON, *SETTINGS]
        return [sys.executable, "-m", "topwork", *words]

    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    subprocess.run(command(unbroken), check=True, capture_output=True)
    process = subprocess.Popen(command(killed), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _wait_for(lambda: (killed / begun).exists(), process)
    process.kill()
    process.wait()
    (killed / ".tmp-left-by-the-kill").touch()
    subprocess.run([*command(killed), "--resume"], check=True, capture_output=True)
    for name in ("mlp", "svm", "scratch"):
        for file in ("predictions.csv", "model/weights.safetensors"):
            assert (killed / name / file).read_bytes() == (unbroken / name / file).read_bytes(), (name, file)
    assert (killed / "report.html").is_file()
    assert not list(killed.rglob(".tmp-*"))


def test_a_folder_in_which_nothing_had_begun_can_be_used_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".lock", "train.log", ".tmp-0123"):
        (out / name).touch()
    assert (
        topwork.train(photos, "svm", out=out, img_size=32, precision="float32", workers=0, quiet=True).status == "done"
    )


HOLD = """
import sys, time
from pathlib import Path
from topwork.core.storage import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_share_a_folder_and_a_dead_one_leaves_no_lock(photos: Path, tmp_path: Path) -> None:
    flags = {"out": tmp_path / "run", "quiet": True, "img_size": 32, "precision": "float32", "workers": 0}
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    with pytest.raises(topwork.TopworkError, match="in use by another"):
        topwork.train(photos, "svm", **flags)
    holder.kill()
    holder.communicate()
    with storage.lock_folder(tmp_path / "run"), pytest.raises(topwork.TopworkError, match="in use by another"):
        topwork.train(photos, "svm", **flags)
    assert topwork.train(photos, "svm", **flags).status == "done"


def test_more_epochs_go_on_where_a_finished_run_ended(photos: Path, tmp_path: Path) -> None:
    flags = {"img_size": 32, "precision": "float32", "batch_size": 8, "workers": 0, "threads": 1}
    run = topwork.train(photos, "scratch", out=tmp_path / "run", quiet=True, epochs=2, **flags)
    first = [record.epoch for record in run.history]
    begun = storage.read_json(max((run.path / "checkpoints").glob("last-*")) / "state.json")["position"]["history"]
    again = topwork.train(resume=run.path, quiet=True, epochs=4)
    assert [record.epoch for record in again.history] == [*first, 3, 4]
    assert [record.train_loss for record in again.history[:2]] == [record["train_loss"] for record in begun]
    assert "resuming from step" in (run.path / "train.log").read_text()
    assert topwork.train(resume=run.path, quiet=True).metrics == again.metrics
    with pytest.raises(topwork.TopworkError, match=r"scratch\.epochs: 4 -> 3"):
        topwork.train(resume=run.path, quiet=True, epochs=3)
    with pytest.raises(topwork.TopworkError, match=r"scratch\.lr"):
        topwork.train(resume=run.path, quiet=True, epochs=9, lr=0.5)


def test_other_conditions_are_named(photos: Path, tmp_path: Path) -> None:
    flags = {"img_size": 32, "precision": "float32", "batch_size": 8, "workers": 0, "epochs": 1}
    run = topwork.train(photos, "scratch", out=tmp_path / "run", quiet=True, **flags)
    (run.path / "metrics.json").unlink()
    environment = storage.read_json(run.path / "environment.json")
    storage.write_json(run.path / "environment.json", environment | {"threads": 77, "torch": "2.0.0"})
    topwork.train(resume=run.path, quiet=True)
    said = (run.path / "train.log").read_text()
    assert "different environment" in said
    assert f"threads: 77 -> {environment['threads']}" in said
    assert "torch: 2.0.0 ->" in said
