"""Ctrl-C, SIGTERM and SIGUSR1 as a request to stop, which is checked between steps. Imports no torch."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from topwork.core.errors import Interrupted

GRACE_SECONDS = 30
# A scheduler announces the end of a job by SIGTERM or, if so configured, by SIGUSR1; Windows has no SIGUSR1
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Signals:
    """While open, the first of ``STOP_SIGNALS`` is remembered; a second SIGINT raises KeyboardInterrupt.

    Args:
        resume_command: For the message; empty as long as nothing was saved.
    """

    def __init__(self, resume_command: str = "") -> None:
        self.resume_command = resume_command
        self.received = 0  # the number of the signal
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in STOP_SIGNALS:
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def stop_requested(self) -> bool:
        """Whether a signal has been received."""
        return self.received != 0

    def raise_if_stopped(self) -> None:
        """Raise ``Interrupted`` if a signal has been received; call it where nothing is unsaved."""
        if self.received:
            command = self.resume_command
            saved = f"Everything is saved; resume with: {command}" if command else "Nothing was saved yet."
            raise Interrupted(f"Stopped. {saved}", self.received)


def exit_with_parent(parent: int) -> None:
    """Send this process SIGTERM when the process ``parent`` has ended, and end it ``GRACE_SECONDS`` later."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
