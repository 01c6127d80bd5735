"""``benchmarks/gpu.py`` runs on a CPU as far as it can, so that it does not fail on the first GPU that it meets."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import gpu


@pytest.mark.filterwarnings("ignore")
def test_parts_pass_on_a_cpu(tmp_path: Path) -> None:
    rows = gpu.run_all("cpu", True, tmp_path, ("--minutes", "one process of a group"))
    assert [(name, passed) for name, passed, _ in rows] == [("--minutes", True), ("one process of a group", True)]


def test_a_part_that_fails_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: gpu.Setup) -> str:
        raise RuntimeError("no such device")

    monkeypatch.setitem(gpu.PARTS, "--minutes", fail)
    [(_, passed, found)] = gpu.run_all("cpu", True, tmp_path, ("--minutes",))
    assert not passed
    assert found.startswith("RuntimeError: no such device")
