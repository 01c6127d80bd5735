"""A thread that computes one item while the caller loads the next and uses the previous one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MAX_WAITING = 2  # items that wait for the thread

T = TypeVar("T")
R = TypeVar("R")


def prefetch(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[tuple[T, R]]:
    """Each item with the result of ``work``, in order; at most ``MAX_WAITING + 1`` items are in memory.

    Args:
        work: Called in a thread of its own, one item at a time; its exceptions are raised here.
        items: Iterated in the calling thread.
        threads: Of torch, for the work.
    """
    with ThreadPoolExecutor(1, "topwork-prefetch", torch.set_num_threads, (threads,)) as pool:
        waiting = deque[tuple[T, Future[R]]]()
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > MAX_WAITING:
                    yield _done(waiting)
            while waiting:
                yield _done(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _done(waiting: deque[tuple[T, Future[R]]]) -> tuple[T, R]:
    item, future = waiting.popleft()
    return item, future.result()
