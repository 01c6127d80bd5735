"""Durable files: complete or absent, checked, and never lost when a write fails."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topwork.core import folder_lock, storage
from topwork.core.errors import CorruptFile, StorageError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    storage.write_json(path, {"ä": [1, 2.5, None]})
    storage.write_json(path, {"b": 1})
    assert storage.read_json(path) == {"b": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file"
    storage.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        monkeypatch.setattr(storage, "_write_durably", full)
    else:
        monkeypatch.setattr(storage.os, call, full)
    with pytest.raises(StorageError, match=r"Cannot write .*No space left.*Free space or choose another --out"):
        storage.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=60), st.data())
def test_any_flipped_bit_or_cut_of_a_folder_is_noticed(first: bytes, second: bytes, data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "folder"
        storage.write_folder(target, {"a": first, "b": second})
        assert storage.read_folder(target) == {"a": first, "b": second}
        position = data.draw(st.integers(0, len(second) - 1))
        if data.draw(st.booleans()):
            changed = bytearray(second)
            changed[position] ^= 1 << data.draw(st.integers(0, 7))
            (target / "b").write_bytes(changed)
        else:
            (target / "b").write_bytes(second[:position])
        with pytest.raises(CorruptFile, match="b is damaged"):
            storage.read_folder(target)
        (target / storage.MANIFEST).unlink()
        with pytest.raises(CorruptFile, match="never finished"):
            storage.read_folder(target)


WRITER = """
import sys
from pathlib import Path
from topwork.core import folder_lock, storage
root = Path(sys.argv[1])
number = 0
while True:
    storage.write_folder(root / f"f-{number:06d}", {"a": b"x" * 20000, "b": str(number).encode()})
    print(number, flush=True)
    number += 1
"""


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_kill_9_leaves_whole_folders_and_loses_none_that_was_reported(tmp_path: Path) -> None:
    for trial in range(12):
        root = tmp_path / str(trial)
        root.mkdir()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout
        reported = [int(writer.stdout.readline())]
        time.sleep(0.003 * trial)
        os.kill(writer.pid, signal.SIGKILL)
        reported += [int(line) for line in writer.communicate()[0].split()]
        for number in reported:
            assert storage.read_folder(root / f"f-{number:06d}")["b"] == str(number).encode()
        for folder in root.glob("f-*"):
            storage.read_folder(folder)
        storage.sweep_temporary(root)
        assert not list(root.glob(".tmp-*"))


def test_a_csv_survives_any_text(tmp_path: Path) -> None:
    rows = [["a,b", 'quo"te'], ["line\nbreak", os.fsdecode(b"caf\xe9")]]
    storage.write_csv(tmp_path / "t.csv", ("x", "y"), rows)
    assert [list(row.values()) for row in storage.read_csv(tmp_path / "t.csv")] == rows


def test_a_folder_that_is_removed_while_another_waits_for_it_is_held_by_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    folder, real = tmp_path / "run", fcntl.lockf

    def late(*args: Any) -> None:  # the process before has failed, removed its folder and ended
        monkeypatch.setattr(fcntl, "lockf", real)
        shutil.rmtree(folder)
        real(*args)

    monkeypatch.setattr(fcntl, "lockf", late)
    with folder_lock.lock_folder(folder):
        assert (folder / ".lock").is_file()
