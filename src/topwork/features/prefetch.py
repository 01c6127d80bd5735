"""One thread that computes while this one fetches what comes next and uses what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MAX_WAITING = 2  # things that wait for the thread

T = TypeVar("T")
R = TypeVar("R")


def prefetch(work: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[tuple[T, R]]:
    """Each thing and what ``work`` makes of it, in order; at most ``MAX_WAITING + 1`` things are held.

    Args:
        work: Called in a thread of its own, one thing at a time; what it raises is raised here.
        things: Taken in this thread.
        threads: Of torch, for the work.
    """
    with ThreadPoolExecutor(1, "topwork-ahead", torch.set_num_threads, (threads,)) as pool:
        waiting = deque[tuple[T, Future[R]]]()
        try:
            for thing in things:
                waiting.append((thing, pool.submit(work, thing)))
                if len(waiting) > MAX_WAITING:
                    yield _done(waiting)
            while waiting:
                yield _done(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _done(waiting: deque[tuple[T, Future[R]]]) -> tuple[T, R]:
    thing, future = waiting.popleft()
    return thing, future.result()
