"""A training and an extraction small enough for tests; ``main`` is one of two processes that do them together."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import safetensors.torch
import torch
from tests.commands import redirect_output
from torch import nn
from torch.distributed import checkpoint as dcp

from topwork.backbones import build
from topwork.compute import collectives
from topwork.compute.devices import resolve
from topwork.compute.ranks import world
from topwork.core.config import ComputeConfig, Config, DataConfig
from topwork.core.errors import Interrupted, StorageError
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data import batches
from topwork.data.manifest import build_manifest
from topwork.data.splits import make_split
from topwork.features import FeatureStore
from topwork.strategies.base import param_groups
from topwork.strategies.linear_head import on_main_process
from topwork.training import checkpoint, loop
from topwork.training.checkpoint import ShardedCheckpointStore
from topwork.training.context import RunContext
from topwork.training.image_task import Classifier, image_task, outputs
from topwork.training.state import TrainState

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weighted": {"balance": True, "micro_batches": 2, "ema_decay": 0.9, "epochs": 2},
    "mixed": {"mixup": 0.4, "cutmix": 1.0, "epochs": 2},
}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "lr": 1e-3, "ema_decay": 0.9, "epochs": 2}
SHARDED: dict[str, dict[str, Any]] = {  # trainings whose weights are sharded over the processes
    "sharded-weighted": SETTINGS["weighted"],
    "sharded-adamw": ADAMW,
    "sharded-broken": ADAMW,
    "sharded-taken-over": ADAMW,
}
BATCH = 8
LOGGED = {"batch_size": 2, "epochs": 3}  # no image is left out: their number is even
STOP = 5  # a step in the middle of an epoch


class Small:
    """One training of a tiny network on a folder of photos, wherever it runs."""

    def __init__(self, photos: Path, place: Path, shard: bool = False) -> None:
        self.photos, self.place = photos, place
        compute, _ = resolve(ComputeConfig(device="cpu", precision="float32", threads=1, workers=0))
        self.compute = replace(compute, fsdp=shard)
        self.manifest = build_manifest(DataConfig(path=str(photos), source="folder"), place / f"cache-{world().rank}")
        self.splits = make_split(self.manifest, 0, 0.2, 0.2)
        self.progress = Progress(quiet=True)

    def train(self, name: str, stop: int | None = None, **settings: Any) -> tuple[TrainState, dict[str, torch.Tensor]]:
        """Train, or go on with, what has this name; a signal comes to the last process after a step.

        Returns:
            Where it is, and its weights and logits of test.
        """
        backbone = build.create("test_resnet", None, 32, 1)
        torch.manual_seed(1)
        model = Classifier(backbone.module, nn.Linear(backbone.feature_dim, len(self.splits.classes)))
        known = {"batch_size": BATCH, "train_size": 32, "optimizer": "sgd", "lr": 0.02, "batch_norm": "frozen"}
        balance = settings.pop("balance", False)
        config = ImageTrainingConfig(**{"epochs": 4, "compile": False, **known, **settings})
        rows = tuple(replace(row, weight=1 + i % 3) if balance else row for i, row in enumerate(self.manifest.rows))
        context = RunContext(
            Config(data=DataConfig(path=str(self.photos)), strategies=("scratch",), balance=balance),
            replace(self.manifest, rows=rows), self.splits, self.compute, backbone, cast(Any, None), cast(Any, None),
            self.place / name, self.progress, Signals(),
        )  # fmt: skip
        task, done = image_task(model, param_groups(model, 0.0, 1.0), config, context), 0

        def stop_requested(signals: Signals) -> bool:
            nonlocal done
            done += 1
            if done == stop and world().rank == world().size - 1:
                signals.received = 15
            return collectives.any_stop_requested(signals)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "any_stop_requested", stop_requested)
            state = loop.fit(task, config, context, "small")
        logits = torch.from_numpy(outputs(model, self.splits.ids["test"], context)[0])
        return state, {**model.state_dict(), "test logits": logits}

    def stopped(self, name: str, stop: int, **settings: Any) -> None:
        """``train`` up to a signal."""
        try:
            self.train(name, stop, **settings)
        except Interrupted:
            return
        raise AssertionError("no signal was received")

    def extract(self) -> None:
        """Fill the feature cache, plain and mirrored."""
        backbone = build.create("test_resnet", None, 32, 1)
        store = FeatureStore(
            backbone, self.manifest, self.splits, self.compute, self.place / "features", self.progress, Signals()
        )
        store.engine = "plain"

        def ask() -> dict[str, bytes]:
            for mirrored in (False, True):
                store.load("train", mirrored)
            return {"result": b"done"}

        assert on_main_process(store, ask) == {"result": b"done"}


def note_images(log: list[tuple[int, int]]) -> None:
    """Note the epoch and number of every training image from now on."""
    real = batches._Images.__getitem__

    def noting(self: batches._Images, index: tuple[int, int]) -> torch.Tensor:
        if index[0] != batches.EVALUATION:
            log.append(index)
        return real(self, index)

    batches._Images.__getitem__ = noting  # type: ignore[method-assign]


def cannot_save(place: Path) -> list[str]:
    """What each process logs when the second cannot write, and when it does not see the folder."""
    messages = []
    for fault in ("full", "blind"):
        with pytest.MonkeyPatch.context() as patch:
            if world().rank and fault == "full":
                patch.setattr(dcp.HuggingFaceStorageWriter, "write_data", _full)
            if world().rank and fault == "blind":
                patch.setattr(
                    checkpoint, "receive_broadcast", lambda: [collectives.receive_broadcast()[0] + "-elsewhere"]
                )
            store = ShardedCheckpointStore(place / fault, {}, messages.append)
            with pytest.raises(StorageError) as error:
                store.save({"model.x": torch.zeros(2)}, TrainState(step=1), {}, 0)
            messages.append(str(error.value))
    return messages


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "planted")


def main(photos: Path, out: Path, environment: dict[str, str]) -> None:
    """All that two processes do in the tests, in one start of them."""
    redirect_output(out / f"output-{environment['RANK']}")
    os.environ.update(environment)
    rank = collectives.init_process_group().rank
    small = Small(photos, out)
    losses = {}
    for name, settings in SETTINGS.items():
        state, tensors = small.train(name, **settings)
        losses[name] = [record.train_loss for record in state.history]
        safetensors.torch.save_file(tensors, out / f"{name}-{rank}.safetensors")
    small.stopped("broken", STOP)
    _, tensors = small.train("broken")
    safetensors.torch.save_file(tensors, out / f"broken-{rank}.safetensors")
    sharded = Small(photos, out, shard=True)
    sharded.stopped("sharded-broken", STOP, **ADAMW)
    sharded.stopped("sharded-left", STOP, **ADAMW)
    for name, settings in SHARDED.items():
        state, tensors = sharded.train(name, **settings)
        losses[name] = [record.train_loss for record in state.history]
        safetensors.torch.save_file(tensors, out / f"{name}-{rank}.safetensors")
    small.extract()
    log: list[tuple[int, int]] = []
    note_images(log)
    small.stopped("logged", 11, **LOGGED)
    (out / f"results-{rank}.json").write_text(json.dumps({"losses": losses, "log": log, "cannot": cannot_save(out)}))
    collectives.destroy_process_group()
