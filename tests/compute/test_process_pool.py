"""Commands at once: never more than there are places, and none that outlives the failure of another."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from topwork.compute import process_pool
from topwork.core.errors import Interrupted, ProcessFailed
from topwork.core.signals import Signals

BUSY = "import sys, time; a = time.time(); time.sleep(0.2); open(sys.argv[1], 'w').write(f'{a} {time.time()}')"
DEAF = "import time; time.sleep(60)"


def test_no_more_than_there_are_places_run_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    places: dict[str, int] = {}

    def words(title: str, place: int) -> list[str]:
        places[title] = place
        return [sys.executable, "-c", BUSY, str(tmp_path / title)]

    done: list[str] = []
    process_pool.run(list("abcde"), words, 2, Signals(), said.append, done.append)
    assert sorted(done) == list("abcde")
    times = {title: [float(t) for t in (tmp_path / title).read_text().split()] for title in "abcde"}
    for title, (start, end) in times.items():
        beside = [t for t, (a, b) in times.items() if t != title and a < end and b > start]
        assert not [t for t in beside if places[t] == places[title]]
    assert set(places.values()) == {0, 1}
    assert [line[0] for line in said] == list("abcde")


@pytest.mark.parametrize(("end", "status"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 1)])
def test_the_failure_of_one_ends_all(end: str, status: int) -> None:
    started = []

    def words(title: str, place: int) -> list[str]:
        started.append(title)
        return [sys.executable, "-c", DEAF if title == "deaf" else f"import os, sys; {end}"]

    start = time.monotonic()
    with pytest.raises(ProcessFailed) as caught:
        process_pool.run(["deaf", "bad", "never"], words, 2, Signals("topwork again"), lambda line: None)
    assert time.monotonic() - start < 30
    assert caught.value.exit_status == status
    assert ("SIGKILL. Resume with: topwork again" in str(caught.value)) == (status == 1)
    assert started == ["deaf", "bad"]


def test_a_wish_to_stop_reaches_all() -> None:
    signals = Signals("topwork again")
    signals.received = 15
    with pytest.raises(Interrupted, match="topwork again"):
        process_pool.run(["a", "b"], lambda title, place: [sys.executable, "-c", DEAF], 2, signals, lambda line: None)
