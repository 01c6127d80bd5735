"""Commands in processes of their own, a limited number at a time, each in a numbered slot. Imports no torch."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from topwork.core.errors import ProcessFailed
from topwork.core.signals import Signals


def run(
    titles: Sequence[str],
    command_for: Callable[[str, int], list[str]],
    slots: int,
    signals: Signals,
    log: Callable[[str], None],
    done: Callable[[str], None] = lambda title: None,
) -> None:
    """Run commands, each as soon as a slot is free; a request to stop, or a failure, stops all.

    Args:
        titles: One per command, in the order of their starts.
        command_for: Gives the command for a title and a slot, counted from 0.
        slots: How many run at once.
        signals: Requests to stop.
        log: Called with a line when a command starts.
        done: Called with the title of a command that has succeeded.

    Raises:
        ProcessFailed: One has failed; the others were stopped.
        Interrupted: A signal came; all have stopped.
    """
    waiting, running = list(titles), dict[int, tuple[str, subprocess.Popen[bytes]]]()
    failed: tuple[str, int] | None = None
    stopping = False
    try:
        while running or (waiting and not stopping):
            for slot in range(slots):
                if waiting and not stopping and slot not in running:
                    title = waiting.pop(0)
                    log(f"{title}, on device {slot}")
                    running[slot] = title, subprocess.Popen(command_for(title, slot))
            for slot, (title, process) in list(running.items()):
                status = process.poll()
                if status is not None:
                    del running[slot]
                    failed = failed or ((title, status) if status else None)
                    if not status and not stopping and not failed:
                        done(title)
            if not stopping and (failed or signals.stop_requested()):
                stopping = True
                for _, process in running.values():
                    process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
    finally:
        for _, process in running.values():  # at once, e.g. by a second Ctrl-C
            process.kill()
            process.wait()
    signals.raise_if_stopped()
    if failed:
        raise ProcessFailed(*failed, signals.resume_command)
