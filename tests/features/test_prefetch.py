"""Computing ahead in a thread: the order is kept, few things are held, errors come through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import pytest

from topwork.features.prefetch import MAX_WAITING, prefetch


def test_results_come_in_order_and_few_things_are_taken_before_they_are_needed() -> None:
    taken = 0

    def things() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    def slow(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    for place, (number, made) in enumerate(prefetch(slow, things(), threads=2)):
        assert (number, made) == (place, place * place)
        assert taken <= place + MAX_WAITING + 1
    assert taken == 20


def test_what_the_work_raises_is_raised_at_its_place() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    results = prefetch(work, range(20), threads=1)
    assert [made for _, made in islice(results, 5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
