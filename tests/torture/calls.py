"""Kill the writer, or have the system refuse, at every system call that it makes. Needs strace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import invariants, writer

WRITER = Path(writer.__file__)
ROOT = WRITER.parents[2]
FILE_CALLS = (
    "openat", "write", "fsync", "rename", "mkdir", "close", "unlink", "unlinkat", "rmdir", "read", "lseek",
    "newfstatat", "fstat", "getdents64", "statfs",
)  # fmt: skip
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE", "EINTR")
Point = tuple[str, int]


@dataclass
class Tally:
    """How many points were hit, and what went wrong at which."""

    tried: int = 0
    hit: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.hit:,} of {self.tried:,} points hit, {len(self.wrong):,} wrong"


def is_possible() -> bool:
    """Whether strace is here and may trace."""
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def points(saves: int, calls: Sequence[str] | None = None) -> list[Point]:
    """Every system call after the writer's start, as its name and its ordinal among those of its name."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "trace"
        strace(["-o", str(log)], Path(place) / "root", saves)
        counts: Counter[str] = Counter()
        found: list[Point] = []
        begun = False
        for line in log.read_text("utf-8", "replace").splitlines():
            call = re.match(r"(?:\d+ +)?(\w+)\(", line)
            if not call:
                continue
            counts[call[1]] += 1
            begun = begun or writer.MARK in line
            if begun and (calls is None or call[1] in calls):
                found.append((call[1], counts[call[1]]))
        return found


def strace(options: Sequence[str], root: Path, saves: int, fault: str = "") -> subprocess.CompletedProcess[str]:
    """Run the writer under strace with these options."""
    program = [sys.executable, "-S", "-B", str(WRITER), str(root), str(saves), *([fault] if fault else [])]
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["strace", "-f", "-qq", *options, *program], capture_output=True, text=True, env=environment, check=False
    )


def kill_at(chosen: Sequence[Point], saves: int, fault: str = "") -> Tally:
    """SIGKILL at each point; then everything reported as saved must be there, whole, and it must go on."""
    return _each([(f"{call}:signal=KILL:when={n}", call) for call, n in chosen], saves, fault, wants_end=False)


def refuse_at(chosen: Sequence[Point], saves: int, fault: str = "") -> Tally:
    """Every errno at each point, and writes that claim to have written one byte; the writer must live on."""
    trials = [(f"{call}:error={error}:when={n}", call) for call, n in chosen for error in ERRORS]
    trials += [(f"write:retval=1:when={n}", call) for call, n in chosen if call == "write"]
    return _each(trials, saves, fault, wants_end=True)


def _each(trials: Sequence[tuple[str, str]], saves: int, fault: str, wants_end: bool) -> Tally:
    tally = Tally(tried=len(trials))

    def one(trial: tuple[str, str]) -> tuple[bool, list[str]]:
        inject, call = trial
        place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        try:
            done = strace(
                ["-e", f"trace={call}", "-e", f"inject={inject}", "-o", str(place / "trace")], place / "r", saves, fault
            )
            trace = (place / "trace").read_text("utf-8", "replace")
            hit = "INJECTED" in trace or "SIGKILL" in trace or done.returncode in (-9, 137)
            wrong = invariants.faults(place / "r", done.stdout)
            if wants_end and done.returncode != 0:
                wrong.append(f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
            return hit, wrong
        finally:
            shutil.rmtree(place, ignore_errors=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (inject, _), (hit, wrong) in zip(trials, pool.map(one, trials), strict=True):
            tally.hit += hit
            tally.wrong += [f"{inject}: {line}" for line in wrong]
    return tally
