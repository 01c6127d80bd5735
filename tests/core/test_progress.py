"""Progress as lines of text."""

from __future__ import annotations

import time

import pytest

from topwork.core.progress import Progress


def test_the_first_units_do_not_lengthen_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines, progress = [100.0], list[str](), Progress()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "_print", lines.append)
    with progress.track("scratch", 52, "steps", done=2) as bar:
        for seconds in (200.0, 10.0, 10.0, 10.0):  # the first compiles
            clock[0] += seconds
            bar.advance()
    assert lines == ["  scratch: 4 of 52 steps, about 8 min 00 s left"]
