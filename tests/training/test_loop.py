"""The loop on a tiny task: accumulation, early stopping, failing saves, a loss that is not finite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from topwork.compute.devices import resolve
from topwork.core import seeds
from topwork.core.config import ComputeConfig
from topwork.core.errors import StorageError, TopworkError
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.core.strategy_config import TrainingConfig
from topwork.training import loop
from topwork.training.checkpoint import CheckpointStore
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
    **settings: Any,
) -> tuple[nn.Module, TrainState]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    config = TrainingConfig(**{"epochs": 6, "lr": 0.05, "label_smoothing": 0.0, **settings})
    compute, _ = resolve(ComputeConfig(device="cpu", precision="float32", threads=1))

    def evaluate() -> tuple[float, float]:
        with torch.inference_mode():
            logits = model(X)
        return float(functional.cross_entropy(logits, Y)), float((logits.argmax(1) == Y).float().mean())

    progress = Progress(quiet=True)
    if log is not None:
        progress.log = log.append  # pyrefly: ignore[bad-assignment]
    task = TrainingTask(
        model,
        [{"params": list(model.parameters()), "weight_decay": 0.01, "lr_scale": 1.0}],
        _Batches(),
        lambda batch, _: batch if weights is None else (batch[0], functional.one_hot(batch[1], 2) * weights),
        evaluate,
    )
    context: Any = SimpleNamespace(
        compute=compute, folder=folder, progress=progress, signals=Signals(), seed=0,
        backbone=SimpleNamespace(model="tiny", weights_hash=""), splits=SimpleNamespace(ids={"train": range(24)}),
        on_epoch=lambda _: None,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        if store is not None:
            patch.setattr(loop, "open_store", lambda *_, **__: store)
        return model, fit(task, config, context, "tiny")


def _weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    _, state = _train(tmp_path)
    assert state.best_score[0] > 0.8
    best = max(state.history, key=lambda record: (record.val_accuracy, -record.val_loss))
    assert best.epoch == state.best_epoch
    assert [record.best for record in state.history].count(True) >= 1


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
