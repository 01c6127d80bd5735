"""The rank of this process in a training, read from the environment that torchrun sets. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # in the order of the fields of ``World``
_AGENT = "agent "  # and its process id, where torchrun has no --rdzv-id


@dataclass(frozen=True)
class World:
    """Which of the processes this is.

    Attributes:
        rank, size: Among all processes.
        local_rank, local_size: Among those of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that decides, writes and prints."""
        return self.rank == 0

    def shard_bounds(self, count: int) -> tuple[int, int]:
        """Where the share of this process of ``count`` items begins and ends; the shares are disjoint and cover all."""
        return count * self.rank // self.size, count * (self.rank + 1) // self.size


def under_torchrun() -> bool:
    """Whether this process was started by torchrun, or by topwork for one of several devices."""
    return all(name in os.environ for name in _NAMES)


def world() -> World:
    """The rank of this process; rank 0 of 1 outside torchrun."""
    return World(*(int(os.environ[name]) for name in _NAMES)) if under_torchrun() else World()


def restarts() -> int:
    """How often torchrun has started this training again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def launch_id() -> str:
    """The id of this start of torchrun and all its restarts, also on other machines; empty if there is none."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{_AGENT}{os.getppid()}" if name == "none" else name  # restarts have the same parent


def is_restart(before: str) -> bool:
    """Whether torchrun has started this training before; ``before`` is the ``launch_id`` in its folder, if any."""
    return "" != before == launch_id() and (restarts() > 0 or not before.startswith(_AGENT))
