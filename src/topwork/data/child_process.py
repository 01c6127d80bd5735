"""What a process that decodes for another one does first: it limits itself, and leaves signals to its parent.

A terminal, a service manager or a scheduler signals all processes of a group; it is the parent that finishes its step
and saves, and it needs the images of that step.
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

MEMORY = 1 << 30  # bytes that a process may add


def begin() -> BinaryIO:
    """Leave signals to the parent, which closes the pipe, and limit the memory.

    Returns:
        Where answers go: what was standard output. What a library prints goes to standard error from here on.
    """
    _ignore(STOP_SIGNALS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    return answers


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Processes that are started inside ignore ``STOP_SIGNALS`` until ``begin`` or ``serve_parent`` has been called.

    This process hears them at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve_parent() -> None:
    """Leave signals to the parent, in a process that it ends by SIGTERM: of those only its own counts."""
    _ignore(set(STOP_SIGNALS) - {signal.SIGTERM})
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # of threads to come, too
        threading.Thread(target=_wait_for_parent, name="topwork-end", daemon=True).start()
    else:  # macOS and Windows do not say who sent one
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _ignore(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _limit_memory() -> None:
    """A picture that would take more memory than there should be ends in a MemoryError."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        room = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
