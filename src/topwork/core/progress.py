"""Progress on stderr: rich bars on a terminal, plain lines elsewhere. Imports no torch.

Results go to stdout, so that pipes and ``--json`` stay clean.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

_USER = re.compile(r"\b([a-z][a-z0-9+.-]+:/+)[^\s/?#@\"'<>]+@")
_QUERY = re.compile(r"\b([a-z][a-z0-9+.-]+:/+[^\s?#\"'<>]+)\?[^\s#\"'<>,]+")
SECONDS_TO_FIRST_LINE = 15.0  # of a task, in plain text
SECONDS_BETWEEN_LINES = 300.0
SECONDS_BETWEEN_DRAWINGS = 0.3
MAX_LINES = 200  # in the list of a notebook that can be opened
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of a table as lines whose columns are aligned: to the left, or to the right those of these numbers.

    >>> aligned([("svm", "9 s"), ("finetune", "12 s")], right=[1])
    ['svm        9 s', 'finetune  12 s']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    """Text for a terminal: names of files and classes may have control characters, which could change what is shown.

    Control characters but line breaks and tabs, and those that turn the direction of text, become escapes; what is not
    UTF-8 becomes a question mark; addresses lose their credentials.

    >>> printable("cat\\x1b[2J")
    'cat\\\\x1b[2J'
    """
    return _CONTROL.sub(_escape, redact(text).encode("utf-8", "replace").decode())


def redact(text: str) -> str:
    """Text without the credentials that addresses in it may have: users, passwords, and queries such as ``?sig=...``.

    >>> redact("read s3://key:secret@bucket/a.tar and https://x.org/a.tar?sig=abc")
    'read s3://***@bucket/a.tar and https://x.org/a.tar?***'
    """
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


_SIMPLER = {"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u2265": ">=", "\u2264": "<=", "\u2026": "...", "\u00d7": "x"}


def _simplify(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in its letters or as question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SIMPLER.get(letter, "?") for letter in lacking), error.end


def print_in_any_encoding() -> None:
    """Make output that is redirected on Windows, or in an old locale, never fail for a character it does not have."""
    codecs.register_error("topwork", _simplify)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="topwork")


def print_text(text: str) -> None:
    """Print text for people to stdout."""
    print(printable(text))


@dataclass(frozen=True)
class Tracker:
    """A task of known length; ``advance(count=1)`` counts ``count`` more units as done."""

    advance: Callable[..., None]


class Progress:
    """Plain lines for logs, pipes and notebooks: an early estimate of a long task, then few more.

    Attributes:
        quiet: Print nothing.
        log_file: Gets every line, also if quiet; None until a run folder exists.
        unlogged: Lines for a log file that may not be written yet; None: they are for none.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.log_file: Path | None = None
        self.unlogged: list[str] | None = None

    def log(self, line: str) -> None:
        """Print a line to stderr."""
        line = _CONTROL.sub(_escape, redact(line))
        dated = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n"
        if self.log_file:
            with open(self.log_file, "a", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines([*(self.unlogged or ()), dated])
            self.unlogged = None
        elif self.unlogged is not None:
            self.unlogged.append(dated)
        if not self.quiet:
            self._print(line.encode("utf-8", "replace").decode())

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def track(self, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Tracker]:
        """Show the remaining time of a task of ``total`` units, ``done`` of them finished before."""
        start, finished, first = time.monotonic(), done, 0
        due = start + SECONDS_TO_FIRST_LINE

        def advance(count: int = 1) -> None:
            nonlocal due, finished, first, start
            finished += count
            now = time.monotonic()
            if not first:  # the first units start processes and compile, so the estimate leaves them out
                start, first = now, finished
            elif now >= due and finished < total:
                due = now + SECONDS_BETWEEN_LINES
                left = duration((now - start) / (finished - first) * (total - finished))
                self.log(f"  {title}: {finished:,} of {total:,} {unit}, about {left} left")

        yield Tracker(advance)


class RichProgress(Progress):
    """Bars on a terminal, removed when their task is done, and lines above them."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live: Any = None

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False)

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
        live = self._live
        task = live.add_task(f"  {title}", total=total, unit=unit, completed=done)
        try:
            yield Tracker(lambda count=1: live.advance(task, count))
        finally:
            live.remove_task(task)
            if not live.tasks:
                live.stop()
                self._live = None


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook that can show HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


class NotebookProgress(Progress):
    """One output that is replaced: bar, latest line, and all lines to unfold."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._handle: Any = None
        self._drawn = 0.0

    def _print(self, line: str) -> None:
        self._lines = [*self._lines, line][-MAX_LINES:]
        self._draw()

    @contextlib.contextmanager
    def track(self, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Tracker]:
        """Show a bar."""
        finished = done

        def advance(count: int = 1) -> None:
            nonlocal finished
            finished += count
            if time.monotonic() - self._drawn > SECONDS_BETWEEN_DRAWINGS:
                self._draw(
                    f'<progress value="{finished}" max="{max(total, 1)}" style="width: 20em"></progress> '
                    f"{escape(title)}: {finished:,} of {total:,} {escape(unit)}<br>"
                )

        try:
            yield Tracker(advance)
        finally:
            self._draw()

    def _draw(self, bar: str = "") -> None:
        from IPython.display import HTML, DisplayHandle

        self._drawn = time.monotonic()
        latest = escape(self._lines[-1].strip()) if self._lines else ""
        lines = escape("\n".join(self._lines))
        shown = HTML(f"{bar}{latest}<details><summary>All messages</summary><pre>{lines}</pre></details>")
        if self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(shown)
        else:
            self._handle.update(shown)


def make_progress(quiet: bool = False) -> Progress:
    """Bars if stderr is a capable terminal, one bar in a notebook, else plain lines."""
    if in_notebook() and not quiet:
        return NotebookProgress()
    capable = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
    return RichProgress() if capable and not quiet else Progress(quiet)
