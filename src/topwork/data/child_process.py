"""Memory limit and signal handling of processes that decode images for their parent.

A terminal, a service manager or a scheduler signals all processes of a group. The parent alone reacts: it finishes its
step and saves, and it needs the images of that step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from topwork.core.signals import STOP_SIGNALS

MAX_EXTRA_MEMORY = 1 << 30  # bytes that a process may allocate after its start


def init_child() -> BinaryIO:
    """Ignore signals, since the parent ends this process by closing its pipe, and limit the memory.

    Returns:
        The former standard output, for responses. From now on, libraries that print write to standard error.
    """
    _ignore(STOP_SIGNALS)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    return output


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Block ``STOP_SIGNALS``, also in processes that are started inside, until they set their own handling.

    They do so in ``init_child`` or ``init_loader_worker``. This process receives the signals at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def init_loader_worker(_: int) -> None:
    """In a worker of a ``DataLoader``: ignore signals except SIGTERM, and SIGTERM unless the parent sends it."""
    _ignore(set(STOP_SIGNALS) - {signal.SIGTERM})
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # also in later threads
        threading.Thread(target=_wait_for_parent, name="topwork-end", daemon=True).start()
    else:  # macOS and Windows do not tell the sender
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _ignore(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _limit_memory() -> None:
    """An image that needs more memory than allowed ends in a MemoryError."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        room = pages * resource.getpagesize() + MAX_EXTRA_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
