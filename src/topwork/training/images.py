"""Training a whole network on images: the task that ``loop.fit`` needs, its evaluation, and the plan of epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.artifacts import InputSpec, Manifest, Split
from topwork.config import ImageTrainingConfig
from topwork.data.batches import TrainBatches, eval_batches
from topwork.data.transforms import Mixer, TrainTransform, normalise
from topwork.devices import Compute, speed_up_training
from topwork.training import schedule
from topwork.training.loop import Batch, Task, make_optimizer

EVAL_BATCH = 32
BN_MOMENTUM = 0.1
C = TypeVar("C", bound=ImageTrainingConfig)


class Classifier(nn.Module):
    """A backbone (B, 3, S, S) -> (B, D) with a head (B, D) -> (B, K)."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) of normalised images (B, 3, S, S)."""
        return self.head(self.backbone(x))


@dataclass(frozen=True)
class ImageData:
    """The images of a run and how they are fed."""

    manifest: Manifest
    split: Split
    spec: InputSpec
    compute: Compute
    seed: int

    def logits(self, model: nn.Module, part: str) -> np.ndarray:
        """Logits of a part in the order of the split, float32 (N, K)."""
        return self.outputs(model, self.split.ids[part])[0]

    def outputs(self, model: nn.Module, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Logits float32 (N, K) and features float32 (N, D) of images by a ``Classifier``."""
        assert isinstance(model, Classifier)
        compute, logits, features = self.compute, [], []
        model.eval()
        with torch.inference_mode(), compute.autocast():
            for pixels, count in eval_batches(self.manifest.root, ids, self.spec, EVAL_BATCH, compute.workers):
                y = model.backbone(normalise(pixels, self.spec, compute.device))
                logits.append(model.head(y)[:count].float().cpu())
                features.append(y[:count].float().cpu())
        return torch.cat(logits).numpy(), torch.cat(features).numpy()


class Answers:
    """What a network that was trained whole says about the parts: each is run through it once.

    Args:
        model: With its final weights.
        data: The images.
    """

    def __init__(self, model: nn.Module, data: ImageData) -> None:
        self._model, self._data = model, data
        self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def _part(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        if part not in self._known:
            self._known[part] = self._data.outputs(self._model, self._data.split.ids[part])
        return self._known[part]

    def scores(self, part: str) -> np.ndarray:
        """Logits float32 (N, K) in the order of the split."""
        return self._part(part)[0]

    def features(self, part: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Features float32 (N, D) of a part, or of some rows of it."""
        if rows is None or part in self._known:
            return self._part(part)[1] if rows is None else self._part(part)[1][rows]
        ids = self._data.split.ids[part]
        return self._data.outputs(self._model, [ids[i] for i in rows])[1]


def balanced(labels: np.ndarray, classes: int, device: torch.device) -> torch.Tensor:
    """Class weights N / (K n_k), float32 (K,)."""
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * np.maximum(counts, 1)), dtype=torch.float32, device=device)


def image_task(model: Classifier, groups: list[dict[str, Any]], config: ImageTrainingConfig, data: ImageData) -> Task:
    """The task of training a classifier, already on its device, on the train part of the data."""
    assert isinstance(config.train_size, int)
    speed_up_training(model, data.compute)
    split, spec, device = data.split, data.spec, data.compute.device
    transform = TrainTransform(config, spec, config.train_size, data.seed)
    mixer = Mixer(config, len(split.classes), data.seed)

    def prepare(batch: Batch, step: int) -> Batch:
        pixels, target = batch
        return mixer(normalise(pixels, spec, device), target.to(device), step)

    def evaluate() -> tuple[float, float]:
        logits = torch.from_numpy(data.logits(model, "val"))
        target = torch.from_numpy(split.labels["val"])
        accuracy = (logits.argmax(1) == target).double().mean()
        return float(functional.cross_entropy(logits.double(), target)), float(accuracy)

    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for module in norms:  # some networks ship a memory of thousands of steps, more than a short training has
        module.momentum = max(BN_MOMENTUM, module.momentum or 0.0)

    def train_mode() -> None:
        model.train()
        for module in norms:
            module.train(config.batch_norm == "update")

    return Task(
        model,
        groups,
        TrainBatches(
            data.manifest.root,
            split.ids["train"],
            split.labels["train"],
            spec,
            transform,
            config.batch_size,
            data.seed,
            data.compute.workers,
        ),
        prepare,
        evaluate,
        balanced(split.labels["train"], len(split.classes), device) if config.class_weights == "balanced" else None,
        train_mode,
    )


def resolve(
    config: C,
    data: ImageData,
    new_task: Callable[[C], Task],
    limits: tuple[int, int],
    cpu_minutes: float,
) -> C:
    """Turn ``auto`` into numbers.

    Args:
        config: Settings with wishes.
        data: What is trained on.
        new_task: Builds a task that is used for timing and thrown away.
        limits: Least and most epochs that ``auto`` gives.
        cpu_minutes: The time budget on a CPU if neither epochs nor minutes were asked for.
    """
    on_cpu = data.compute.device.type == "cpu"
    size = config.train_size
    if size == "auto":  # objects look larger in crops than in evaluation anyway: Touvron et al. 2019, 1906.06423
        size = max(32, round(data.spec.size * 6 / 7 / 32) * 32) if on_cpu else data.spec.size
    config = config.model_copy(update={"train_size": size})
    asked = None if config.epochs == "auto" else config.epochs
    minutes = config.minutes or (cpu_minutes if on_cpu and asked is None else None)
    usual = schedule.auto_epochs(len(data.split.ids["train"]), *limits)
    if minutes is None:
        return config.model_copy(update={"epochs": asked or usual})
    affordable = max(1, int(minutes * 60 / seconds_per_epoch(new_task(config), config, data)))
    most = asked or (affordable if config.minutes else usual)
    return config.model_copy(update={"epochs": min(most, affordable)})


def seconds_per_epoch(task: Task, config: ImageTrainingConfig, data: ImageData, steps: int = 4) -> float:
    """Time a few training steps and evaluation batches of a throw-away task, in seconds for a whole epoch."""
    optimizer = make_optimizer(task.groups, config)
    (task.train_mode or task.model.train)()
    durations, start = [], time.monotonic()
    for step, batch in zip(range(steps + 1), task.batches.epoch(1), strict=False):
        x, target = task.prepare(batch, step)
        with data.compute.autocast():
            logits = task.model(x)
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        now = time.monotonic()
        durations.append(now - start)
        start = now
    per_step = float(np.mean(durations[1:] or durations))  # the first step also warms up
    pixels = torch.zeros(EVAL_BATCH, 3, data.spec.size, data.spec.size, dtype=torch.uint8)
    task.model.eval()
    with torch.inference_mode(), data.compute.autocast():
        x = normalise(pixels, data.spec, data.compute.device)
        task.model(x)
        start = time.monotonic()
        task.model(x)
    per_eval = time.monotonic() - start
    return per_step * len(task.batches) + per_eval * len(data.split.ids["val"]) / EVAL_BATCH
