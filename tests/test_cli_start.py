"""The command line answers at once: help and usage errors load nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Packages that only a command's own work may load.
HEAVY = {"torch", "torchvision", "timm", "sklearn", "scipy", "matplotlib", "jinja2", "huggingface_hub"}
SECONDS = 0.4


def start(
    *arguments: str, cwd: Path, python: tuple[str, ...] = (), columns: int = 100
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "topwork", *arguments]
    plain = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": str(columns), "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=cwd, env=plain, capture_output=True, text=True, encoding="utf-8", timeout=60)


def loaded(stderr: str) -> set[str]:
    """The top-level packages in the output of ``python -X importtime``: ``import time: self | cumulative | name``."""
    lines = [line for line in stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["compare", "--help"], 0),
        (["train", "--help"], 0),
        (["--no-such-option"], 2),
        (["no-such-command"], 2),
        (["compare", "--no-such-option"], 2),
        (["compare"], 2),
        (["train", ".", "--epochs", "many"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_answers_without_loading_anything_heavy(arguments: list[str], status: int, tmp_path: Path) -> None:
    done = start(*arguments, cwd=tmp_path, python=("-X", "importtime"))
    packages = loaded(done.stderr)
    assert done.returncode == status, done.stderr[-2000:]
    assert "topwork" in packages  # the list of imports was read
    assert packages & HEAVY == set()
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_list_of_imports_would_show_a_heavy_one() -> None:
    code = [sys.executable, "-X", "importtime", "-c", "import PIL.Image"]
    assert "PIL" in loaded(subprocess.run(code, capture_output=True, text=True, timeout=60).stderr)


@pytest.mark.skipif(os.name == "nt", reason="a child's CPU time is not told on Windows")
def test_help_takes_less_than_promised(tmp_path: Path) -> None:
    """The best of five, in CPU seconds: what else the machine does must not count."""
    import resource

    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert start("--help", cwd=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(cpu_seconds() for _ in range(5)) < SECONDS


def test_an_empty_command_line_says_what_to_do_first(tmp_path: Path) -> None:
    lines = start(cwd=tmp_path, columns=80).stdout.splitlines()
    steps = [line.split()[1] for line in lines if line.startswith("  topwork ")]
    assert steps == ["demo", "check", "compare"]
    commands = {line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line.startswith("  ")}
    assert {*steps, "train", "show", "doctor"} <= commands
    assert "topwork --help" in lines[-1]
    assert max(map(len, lines)) <= 110
    assert not [line for line in lines if line.endswith("...")]  # each description has room


def test_unknown_option_is_named(tmp_path: Path) -> None:
    done = start("compare", "--no-such-option", cwd=tmp_path)
    assert "--no-such-option" in done.stderr
    assert done.stdout == ""
