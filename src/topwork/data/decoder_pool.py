"""A pool of decoder processes: one that crashes or exceeds a limit loses its image, and the next one starts."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from topwork.core.artifacts import DEFAULT_RULES, PixelRules
from topwork.core.errors import TopworkError, describe_exit
from topwork.core.image_ref import ImageRef
from topwork.data.child_process import signals_blocked
from topwork.data.decoder import GRAYS, DecoderLimits, Request, read_message
from topwork.data.images import UnreadableImage
from topwork.data.inspection import Inspection, rejected
from topwork.data.near_duplicates import SIDE, Thumbnail

COMMAND = [sys.executable, "-P", "-m", "topwork.data.decoder"]
# Of the environment: what decoders need. They parse files from anywhere, so they get no tokens and keys.
INHERITED = {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT"}
IMAGES_PER_PROCESS = 24  # images that make another process worth its start
IMAGES_AHEAD = 64  # images per process that are in progress, so that a slow one does not keep the others waiting

DEFAULT_LIMITS = DecoderLimits()
Response = tuple[Any, bytes]
T = TypeVar("T")
R = TypeVar("R")


class DecoderFailed(UnreadableImage):
    """The decoder crashed or exceeded a limit; on another attempt it may not."""


class DecoderPool:
    """Processes that decode images, each one image at a time.

    Args:
        processes: Their number; it does not change the responses.
        limits: What one image may cost; None: ``DEFAULT_LIMITS``.
        on_done: Called with the seconds that each image took, in any thread.
        on_crash: Called for each process that crashed or exceeded a limit, in any thread.

    Example:
        >>> from pathlib import Path
        >>> from topwork.core.image_ref import ImageRef
        >>> from topwork.data.decoder import THUMBNAIL, Request
        >>> ref = ImageRef.parse(next(Path(photos).rglob("*.*")))
        >>> with DecoderPool(1) as pool:
        ...     _, jpeg = pool.submit(Request(THUMBNAIL, ref)).result()
        >>> len(jpeg) > 0
        True
    """

    def __init__(
        self,
        processes: int,
        limits: DecoderLimits | None = None,
        on_done: Callable[[float], None] = lambda seconds: None,
        on_crash: Callable[[], None] = lambda: None,
    ) -> None:
        limits = limits or DEFAULT_LIMITS
        self._decoders = [_Decoder(limits, on_done, on_crash) for _ in range(processes)]
        self._idle = queue.SimpleQueue[_Decoder]()
        self._threads = ThreadPoolExecutor(max(1, processes), "topwork-decoder")
        self._closed = False

    def start(self) -> None:
        """Start the processes.

        Raises:
            TopworkError: A process does not start.
        """
        try:
            for decoder in self._decoders:
                decoder.spawn()
            for decoder in self._decoders:
                decoder.wait_until_ready()
                self._idle.put(decoder)
        except BaseException:
            self.close()
            raise

    def submit(self, request: Request) -> Future[Response]:
        """Queue a request. A cancelled one is not handled if its turn has not come.

        Returns:
            What ``decoder.handle`` returns; its exception is ``UnreadableImage``, or ``DecoderFailed`` if the image
            exceeded a limit or crashed its decoder twice.
        """
        if self._closed:
            raise TopworkError("The decoder pool is closed.")
        return self._threads.submit(self._respond, request)

    def _respond(self, request: Request) -> Response:
        decoder = self._idle.get()  # there are as many as threads
        try:
            return decoder.respond(request)
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End the processes; requests in the queue are cancelled."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for decoder in self._decoders:
            decoder.kill()
        self._threads.shutdown()
        for decoder in self._decoders:
            decoder.end()

    def __enter__(self) -> DecoderPool:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Decoder:
    """A process that handles one request at a time."""

    def __init__(self, limits: DecoderLimits, on_done: Callable[[float], None], on_crash: Callable[[], None]) -> None:
        self._limits, self._on_done, self._on_crash = limits, on_done, on_crash
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def spawn(self) -> None:
        """Start the process, which takes a while to be ready."""
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
        environment = {**inherited, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([path for path in sys.path if path])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with signals_blocked():
            command = [*COMMAND, json.dumps(asdict(self._limits))]
            self._process = subprocess.Popen(command, env=environment, **pipes)

    def wait_until_ready(self) -> None:
        """Wait until the process reads requests; an error if it has ended."""
        assert self._process
        assert self._process.stdout
        if read_message(self._process.stdout) is None and not self._closed:
            raise TopworkError(f"The image decoder process could not be started. Try: {' '.join(COMMAND)} '{{}}'")

    def kill(self) -> None:
        """Kill the process for good: a request that it is handling fails."""
        self._closed = True
        if process := self._process:
            process.kill()

    def respond(self, request: Request) -> Response:
        """Send a request to the process and read its response; a crash is tried a second time in a new process."""
        status = 0
        for _ in range(2):
            start = time.monotonic()
            response = self._exchange(request)
            if response is not None:
                self._on_done(time.monotonic() - start)
                value, data = response
                if isinstance(value, dict):
                    raise UnreadableImage(value["error"])
                return value, data
            status = self.end()
            if self._closed:
                raise TopworkError("The decoder pool is closed.")
            self._on_crash()
            if status == -getattr(signal, "SIGPROF", 0):
                raise DecoderFailed(f"took longer than {self._limits.cpu_seconds:g} s to decode")
            if status == -getattr(signal, "SIGALRM", 0):
                raise DecoderFailed(f"was not read within {self._limits.wall_seconds:g} s")
        raise DecoderFailed(f"its decoder died ({describe_exit(status)})")

    def _exchange(self, request: Request) -> Response | None:
        if self._process and self._process.poll() is not None:  # it has died while idle, through no image
            self.end()
            self._on_crash()
        if self._process is None:
            self.spawn()
            self.wait_until_ready()
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        try:
            request.write(self._process.stdin)
            return read_message(self._process.stdout)
        except OSError:  # it has died
            return None

    def end(self) -> int:
        """End the process; returns its exit status."""
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


@functools.cache
def shared_pool(processes: int, folder: str) -> DecoderPool:
    """A pool that lives as long as this process, so that single predictions do not wait for a start.

    Args:
        processes: How many decode.
        folder: The working directory, which relative paths of images refer to.
    """
    pool = DecoderPool(processes)
    _INHERITED.append(pool)
    pool.start()
    return pool


_INHERITED: list[DecoderPool] = []  # a forked child keeps the parent's pools, unused: to drop them would warn


if hasattr(os, "register_at_fork"):  # a forked process has no threads that would serve the pool
    os.register_at_fork(after_in_child=shared_pool.cache_clear)


def in_order(submit: Callable[[T], Future[R]], items: Iterable[T], window: int) -> Generator[tuple[T, Future[R]]]:
    """Submit items and yield each with its future, in order.

    Args:
        submit: Starts the work on an item.
        items: May be endless.
        window: How many are submitted ahead.
    """
    pending = deque[tuple[T, Future[R]]]()
    try:
        for item in items:
            pending.append((item, submit(item)))
            if len(pending) >= window:
                yield pending.popleft()
        while pending:
            yield pending.popleft()
    finally:
        for _, future in pending:
            future.cancel()


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """Result of a request to inspect a file.

    Attributes:
        content: SHA-256 of the bytes and the box; empty if they could not be read.
        inspection: None if the content is the known one.
        deterministic: Whether another attempt would give the same; not so if the decoder failed.
    """

    content: str
    inspection: Inspection | None
    deterministic: bool = True


def inspect_files(requests: Sequence[Request], workers: int = 0) -> Generator[InspectedFile]:
    """Inspect files in processes of their own, in order.

    Args:
        requests: Of the task ``INSPECT``.
        workers: Processes; 0 means one per core, fewer for few files. Their number does not change the results.

    Raises:
        TopworkError: A process does not start.
    """
    with DecoderPool(processes := _processes(len(requests), workers)) as pool:
        for _, future in in_order(pool.submit, requests, IMAGES_AHEAD * processes):
            try:
                (content, inspection), _ = future.result()
            except DecoderFailed as error:
                yield InspectedFile("", rejected(error.reason), deterministic=False)
            else:
                yield InspectedFile(content, Inspection(*inspection) if inspection else None)


def load_thumbnails(
    refs: Sequence[ImageRef], workers: int = 0, rules: PixelRules = DEFAULT_RULES
) -> Generator[Thumbnail | None]:
    """The thumbnails that ``near_duplicates`` compares, in order; None for an image that cannot be read any more."""
    with DecoderPool(processes := _processes(len(refs), workers)) as pool:
        requests = (Request(GRAYS, ref, rules=rules) for ref in refs)
        for _, future in in_order(pool.submit, requests, IMAGES_AHEAD * processes):
            try:
                side, grays = future.result()
            except UnreadableImage:
                yield None
            else:
                yield np.frombuffer(grays, dtype=np.uint8).reshape(SIDE, SIDE), side


def _processes(images: int, workers: int) -> int:
    return min(workers or os.cpu_count() or 1, -(-images // IMAGES_PER_PROCESS))
