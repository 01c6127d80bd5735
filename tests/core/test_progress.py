"""Progress as lines of text."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from topwork.core.progress import Progress, print_text


def test_the_first_units_do_not_lengthen_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines, progress = [100.0], list[str](), Progress()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "_print", lines.append)
    with progress.track("scratch", 52, "steps", done=2) as bar:
        for seconds in (200.0, 10.0, 10.0, 10.0):  # the first compiles
            clock[0] += seconds
            bar.advance()
    assert lines == ["  scratch: 4 of 52 steps, about 8 min 00 s left"]


def test_a_name_cannot_give_orders_to_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "a\x1b[31mred\x1b]0;title\x07\x9b2J \u202egpj.exe\u2066 \udcff\r\nb\tc Ψ 猫 كلب"
    progress = Progress()
    progress.log_file = tmp_path / "train.log"
    progress.log(name)
    print_text(name)
    plain = "a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J \\u202egpj.exe\\u2066 ?\\r\nb\tc Ψ 猫 كلب\n"
    captured = capsys.readouterr()
    assert captured.err == captured.out == plain
    assert "\x1b" not in (tmp_path / "train.log").read_text("utf-8", "surrogateescape")


def test_an_error_that_names_a_file_shows_no_control_characters(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "topwork", "check", str(tmp_path / "\x1b[2Jgone")], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert "\\x1b[2Jgone" in found.stderr
    assert "\x1b" not in found.stderr
