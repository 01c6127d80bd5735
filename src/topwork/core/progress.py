"""Progress on stderr: rich bars on a terminal, plain lines elsewhere. Imports no torch.

Results go to stdout, so that pipes and ``--json`` stay clean.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(8), duration(200), duration(7500)
    ('8 s', '3 min 20 s', '2 h 05 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Tracker(Protocol):
    """A task of known length."""

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more units as done."""


class Progress(Protocol):
    """Where log lines and progress go."""

    quiet: bool

    def log(self, line: str) -> None:
        """Print one line."""

    def track(
        self, title: str, total: int, unit: str = "images", done: int = 0
    ) -> contextlib.AbstractContextManager[Tracker]:
        """Show progress and remaining time of a task of ``total`` units, ``done`` of them finished before."""
        ...


class _Log:
    """Copies every line to ``train.log`` once a run folder exists."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def attach(self, path: Path | None) -> None:
        """Write lines to this file from now on; None stops it."""
        self._path = path

    def write(self, line: str) -> None:
        if self._path:
            with open(self._path, "a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")


class _Counter:
    def __init__(self, progress: PlainProgress, title: str, total: int, unit: str, done: int) -> None:
        self._progress, self._title, self._total, self._unit = progress, title, total, unit
        self._start = time.monotonic()
        self._next = self._start + progress.first
        self._done = self._before = done

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now >= self._next and self._done < self._total:
            self._next = now + self._progress.every
            left = (now - self._start) / (self._done - self._before) * (self._total - self._done)
            self._progress.log(
                f"  {self._title}: {self._done:,} of {self._total:,} {self._unit}, about {duration(left)} left"
            )


class PlainProgress:
    """Plain lines for logs, pipes and notebooks: an early estimate of a long task, then few more.

    Args:
        quiet: Print nothing; lines still go to the log file.
        first: Seconds until the first line of a task.
        every: Seconds between its lines.
    """

    def __init__(self, quiet: bool = False, first: float = 15.0, every: float = 300.0) -> None:
        self.quiet, self.first, self.every = quiet, first, every
        self.log_file = _Log()

    def log(self, line: str) -> None:
        """Print a line to stderr."""
        self.log_file.write(line)
        if not self.quiet:
            print(line.encode("utf-8", "replace").decode(), file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def track(self, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Tracker]:
        """Count a task."""
        yield _Counter(self, title, total, unit, done)


class RichProgress:
    """Bars on a terminal; they are removed when their task is done."""

    quiet = False

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live: Any = None
        self.log_file = _Log()

    def log(self, line: str) -> None:
        """Print a line above the bars."""
        self.log_file.write(line)
        text = line.encode("utf-8", "replace").decode()
        self._console.print(text, markup=False)

    @contextlib.contextmanager
    def track(self, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Tracker]:
        """Show a bar."""
        if self._live is None:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "{task.fields[unit]}")
            self._live = Bars(
                *columns, TextColumn("left"), TimeRemainingColumn(), console=self._console, transient=True
            )
            self._live.start()
        task = self._live.add_task(f"  {title}", total=total, unit=unit, completed=done)
        live = self._live

        class _Bar:
            def advance(self, count: int = 1) -> None:
                live.advance(task, count)

        try:
            yield _Bar()
        finally:
            live.remove_task(task)
            if not live.tasks:
                live.stop()
                self._live = None


def make_progress(quiet: bool = False) -> PlainProgress | RichProgress:
    """Bars if stderr is a capable terminal, else plain lines."""
    import os

    capable = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
    return RichProgress() if capable and not quiet else PlainProgress(quiet)
