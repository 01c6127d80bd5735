"""Disks that fill up and power that goes: real file systems in memory and in a file. Needs root on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.torture import invariants
from tests.torture.calls import ROOT, WRITER, Point, Tally, strace

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2  # what was not flushed to the disk is lost
STEP = 4096


def is_possible() -> bool:
    """Whether file systems can be mounted here."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        return False
    with tempfile.TemporaryDirectory() as place:
        try:
            with ext4(Path(place), 8):
                return True
        except subprocess.CalledProcessError:
            return False


@contextlib.contextmanager
def tmpfs(place: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes in memory."""
    mounted = place / "mounted"
    mounted.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mounted], check=True, capture_output=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True, capture_output=True)


@contextlib.contextmanager
def ext4(place: Path, megabytes: int) -> Iterator[Path]:
    """A new ext4 in a file."""
    image, mounted = place / "image", place / "mounted"
    mounted.mkdir(exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-F", image)
    _run("mount", "-o", "loop", image, mounted)
    try:
        yield mounted
    finally:
        _run("umount", mounted)


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def _write(root: Path, saves: int, fault: str = "") -> subprocess.Popen[str]:
    program = [sys.executable, "-S", "-B", str(WRITER), str(root), str(saves), *([fault] if fault else [])]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), *sys.path])}
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def fill(sizes: Sequence[int], saves: int, fault: str = "") -> Tally:
    """Let the writer run into the end of a disk of each size; nothing reported may be lost, and it must live on."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        for size in sizes:
            with tmpfs(Path(place), size) as mounted:
                _fill(mounted, saves, fault, Path(place) / "kept", f"{size} bytes", tally)
    return tally


def fill_ext4(blocks: Sequence[int], saves: int) -> Tally:
    """The same on an ext4 that a file fills up but for so many blocks."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place, ext4(Path(place), 8) as mounted:
        for free in blocks:
            _fill_up(mounted / "ballast", free)
            _fill(mounted, saves, "", Path(place) / "kept", f"{free} blocks", tally)
            shutil.rmtree(mounted / "run", ignore_errors=True)
            (mounted / "ballast").unlink()
    return tally


def _fill_up(ballast: Path, free: int) -> None:
    """Write a file that leaves about so many blocks free."""
    space = os.statvfs(ballast.parent)
    blocks = max(1, space.f_bfree - free)
    with open(ballast, "wb") as file:
        while blocks > 0:
            try:
                return os.posix_fallocate(file.fileno(), 0, blocks * space.f_frsize)
            except OSError:  # the file system keeps some blocks for itself
                blocks -= 32


def _fill(mounted: Path, saves: int, fault: str, kept: Path, where: str, tally: Tally) -> None:
    writer = _write(mounted / "run", saves, fault)
    output, errors = writer.communicate()
    tally.tried += 1
    tally.hit += "failed" in output
    if (mounted / "run").is_dir():
        shutil.copytree(mounted / "run", kept)  # to judge it where there is room to go on
    wrong = invariants.faults(kept, output)
    shutil.rmtree(kept, ignore_errors=True)
    if writer.returncode != 0:
        wrong.append(f"ended with {writer.returncode}: {errors.strip().splitlines()[-1:]}")
    tally.wrong += [f"{where}: {line}" for line in wrong]


def cut_at(chosen: Sequence[Point], saves: int, fault: str = "") -> Tally:
    """Kill the writer at each system call and cut the power there and then, before the system writes on its own."""
    tally = Tally(tried=len(chosen))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for call, n in chosen:
            inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}", "-o", str(place / "trace")]
            with ext4(place, 16) as mounted:
                done = strace(inject, mounted / "run", saves, fault)
                tally.hit += done.returncode in (-9, 137)
                _shut_down(mounted)
            tally.wrong += [f"{call} {n}: {line}" for line in _after_the_cut(place, done.stdout)]
    return tally


def cut_power(after: Sequence[int], saves: int, waits: Sequence[float] = (), fault: str = "") -> Tally:
    """Shut an ext4 down after so many lines said by the writer and so many seconds more; then mount it again.

    What the journal had not written is lost, as when the power goes.
    """
    tally = Tally(tried=len(after))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for lines, wait in zip(after, waits or [0.0] * len(after), strict=True):
            output = ""
            with ext4(place, 16) as mounted:
                writer = _write(mounted / "run", saves, fault)
                assert writer.stdout
                for _ in range(lines):
                    output += writer.stdout.readline()
                time.sleep(wait)
                tally.hit += writer.poll() is None or bool(output)  # else it had not begun
                _shut_down(mounted)
                writer.kill()
                writer.communicate()
            tally.wrong += [f"after {lines} lines: {line}" for line in _after_the_cut(place, output)]
    return tally


def _after_the_cut(place: Path, output: str) -> list[str]:
    """What is wrong once the file system is mounted again and its journal has been replayed."""
    _run("mount", "-o", "loop", place / "image", place / "mounted")
    try:
        return invariants.faults(place / "mounted" / "run", output)
    finally:
        _run("umount", place / "mounted")


def _shut_down(mounted: Path) -> None:
    handle = os.open(mounted, os.O_RDONLY)
    try:
        flag = ctypes.create_string_buffer(struct.pack("I", NO_LOG_FLUSH))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ioctl(handle, ctypes.c_ulong(FS_IOC_SHUTDOWN), flag) != 0:
            raise OSError(ctypes.get_errno(), "the file system cannot be shut down")
    finally:
        os.close(handle)
