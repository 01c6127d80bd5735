"""Processes that look at images for this one: a decoder that hangs or dies takes down its own, and the next one starts.

Requests and answers are JSON lines over pipes; ``look`` is the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from topwork.core.errors import TopworkError, describe_exit
from topwork.data.child_process import sheltered
from topwork.data.images import Box
from topwork.data.inspection import Verdict, refused

SECONDS = 10.0  # that a file may take
AHEAD = 8  # requests that a process holds, so that it never waits for this one
EACH = 24  # images that are worth a further process
COMMAND = [sys.executable, "-P", "-m", "topwork.data.inspection"]


@dataclass(frozen=True, slots=True)
class Request:
    """A file to look at; ``known`` is the content of which nothing more need be said."""

    path: str
    suffix: str
    box: Box | None = None
    known: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        content: SHA-256 of the bytes and the box; empty if they could not be read.
        verdict: None if the content is the known one.
        lasting: Whether another look would find the same: not so for a file that hung or killed its reader.
    """

    content: str
    verdict: Verdict | None
    lasting: bool = True


def look_at_all(requests: Sequence[Request], workers: int = 0) -> Generator[tuple[int, Answer], None, None]:
    """Look at files in processes of their own.

    Args:
        requests: The files.
        workers: Processes; 0 means one per core, fewer for few files. Their number does not change the answers.

    Yields:
        Number of the request, and its answer, in the order in which they come.

    Raises:
        TopworkError: No process could be started.
    """
    if not requests:
        return
    number = min(workers or os.cpu_count() or 1, -(-len(requests) // EACH))
    todo = deque(enumerate(requests))
    answers: queue.SimpleQueue[tuple[int, Answer] | BaseException] = queue.SimpleQueue()
    lookers = [_Looker(todo, answers) for _ in range(number)]
    watch = threading.Thread(target=_watch, args=(lookers,), name="topwork-watch", daemon=True)
    try:
        for looker in lookers:
            looker.start()
        watch.start()
        for _ in requests:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer
    finally:
        for looker in lookers:
            looker.stop()
        for looker in lookers:
            looker.join()


def _watch(lookers: Sequence[_Looker]) -> None:
    """End processes that take too long over a file."""
    while any(looker.is_alive() for looker in lookers):
        for looker in lookers:
            looker.end_if_late()
        time.sleep(0.1)


class _Looker(threading.Thread):
    """A thread that keeps one process busy."""

    def __init__(self, todo: deque[tuple[int, Request]], answers: queue.SimpleQueue[Any]) -> None:
        super().__init__(name="topwork-look", daemon=True)
        self._todo, self._answers = todo, answers
        self._asked: deque[tuple[int, Request]] = deque()
        self._process: subprocess.Popen[str] | None = None
        self._since = float("inf")
        self._stopped = self._late = False
        self._died: set[int] = set()

    def stop(self) -> None:
        """End at once."""
        self._stopped = True
        self._todo.clear()
        self._kill()

    def end_if_late(self) -> None:
        """End the process if the file that it looks at takes too long."""
        if time.monotonic() - self._since > SECONDS:
            self._late = True
            self._kill()

    def _kill(self) -> None:
        if self._process:
            with contextlib.suppress(OSError):
                self._process.kill()

    def run(self) -> None:
        """Ask and hear until nothing is left to do."""
        try:
            while self._ask():
                self._hear()
        except BaseException as error:
            if not self._stopped:
                self._answers.put(error)
        finally:
            self._end()

    def _ask(self) -> bool:
        """Send requests ahead; False if there are none."""
        while len(self._asked) < AHEAD:
            try:
                self._asked.append(self._todo.popleft())
            except IndexError:
                break
            self._send(self._asked[-1][1])
        if self._asked and self._since == float("inf"):
            self._since = time.monotonic()
        return bool(self._asked) and not self._stopped

    def _send(self, request: Request) -> None:
        if self._process is None:
            self._begin()
        assert self._process
        assert self._process.stdin
        with contextlib.suppress(OSError):  # it died: that is noticed where its answer is missing
            line = json.dumps([request.path, request.suffix, request.box, request.known])
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _begin(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([p for p in sys.path if p])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with sheltered():
            self._process = subprocess.Popen(COMMAND, text=True, encoding="ascii", env=environment, **pipes)
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n" and not self._stopped:
            raise TopworkError(f"The process that looks at images does not start ({' '.join(COMMAND)}). Try that line.")

    def _hear(self) -> None:
        assert self._process
        assert self._process.stdout
        line = self._process.stdout.readline()
        self._since = time.monotonic() if len(self._asked) > 1 else float("inf")
        if line.endswith("\n"):
            self._late = False
            number, _ = self._asked.popleft()
            sha, verdict = json.loads(line)
            self._answers.put((number, Answer(sha, Verdict(*verdict) if verdict else None)))
        elif not self._stopped:
            self._bury()

    def _bury(self) -> None:
        """The process is gone: set aside the file that it was at, after a second try, and go on with a new one."""
        number, request = self._asked.popleft()
        late, self._late, self._since = self._late, False, float("inf")
        code = self._end()
        again = [*self._asked]
        if late or number in self._died:
            reason = (
                f"took longer than {SECONDS:g} s to decode" if late else f"its decoder died ({describe_exit(code)})"
            )
            self._answers.put((number, Answer("", refused(reason), lasting=False)))
        else:
            self._died.add(number)
            again.insert(0, (number, request))
        self._asked.clear()
        self._todo.extendleft(reversed(again))

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in filter(None, (process.stdin, process.stdout)):
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=2)
        process.kill()
        return process.wait()
