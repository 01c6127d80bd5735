"""Worker processes and signals that a terminal or a scheduler sends to all processes of a group."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.drawings import write_folder
from torch.utils.data._utils import signal_handling

from topwork.core.artifacts import InputSpec
from topwork.core.errors import DataError
from topwork.core.image_ref import ImageRef
from topwork.core.signals import STOP_SIGNALS
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import Targets, TrainBatches, eval_batches
from topwork.data.transforms import TrainTransform

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


@pytest.mark.parametrize("workers", [0, 2])
def test_the_workers_of_a_training_evaluate_too(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "stripes", each=4)
    ids = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    refs = {name: ImageRef(str(folder), name) for name in ids}
    train, val = ids[:8], ids[8:]
    started: list[object] = []
    start = BaseProcess.start
    monkeypatch.setattr(BaseProcess, "start", lambda self: (started.append(self), start(self))[1])
    transform = TrainTransform(ImageTrainingConfig(), SPEC, 32, 0)
    batches = TrainBatches(refs, train, Targets(np.zeros(8, np.int64), 3), SPEC, transform, 4, 0, workers, val=val)
    seen = []
    for epoch in (1, 2):
        assert len(list(batches.epoch(epoch))) == 2
        seen.append([x[:count] for x, count in batches.evaluation(val[1:], 2)])
    assert len(started) == workers
    expected = torch.cat([x[:count] for x, count in eval_batches(refs, val[1:], SPEC, 2, 0)])
    assert all(torch.equal(torch.cat(pixels), expected) for pixels in seen)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:300])])
def test_an_image_that_is_lost_while_it_is_read_is_named_in_one_line(
    tmp_path: Path, workers: int, damage: Callable[[Path], object]
) -> None:
    folder = write_folder(tmp_path / "stripes", each=4)
    ids = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    refs = {name: ImageRef(str(folder), name) for name in ids}
    damage(folder / ids[7])
    evaluation = eval_batches(refs, ids, SPEC, 4, workers)
    transform = TrainTransform(ImageTrainingConfig(), SPEC, 32, 0)
    training = TrainBatches(refs, ids, Targets(np.zeros(12, np.int64), 3), SPEC, transform, 4, 0, workers).epoch(1)
    for batches in (evaluation, training):
        with pytest.raises(DataError) as caught:
            list(batches)
        message = str(caught.value)
        assert str(folder / ids[7]) in message
        assert "No such file" in message or "truncated" in message.lower()
        assert len(message.splitlines()) == 1
        assert len(message) < 300
