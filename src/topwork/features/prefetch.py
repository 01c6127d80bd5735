"""A thread that computes one item while the caller loads the next and uses the previous one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TypeVar

import torch

from topwork.data.decoder_pool import in_order

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
    with (
        ThreadPoolExecutor(1, "topwork-prefetch", torch.set_num_threads, (threads,)) as pool,
        closing(in_order(partial(pool.submit, work), items, MAX_WAITING + 1)) as submitted,
    ):
        for item, future in submitted:
            yield item, future.result()
