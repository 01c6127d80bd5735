"""What a process that decodes for another one does first: it limits itself, and leaves signals to its parent."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import BinaryIO

MEMORY = 1 << 30  # bytes that a process may add


def begin() -> BinaryIO:
    """Leave signals to the parent, which closes the pipe, and limit the memory.

    Returns:
        Where answers go: what was standard output. What a library prints goes to standard error from here on.
    """
    for name in ("SIGINT", "SIGTERM"):  # a terminal or a service manager signals the whole group
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    return answers


def _limit_memory() -> None:
    """A picture that would take more memory than there should be ends in a MemoryError."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        room = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
