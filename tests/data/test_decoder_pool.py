"""Decoder processes: one that exceeds a limit or crashes is reported with its image, and nothing else is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from topwork.core.artifacts import InputSpec
from topwork.core.config import DataConfig
from topwork.core.errors import TopworkError
from topwork.core.image_ref import ImageRef
from topwork.data import decoder_pool
from topwork.data.decoder import INSPECT, NETWORK_INPUT, DecoderLimits, Request
from topwork.data.decoder_pool import DecoderFailed, DecoderPool, in_order, inspect_files
from topwork.data.images import UnreadableImage
from topwork.data.inspection import inspect_file
from topwork.data.manifest import build_manifest

# The real program with a decoder that does what its file says: files of these contents cannot be made to order.
FAULTY_DECODER = """
import os, signal, sys, time
from topwork.data import decoder, inspection
inspect_bytes = inspection.inspect_bytes
def faulty(data, *rest):
    if data.startswith(b"SPIN"):
        while True:
            pass
    if data.startswith(b"WAIT"):
        time.sleep(600)
    if data.startswith(b"DIE"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"EXIT"):
        os._exit(3)
    if data.startswith(b"PRINT"):
        os.write(1, b"not a response")
    return inspect_bytes(data, *rest)
inspection.inspect_bytes = faulty
decoder.main(sys.argv[1])
"""
SPEC = InputSpec(32, 36, "bicubic", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def faulty_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_pool, "COMMAND", [sys.executable, "-P", "-c", FAULTY_DECODER])
    limits = replace(decoder_pool.DEFAULT_LIMITS, cpu_seconds=0.2, wall_seconds=5.0)
    monkeypatch.setattr(decoder_pool, "DEFAULT_LIMITS", limits)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.usefixtures("faulty_decoder")
def test_a_decoder_that_hangs_or_dies_is_named_and_nothing_else_is_lost(class_folders: Path, tmp_path: Path) -> None:
    threads = set(threading.enumerate())  # with those of the pool that predictions share
    clean = build_manifest(DataConfig(path=str(class_folders), source="folder"), tmp_path / "a", workers=2)
    for label, names in {"ant": ("spin", "wait", "die"), "bee": ("exit", "print")}.items():
        for name in names:
            (class_folders / label / f"{name}.jpg").write_bytes(name.upper().encode() * 10)
    manifest = build_manifest(DataConfig(path=str(class_folders), source="folder"), tmp_path / "b", workers=2)
    assert {row.id: row.reason for row in manifest.excluded if "print" not in row.id} == {
        "ant/spin.jpg": "took longer than 0.2 s to decode",
        "ant/wait.jpg": "was not read within 5 s",
        "ant/die.jpg": "its decoder died (SIGSEGV)",
        "bee/exit.jpg": "its decoder died (exit status 3)",
    }
    assert manifest.used == clean.used
    assert not [t for t in set(threading.enumerate()) - threads if t.name.startswith("topwork-decoder")]


def test_a_decoder_starts_without_the_settings() -> None:
    """They and pydantic's models of them would take most of its start, in each process of each command."""
    code = "import sys, topwork.data.decoder; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "topwork.data.decoder" in names
    assert {name.partition(".")[0] for name in names} & {"pydantic", "torch", "scipy"} == set()


def test_every_number_of_processes_gives_the_results_of_this_process(tmp_path: Path, draw: Callable[..., Path]) -> None:
    files = [draw(tmp_path / f"{number}.png", number) for number in range(60)]
    requests = [Request(INSPECT, ImageRef.parse(file)) for file in files]
    here = [inspect_file(ImageRef.parse(file)) for file in files]
    for workers in (1, 3):
        assert [(found.content, found.inspection) for found in inspect_files(requests, workers)] == here


def test_a_program_that_does_not_start_is_an_error_and_excludes_no_image(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_pool, "COMMAND", [sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(TopworkError, match="could not be started"):
        build_manifest(DataConfig(path=str(class_folders), source="folder"), tmp_path / "cache")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_uploads_larger_than_a_pipe_crashes_and_a_cancelled_request(tmp_path: Path, draw: Callable[..., Path]) -> None:
    data = draw(tmp_path / "a.png", 1).read_bytes()
    crashes: list[int] = []
    with DecoderPool(1, DecoderLimits(max_pixels=10**6), on_crash=lambda: crashes.append(1)) as pool:
        padded = pool.submit(Request(NETWORK_INPUT, data=data + bytes(1 << 20), spec=SPEC))
        empty = pool.submit(Request(NETWORK_INPUT, data=b"", spec=SPEC))
        cancelled = pool.submit(Request(NETWORK_INPUT, data=data, spec=SPEC))
        assert cancelled.cancel()
        assert len(padded.result()[1]) == 32 * 32 * 3
        with pytest.raises(UnreadableImage, match="empty file") as caught:
            empty.result()
        assert not isinstance(caught.value, DecoderFailed)
        process = pool._decoders[0]._process
        assert process
        process.send_signal(signal.SIGKILL)
        assert pool.submit(Request(NETWORK_INPUT, data=data, spec=SPEC)).result() == padded.result()
        assert crashes == [1]
    with pytest.raises(TopworkError, match="closed"):
        pool.submit(Request(NETWORK_INPUT, data=data, spec=SPEC))


def test_results_come_in_order_and_few_are_in_progress() -> None:
    submitted: list[int] = []

    def submit(item: int) -> Future[int]:
        submitted.append(item)
        return Future()

    results = in_order(submit, iter(range(10**9)), 3)
    futures = [next(results)[1] for _ in range(4)]
    assert submitted == [0, 1, 2, 3, 4, 5]
    results.close()
    assert not any(future.cancelled() for future in futures)
