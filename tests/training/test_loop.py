"""The loop on a tiny task: accumulation, early stopping, failing saves, a loss that is not finite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from topwork.compute.devices import resolve
from topwork.core import seeds, storage
from topwork.core.config import ComputeConfig
from topwork.core.errors import DataError, Interrupted, StorageError, TopworkError
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.core.strategy_config import TrainingConfig
from topwork.training import loop
from topwork.training.checkpoint import CheckpointStore
from topwork.training.epoch_choice import ValMetrics
from topwork.training.image_task import val_metrics
from topwork.training.loop import TrainingTask, fit
from topwork.training.state import TrainState

X = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).long()


class _Batches:
    def __len__(self) -> int:
        return 3

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = seeds.epoch_permutation(0, epoch, 24)
        for step in range(first, 3):
            chunk = order[step * 8 : step * 8 + 8]
            yield X[chunk], Y[chunk]


def _train(
    folder: Path,
    log: list[str] | None = None,
    store: Any = None,
    weights: torch.Tensor | None = None,
    val: Callable[[nn.Module], ValMetrics] = lambda model: val_metrics(model(X).detach(), Y.numpy()),
    signals: Signals | None = None,
    **settings: Any,
) -> tuple[nn.Module, TrainState]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    config = TrainingConfig(**{"epochs": 6, "lr": 0.05, "label_smoothing": 0.0, **settings})
    compute, _ = resolve(ComputeConfig(device="cpu", precision="float32", threads=1))

    progress = Progress(quiet=True)
    if log is not None:
        progress.log = log.append  # pyrefly: ignore[bad-assignment]
    task = TrainingTask(
        model,
        [{"params": list(model.parameters()), "weight_decay": 0.01, "lr_scale": 1.0}],
        _Batches(),
        lambda batch, _: batch if weights is None else (batch[0], functional.one_hot(batch[1], 2) * weights),
        lambda: val(model),
    )
    context: Any = SimpleNamespace(
        compute=compute, folder=folder, progress=progress, signals=signals or Signals(), seed=0,
        backbone=SimpleNamespace(model="tiny", weights_hash=""), splits=SimpleNamespace(ids={"train": range(24)}),
        on_epoch=lambda _: None,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        if store is not None:
            patch.setattr(loop, "open_store", lambda *_, **__: store)
        return model, fit(task, config, context, "tiny")


def _weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_and_knows_the_best_epoch(tmp_path: Path) -> None:
    _, state = _train(tmp_path)
    assert state.best_score[0] > 0.8
    best = max(state.history, key=lambda record: (record.val_accuracy, -record.val_loss))
    assert best.epoch == state.best_epoch


class _Drawn:
    """Validation metrics of 300 images, of which the first few are wrong; remembers the weights of each epoch."""

    def __init__(self, *wrong: int, stop_after: int = 0) -> None:
        self.wrong, self.weights, self.signals, self._stop_after = wrong, [], Signals(), stop_after

    def __call__(self, model: nn.Module) -> ValMetrics:
        wrong = self.wrong[len(self.weights)]
        self.weights.append(_weights(model))
        if len(self.weights) == self._stop_after:
            self.signals.received = 15
        return ValMetrics(wrong / 300, 1 - wrong / 300, np.arange(300) >= wrong)


@pytest.mark.parametrize(
    ("wrong", "kept"),
    [
        ((60, 30, 31), (1, 2, 3)),  # one image worse
        ((60, 30, 60), (1, 2)),  # 30 images worse
        ((60, 30, 60, 32), (1, 2, 4)),
        ((30, 32, 34), (1, 2)),  # worse than the best epoch, although not than the one before
        ((30, 60, 90), (1,)),
    ],
)
def test_the_latest_epoch_that_is_not_worse_than_the_best_is_kept(
    wrong: tuple[int, ...], kept: tuple[int, ...], tmp_path: Path
) -> None:
    drawn = _Drawn(*wrong)
    model, state = _train(tmp_path, epochs=len(wrong), val=drawn)
    assert tuple(record.epoch for record in state.history if record.best) == kept
    assert (state.kept_epoch, state.best_epoch) == (kept[-1], 1 + wrong.index(min(wrong)))
    assert torch.equal(_weights(model), drawn.weights[kept[-1] - 1])


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5])
def test_a_resumed_training_keeps_the_same_epoch_with_the_same_bits(stop_after: int, tmp_path: Path) -> None:
    wrong = (60, 30, 60, 32, 60, 41)
    unbroken, expected = _train(tmp_path / "unbroken", val=_Drawn(*wrong))
    first = _Drawn(*wrong, stop_after=stop_after)
    with pytest.raises(Interrupted):
        _train(tmp_path / "stopped", val=first, signals=first.signals)
    resumed, state = _train(tmp_path / "stopped", val=_Drawn(*wrong[stop_after:]))
    assert state.kept_epoch == 4
    assert replace(state, seconds=0.0) == replace(expected, seconds=0.0)
    assert torch.equal(_weights(resumed), _weights(unbroken))


def test_patience_counts_from_the_best_epoch(tmp_path: Path) -> None:
    _, state = _train(tmp_path, epochs=6, patience=2, val=_Drawn(60, 30, 31, 31, 30, 30))
    assert (len(state.history), state.kept_epoch) == (4, 4)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, {}, print)
    store.save({"model.x": torch.zeros(1)}, TrainState(step=1), {}, 0)
    (path,) = tmp_path.glob("last-*")
    files = {name: storage.read_folder(path, [name])[name] for name in ("state.json", "state.safetensors", "best.json")}
    state = json.loads(files["state.json"])
    storage.remove_folder(path)
    storage.write_folder(path, files | {"state.json": json.dumps(state | {"format": 1}).encode()})
    with pytest.raises(DataError, match=r"saved by an older topwork \(format 1, not 2\)"):
        store.load(torch.zeros)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 3.0])])
def test_micro_batches_add_up_to_the_batch(tmp_path: Path, weights: torch.Tensor | None) -> None:
    whole, _ = _train(tmp_path / "a", weights=weights)
    micro_batches, _ = _train(tmp_path / "b", weights=weights, micro_batches=4)
    torch.testing.assert_close(_weights(whole), _weights(micro_batches), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_optimizer_is_torchs(name: str, tmp_path: Path) -> None:
    model, _ = _train(tmp_path, epochs=1, optimizer=name, lr=0.05, warmup_fraction=0.0, clip_norm=1e9)
    torch.manual_seed(1)
    reference = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(reference.parameters(), lr=0.05, weight_decay=0.01)
    if name == "sgd":  # its weight decay is a term of the gradient
        optimizer = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for x, y in _Batches().epoch(1):
        functional.cross_entropy(reference(x), y).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    torch.testing.assert_close(_weights(model), _weights(reference), atol=1e-6, rtol=1e-5)


def test_patience_ends_a_training_early(tmp_path: Path) -> None:
    _, state = _train(tmp_path, epochs=200, patience=3, lr=0.2)
    assert state.stopped_early
    assert len(state.history) == state.best_epoch + 3


def test_a_save_that_fails_warns_and_the_training_continues(tmp_path: Path) -> None:
    class Full(CheckpointStore):
        def save(self, *_: object) -> None:
            raise StorageError("Cannot write: No space left on device.")

    logged: list[str] = []
    _, state = _train(tmp_path, logged, Full(tmp_path, {}, logged.append))
    assert len(state.history) == 6
    assert sum("not saved" in line for line in logged) == 6


def test_a_loss_that_is_not_finite_stops_and_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(TopworkError, match=r"Lower --lr \(now 1e\+38\)"):
        _train(tmp_path, lr=1e38, optimizer="sgd", clip_norm=1e38)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    model, state = _train(tmp_path)
    again, second = _train(tmp_path)
    assert second.history == state.history
    assert torch.equal(_weights(again), _weights(model))
    assert len(list(tmp_path.glob("checkpoints/last-*"))) == 2
