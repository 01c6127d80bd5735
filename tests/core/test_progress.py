"""Progress as lines of text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from topwork import Comparison
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


def test_what_an_encoding_lacks_stops_no_command(comparison: Comparison, photos: Path, tmp_path: Path) -> None:
    """As on Windows, where redirected output has the code page of the country; predictions are UTF-8 everywhere."""
    run = Path(shutil.copytree(comparison.path, tmp_path / "r\u00fcn \u2265 \u732b"))
    image = Path(shutil.copy(next(photos.rglob("*.png")), tmp_path / "\u732b.png"))
    plain = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}

    def output(*words: object) -> str:
        command = [sys.executable, "-m", "topwork", *map(str, words)]
        done = subprocess.run(command, env=plain, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"Error" not in done.stderr
        return done.stdout.decode("utf-8" if words[0] == "predict" else "cp1252")

    name = "r\u00fcn >= ?"
    assert name in output("report", run)
    assert name in output("runs", tmp_path)
    assert str(image) in output("predict", run, image, "--quiet", "-j", 0)
