"""The command line as tests call it: in this process, or in a process of its own that can be killed."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from topwork import cli
from topwork.data import decoder_pool
from topwork.pipeline import outputs
from topwork.report import charts

SVG, TIMED, IMAGES_PER_PROCESS = charts._svg, outputs.forward_milliseconds_per_image, decoder_pool.IMAGES_PER_PROCESS


def make_trainings_quick(patch: pytest.MonkeyPatch) -> None:
    """Leave out most of the time of a small training.

    Charts are not drawn, networks are not timed, and one process decodes the images.
    """
    patch.setattr(outputs, "forward_milliseconds_per_image", lambda *_: 1.0)
    patch.setattr(decoder_pool, "IMAGES_PER_PROCESS", 1000)
    patch.setattr(charts, "_svg", lambda *_: "<svg></svg>")


def topwork(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves the seconds of its imports."""
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        patch.setattr(sys, "argv", ["topwork", *map(str, words)])
        patch.chdir(cwd or Path.cwd())
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(words, ended.value.code, out.getvalue(), err.getvalue())


def error(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line of the error, after checking status and form."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


class Started:
    """A command in a session of its own, forked from a process that has imported all, which saves seconds per start.

    Its trainings are quick where those of this process are.

    Args:
        words: After ``topwork``.
        output: Gets what it prints.
        environment: Variables other than those of this process.
    """

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([
        "topwork.cli", "topwork.pipeline.strategy_run", "topwork.strategies.finetune", "topwork.strategies.svm",
        "topwork.report.render", "timm", "torchvision.transforms.v2",
    ])  # fmt: skip

    def __init__(self, words: list[str], output: Path, environment: dict[str, str] | None = None) -> None:
        variables = {**os.environ, **(environment or {})}
        self.output = output
        self.process = self.context.Process(target=_run, args=(words, output, variables, charts._svg is not SVG))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text() if self.output.exists() else ""

    def is_alive(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> None:
        """kill -9, and wait."""
        self.process.kill()
        self.process.join()

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit status; None if it is still running."""
        self.process.join(seconds)
        return self.process.exitcode


def redirect_output(path: Path) -> None:
    """What this process prints goes to a file from now on."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)


def _run(words: list[str], output: Path, variables: dict[str, str], quick: bool) -> None:
    os.setsid()
    if quick:
        make_trainings_quick(pytest.MonkeyPatch())
    redirect_output(output)
    multiprocessing.set_start_method("fork", force=True)  # else its own workers hang on a server that outlives a kill
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["topwork", *words]
    cli.main()
