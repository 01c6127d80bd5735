"""Trainings on two devices whose processes, or the launcher of both, are killed again and again at random instants."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.torture.calls import Tally
from tests.torture.trainings import command, fingerprint

LIMIT = 60.0  # seconds until all must go on, or be gone
MARK = "TOPWORK_TORTURE"
EPOCHS = 20
DEVICES = ["--devices", "2", "--max-restarts", "1000"]


OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # see docs/how-to/distributed.md
SHARDED = ["--set", "compute.fsdp=true"]


def kill_at_random(photos: Path, folder: Path, kills: int, seed: int = 0, sharded: bool = False) -> Tally:
    """Kill a process of a training, or the launcher, so many times; ended trainings are compared with an unbroken one.

    Args:
        photos: A small folder of class folders.
        folder: For the runs; emptied as they pass.
        kills: How many, over all trainings.
        seed: Of the victims and the instants.
        sharded: Whether the weights are sharded over the processes.
    """
    tally, rng = Tally(), random.Random(seed)
    folder.mkdir(exist_ok=True)
    options = SHARDED if sharded else []
    arguments = fresh = [*command(photos, folder / "killed", "adamw", 1, EPOCHS), *options, *DEVICES]
    unbroken = [*command(photos, folder / "unbroken", "adamw", 1, EPOCHS), *options]
    if _Launched([*unbroken, *DEVICES], folder).process.wait() != 0:
        raise RuntimeError((folder / "output").read_text())
    expected, out, slowest = fingerprint(folder / "unbroken"), folder / "killed", 0.0
    while tally.tried < kills:
        launched = _Launched(arguments, folder)
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
        arguments = ["train", "--resume", str(out), *DEVICES] if again else fresh
    print(f"the slowest took {slowest:.0f} s", flush=True)
    return tally


def come_back(photos: Path, folder: Path, times: int, sharded: bool = False) -> Tally:
    """Two torchruns, as on two machines: one is killed with all of its own, and started again a while later.

    Args:
        photos, folder, sharded: As above.
        times: Trainings.
    """
    tally = Tally()
    for number in range(times):
        home = folder / f"back-{number}"
        home.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meeting = f"127.0.0.1:{free.getsockname()[1]}"
        agent = ["-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
        agent += ["--rdzv-endpoint", meeting, "--rdzv-id", "back", "--max-restarts", "9"]
        arguments = [*command(photos, home / "run", "adamw", 1, 200), *(SHARDED if sharded else [])]
        stays = _Launched(arguments, home, agent)
        time.sleep(2)  # it is to keep the agents' store
        leaves = _Launched(arguments, home, agent)
        steps = [("epoch 3/", leaves.clear), ("processes: 2 -> 1", None), ("resuming from", lambda: time.sleep(5))]
        notices = [_after_notice(stays.output, text, act) for text, act in steps]
        again = _Launched(arguments, home, agent)
        notices.append(_after_notice(stays.output, "processes: 1 -> 2", None))
        ends = [machine.process.wait(timeout=600) for machine in (stays, again)]
        epochs = re.findall(r"epoch (\d+)/200", (home / "run" / "train.log").read_text())
        good = all(notices) and ends == [0, 0] and epochs == [str(epoch) for epoch in range(1, 201)]
        tally.tried, tally.hit = tally.tried + 1, tally.hit + all(notices)
        tally.wrong += [] if good else [f"training {number}: notices {notices}, ended {ends}, {len(epochs)} epochs"]
        for machine in (stays, again):
            machine.clear()
    return tally


def _after_notice(output: Path, text: str, act: Callable[[], None] | None) -> bool:
    notices = _until(lambda: text in output.read_text())
    if act:
        act()
    return notices


def _differs(out: Path, expected: dict[str, str]) -> list[str]:
    """What is not as in the unbroken training; an epoch that was reported is never trained again."""
    log = (out / "train.log").read_text()
    notices = [int(epoch) for epoch in re.findall(rf"epoch (\d+)/{EPOCHS}", log)]
    found = [f"epochs were logged as {notices}"] if notices != [*range(1, EPOCHS + 1)] else []
    return found + [f"{name} differs from the unbroken one" for name, sha in fingerprint(out).items()
                    if expected[name] != sha]  # fmt: skip


def _pause(seconds: float, launched: _Launched) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and launched.process.poll() is None:
        time.sleep(0.05)


class _Launched:
    """A real command; all that it starts, at any depth, bears a mark in its environment."""

    def __init__(self, arguments: list[str], folder: Path, agent: Sequence[str] = ()) -> None:
        self.mark = uuid.uuid4().hex
        env = {**os.environ, MARK: self.mark, "TOPWORK_CACHE": str(folder / "cache"), **(OWN_STORE if agent else {})}
        self.output = folder / "output"
        program = [sys.executable, *agent, "-m", "topwork", *arguments]
        with open(self.output, "ab") as file:
            self.process = subprocess.Popen(program, env=env, stdout=file, stderr=file, start_new_session=True)

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

        def continues() -> bool:
            ended = self.process.poll() is not None
            return ended or (self._starts() > starts and before.isdisjoint(self.ranks().values()))

        good = _until(continues)
        return time.monotonic() - start, "" if good else "neither started again nor ended"

    def _starts(self) -> int:
        return self.output.read_text().count("output goes to")  # train.log is removed with an empty folder

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
