"""Every example runs as a script, as its first line says."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import submitit

HERE = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path for path in HERE.glob("*.py") if path.stem != "solar_cells")  # which tests/test_tutorial.py runs


@pytest.mark.filterwarnings("ignore:.*FileIO.*submitit:pytest.PytestUnraisableExceptionWarning")  # logs it leaves open
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    script: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(submitit, "AutoExecutor", partial(submitit.AutoExecutor, cluster="debug"))  # in this process
    monkeypatch.setattr(sys, "argv", [str(script), str(photos), str(tmp_path / "out")])
    runpy.run_path(str(script), run_name="__main__")
    assert "Report: " in capsys.readouterr().out


STUBS = {
    # What srun starts: writes its words, then waits for a signal and takes a moment to save.
    "srun": 'trap "sleep 0.3; echo saved >> $NOTES; exit 143" TERM\necho "$@" >> "$NOTES"\n'
    '[ -n "${FAILS:-}" ] && exit 1\nfor _ in $(seq 600); do sleep 0.05; done\n',
    "scontrol": 'case $1 in show) echo node1; echo node2 ;; *) echo "scontrol $@" >> "$NOTES" ;; esac\n',
}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("number", "begun", "last", "status"),
    [
        (signal.SIGUSR1, False, "scontrol requeue 77", 143),
        (signal.SIGTERM, True, "saved", 143),
        (None, False, "", 1),
    ],
    ids=["time is over", "preempted", "failed"],
)
def test_the_batch_script_saves_and_goes_on(
    tmp_path: Path, number: int | None, begun: bool, last: str, status: int
) -> None:
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    out, notes = tmp_path / "out", tmp_path / "notes"
    out.mkdir()
    if begun:
        (out / "run.json").touch()
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(notes), "SLURM_JOB_ID": "77",
             "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4"}  # fmt: skip
    command = ["bash", str(HERE / "slurm_train.sh"), "photos", str(out), "--strategy", "finetune"]
    environment = os.environ | given | ({} if number else {"FAILS": "yes"})
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        for _ in range(400):
            if notes.is_file() and notes.read_text().endswith("\n"):
                break
            time.sleep(0.05)
        if number:
            process.send_signal(number)
        assert process.wait(timeout=60) == status
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    words, *rest = notes.read_text().splitlines()
    assert words.startswith("torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint node1:20077 ")
    assert words.endswith(f"--resume {out}" if begun else f"train photos --out {out} --strategy finetune")
    assert rest == (["saved"] if number else []) + ([last] if "scontrol" in last else [])
