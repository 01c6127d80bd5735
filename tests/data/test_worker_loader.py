"""Worker processes and signals that a terminal or a scheduler sends to all processes of a group."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.drawings import write_folder
from torch.utils.data._utils import signal_handling

from topwork.core.artifacts import InputSpec
from topwork.core.image_ref import ImageRef
from topwork.core.signals import STOP_SIGNALS
from topwork.data.batches import eval_batches

SPEC = InputSpec(32, 36, "bilinear", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(params=STOP_SIGNALS, ids=lambda number: number.name)
def signalled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A worker gets the signal at the worst moment: torch has set its handlers, and nothing of ours has run."""
    set_handlers: Callable[[], None] = signal_handling._set_worker_signal_handlers

    def at_once() -> None:
        set_handlers()
        os.kill(os.getpid(), request.param)

    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", at_once)
    return request.param


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux only")
def test_a_signal_to_a_worker_that_has_just_begun_kills_nothing(signalled: int, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "stripes")
    ids = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    pixels = [
        x[:count]
        for x, count in eval_batches({name: ImageRef(str(folder), name) for name in ids}, ids, SPEC, 8, workers=2)
    ]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    alone = [
        x[:count]
        for x, count in eval_batches({name: ImageRef(str(folder), name) for name in ids}, ids, SPEC, 8, workers=0)
    ]
    assert torch.equal(torch.cat(pixels), torch.cat(alone))
