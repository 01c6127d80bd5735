"""One thread that computes while this one fetches what comes next and uses what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

AHEAD = 2  # things that wait for the thread

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def ahead(work: Callable[[Thing], Made], things: Iterable[Thing], threads: int) -> Generator[tuple[Thing, Made]]:
    """Each thing and what ``work`` makes of it, in order; at most ``AHEAD + 1`` things are held.

    Args:
        work: Called in a thread of its own, one thing at a time; what it raises is raised here.
        things: Taken in this thread.
        threads: Of torch, for the work.
    """
    with ThreadPoolExecutor(1, "topwork-ahead", torch.set_num_threads, (threads,)) as pool:
        waiting = deque[tuple[Thing, Future[Made]]]()
        try:
            for thing in things:
                waiting.append((thing, pool.submit(work, thing)))
                if len(waiting) > AHEAD:
                    yield _done(waiting)
            while waiting:
                yield _done(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _done(waiting: deque[tuple[Thing, Future[Made]]]) -> tuple[Thing, Made]:
    thing, future = waiting.popleft()
    return thing, future.result()
