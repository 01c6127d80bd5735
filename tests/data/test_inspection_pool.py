"""Looking at images in processes of their own: what hangs or dies there is named, and nothing else is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from topwork.core.errors import TopworkError
from topwork.data import inspection_pool
from topwork.data.inspection import look_at
from topwork.data.inspection_pool import Request, look_at_all
from topwork.data.manifest import build_manifest

# The real program with a decoder that does what its file says: files of these contents cannot be made to order.
ODD_DECODER = """
import os, signal, sys, time
from topwork.data import look
judge = look.judge
def odd(data, *rest):
    if data.startswith(b"HANG"):
        time.sleep(600)
    if data.startswith(b"DIE"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"EXIT"):
        os._exit(3)
    if data.startswith(b"PRINT"):
        os.write(1, b"not an answer")
    return judge(data, *rest)
look.judge = odd
look.main()
"""


@pytest.fixture
def odd_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection_pool, "COMMAND", [sys.executable, "-P", "-c", ODD_DECODER])
    monkeypatch.setattr(inspection_pool, "SECONDS", 1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.usefixtures("odd_decoder")
def test_a_decoder_that_hangs_or_dies_is_named_and_nothing_else_is_lost(class_folders: Path, tmp_path: Path) -> None:
    clean = build_manifest("folder", str(class_folders), tmp_path / "a", workers=2)
    for label, names in {"ant": ("hang", "die"), "bee": ("exit", "print")}.items():
        for name in names:
            (class_folders / label / f"{name}.jpg").write_bytes(name.upper().encode() * 10)
    manifest = build_manifest("folder", str(class_folders), tmp_path / "b", workers=2)
    assert {row.id: row.reason for row in manifest.set_aside if "print" not in row.id} == {
        "ant/hang.jpg": "took longer than 1 s to decode",
        "ant/die.jpg": "its decoder died (SIGSEGV)",
        "bee/exit.jpg": "its decoder died (exit status 3)",
    }
    assert manifest.used == clean.used
    assert not [thread for thread in threading.enumerate() if thread.name == "topwork-look"]


def test_every_number_of_processes_gives_the_answers_that_one_gives_here(
    tmp_path: Path, draw: Callable[..., Path]
) -> None:
    files = [draw(tmp_path / f"{number}.png", number) for number in range(60)]
    requests = [Request(str(file), ".png") for file in files]
    here = [look_at(str(file), ".png", None, "") for file in files]
    for workers in (1, 3):
        found = dict(look_at_all(requests, workers))
        assert [(found[i].content, found[i].verdict) for i in range(60)] == here


def test_a_program_that_does_not_start_is_an_error_not_a_verdict(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection_pool, "COMMAND", [sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(TopworkError, match="does not start"):
        build_manifest("folder", str(class_folders), tmp_path / "cache")
