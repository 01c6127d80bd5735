"""Decoding off the event loop, in processes: one that hangs or dies takes down its image and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import asdict, dataclass

from topwork.core.artifacts import InputSpec
from topwork.core.errors import TopworkError, describe_exit
from topwork.data.images import UnreadableImage
from topwork.serving.decoder import BAD, HEAD, READY, VIEW

START = 120.0  # seconds that a process may take to start on a busy machine


@dataclass
class _Job:
    kind: int
    data: bytes
    result: asyncio.Future[bytes]


class _Late(Exception):
    """An image took too long."""


class Decoders:
    """Processes that decode, each with one image at a time.

    Args:
        spec: What the network is fed.
        most: Pixels that an image may have.
        seconds: That an image may take.
        number: Of processes.
        done: Told the seconds that each image took.
        lost: Told of each process that was ended or died.
    """

    def __init__(
        self,
        spec: InputSpec,
        most: int,
        seconds: float,
        number: int,
        done: Callable[[float], None] = lambda seconds: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        words = json.dumps({**asdict(spec), "most": most})
        self._command = (sys.executable, "-P", "-m", "topwork.serving.decoder", words)
        self._seconds, self._number, self._done, self._lost = seconds, number, done, lost
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the processes.

        Raises:
            TopworkError: One does not start.
        """
        processes = await asyncio.gather(*(self._begin() for _ in range(self._number)))
        self._workers = [asyncio.create_task(self._work(process)) for process in processes]

    async def stop(self) -> None:
        """End them."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def decode(self, data: bytes, kind: int = VIEW) -> bytes:
        """What ``decoder.answer`` gives.

        Raises:
            UnreadableImage: The image cannot be used, took too long, or brought its decoder down twice.
            TopworkError: No process can be started any more.
        """
        job = _Job(kind, data, asyncio.get_running_loop().create_future())
        await self._jobs.put(job)
        return await job.result

    async def _begin(self) -> Process:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([p for p in sys.path if p])
        process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, env=environment)
        try:
            async with asyncio.timeout(START):
                kind, _ = await _read(process)
        except (OSError, EOFError, TimeoutError):
            kind = BAD
        if kind != READY:
            await _end(process)
            raise TopworkError("The process that decodes images does not start. Try: topwork doctor")
        return process

    async def _work(self, first: Process) -> None:
        process: Process | None = first
        try:
            while True:
                job = await self._jobs.get()
                for attempt in (1, 2):
                    if job.result.done():  # nobody waits for it any more
                        break
                    try:
                        process = process or await self._begin()
                        await self._ask(process, job)
                    except TopworkError as error:
                        _fail(job, error)
                    except (OSError, EOFError, _Late) as error:  # the process is of no use any more
                        assert process
                        code, process = await _end(process), None
                        self._lost()
                        if isinstance(error, _Late):
                            _fail(job, UnreadableImage(f"took longer than {self._seconds:g} s to decode"))
                        elif attempt == 2:
                            _fail(job, UnreadableImage(f"its decoder died ({describe_exit(code)})"))
        finally:
            if process:
                await asyncio.shield(_end(process))

    async def _ask(self, process: Process, job: _Job) -> None:
        assert process.stdin
        start = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                process.stdin.write(HEAD.pack(job.kind, len(job.data)))
                process.stdin.write(job.data)
                await process.stdin.drain()
                kind, data = await _read(process)
        except TimeoutError as error:
            raise _Late from error
        self._done(time.monotonic() - start)
        if kind == BAD:
            _fail(job, UnreadableImage(data.decode("utf-8", "replace")))
        elif not job.result.done():
            job.result.set_result(data)


def _fail(job: _Job, error: Exception) -> None:
    if not job.result.done():
        job.result.set_exception(error)


async def _read(process: Process) -> tuple[int, bytes]:
    assert process.stdout
    kind, length = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
    return kind, await process.stdout.readexactly(length)


async def _end(process: Process) -> int:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    return await process.wait()
