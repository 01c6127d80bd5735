"""Trainings on two devices whose processes, or the launcher of both, are killed again and again at random instants."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.torture.calls import Tally
from tests.torture.trainings import command, fingerprint

LIMIT = 60.0  # seconds until all must go on, or be gone
MARK = "TOPWORK_TORTURE"
EPOCHS = 20
DEVICES = ["--devices", "2", "--max-restarts", "1000"]


CUT = ["--set", "compute.shard=true"]


def kill_at_random(photos: Path, place: Path, kills: int, seed: int = 0, cut: bool = False) -> Tally:
    """Kill a process of a training, or the launcher, so many times; ended trainings are compared with an unbroken one.

    Args:
        photos: A small folder of class folders.
        place: For the runs; emptied as they pass.
        kills: How many, over all trainings.
        seed: Of the victims and the instants.
        cut: Whether the weights are cut over the processes.
    """
    tally, rng = Tally(), random.Random(seed)
    place.mkdir(exist_ok=True)
    given = CUT if cut else []
    words = fresh = [*command(photos, place / "killed", "adamw", 1, EPOCHS), *given, *DEVICES]
    unbroken = [*command(photos, place / "unbroken", "adamw", 1, EPOCHS), *given]
    if _Launched([*unbroken, *DEVICES], place).process.wait() != 0:
        raise RuntimeError((place / "words").read_text())
    expected, out, slowest = fingerprint(place / "unbroken"), place / "killed", 0.0
    while tally.tried < kills:
        launched = _Launched(words, place)
        while tally.tried < kills and launched.process.poll() is None:
            _pause(rng.uniform(0.1, 20.0), launched)
            victims = {"launcher": launched.process.pid, **launched.ranks()}
            name = rng.choice(sorted(victims))
            if launched.process.poll() is not None:
                break
            tally.tried += 1
            seconds, wrong = launched.kill(name, victims[name])
            tally.hit, slowest = tally.hit + 1, max(slowest, seconds)
            tally.wrong += [f"kill {tally.tried}, of {name}: {wrong}"] if wrong else []
            print(f"kill {tally.tried}, of {name}: {wrong or 'ok'} after {seconds:.0f} s", flush=True)
        if tally.tried == kills and launched.process.poll() is None:
            launched.process.wait()
        if launched.process.poll() == 0:
            tally.wrong += _differs(out, expected)
            shutil.rmtree(out)
        launched.clear()
        again = (out / "run.json").is_file()
        words = ["train", "--resume", str(out), *DEVICES] if again else fresh
    print(f"the slowest took {slowest:.0f} s", flush=True)
    return tally


def _differs(out: Path, expected: dict[str, str]) -> list[str]:
    """What is not as in the unbroken training; an epoch that was reported is never trained again."""
    log = (out / "train.log").read_text()
    told = [int(epoch) for epoch in re.findall(rf"epoch (\d+)/{EPOCHS}", log)]
    found = [f"epochs were told as {told}"] if told != [*range(1, EPOCHS + 1)] else []
    return found + [f"{name} differs from the unbroken one" for name, sha in fingerprint(out).items()
                    if expected[name] != sha]  # fmt: skip


def _pause(seconds: float, launched: _Launched) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and launched.process.poll() is None:
        time.sleep(0.05)


class _Launched:
    """A real command; all that it starts, at any depth, bears a mark in its environment."""

    def __init__(self, words: list[str], place: Path) -> None:
        self.mark = uuid.uuid4().hex
        env = {**os.environ, MARK: self.mark, "TOPWORK_CACHE": str(place / "cache")}
        self.words = place / "words"
        with open(self.words, "ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "topwork", *words], env=env, stdout=file, stderr=file, start_new_session=True
            )

    def _all(self) -> dict[int, str]:
        """Process id to rank, empty for what is none, of all that is alive but the launcher."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                names = dict(item.partition("=")[::2] for item in (path / "environ").read_text().split("\0"))
                state = (path / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            if names.get(MARK) == self.mark and state[0] != "Z" and int(path.name) != self.process.pid:
                found[int(path.name)] = names.get("RANK", "") if int(state[1]) == self.process.pid else ""
        return found

    def ranks(self) -> dict[str, int]:
        """The trainings that are alive."""
        return {f"rank {rank}": number for number, rank in self._all().items() if rank}

    def kill(self, name: str, number: int) -> tuple[float, str]:
        """kill -9, and wait for what must follow; how long it took and what is wrong."""
        before, starts = set(self._all()), self._starts()
        start = time.monotonic()
        os.kill(number, signal.SIGKILL)
        if name == "launcher":
            self.process.wait()
            good = _until(lambda: not self._all())
            return time.monotonic() - start, "" if good else f"left behind: {self._all()}"

        def goes_on() -> bool:
            ended = self.process.poll() is not None
            return ended or (self._starts() > starts and before.isdisjoint(self.ranks().values()))

        good = _until(goes_on)
        return time.monotonic() - start, "" if good else "neither started again nor ended"

    def _starts(self) -> int:
        return self.words.read_text().count("output goes to")  # train.log goes with a folder in which nothing had begun

    def clear(self) -> None:
        """End whatever is left."""
        for number in [self.process.pid, *self._all()]:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def _until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
