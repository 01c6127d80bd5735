"""Resolve ``auto`` in the settings of an image training: epochs, size of the crops, compilation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.compute.devices import has_compiler
from topwork.core.errors import UsageError
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.transforms import normalize
from topwork.training.context import RunContext
from topwork.training.image_task import EVAL_BATCH
from topwork.training.loop import TrainingTask, make_optimizer

COMPILE_MIN_SAMPLES = (
    100_000  # compiling takes a minute or two and saves 1.5 to 5 ms per image: docs/explanation/speed.md
)
SAMPLES_SEEN = 60_000  # images in all epochs together
C = TypeVar("C", bound=ImageTrainingConfig)


def resolve(
    config: C,
    context: RunContext,
    new_task: Callable[[C], TrainingTask],
    limits: tuple[int, int],
    cpu_minutes: tuple[float, float],
) -> C:
    """Turn ``auto`` into numbers.

    Args:
        config: Settings that may contain ``auto``.
        new_task: Builds a task that is used for timing and thrown away.
        limits: Minimum and maximum epochs that ``auto`` gives.
        cpu_minutes: The time budget on a CPU if neither epochs nor minutes are set, and a longer one for the minimum of
            epochs.

    Raises:
        UsageError: The network does not accept crops of the requested size.
    """
    on_cpu = context.compute.device.type == "cpu"
    config = config.model_copy(update={"train_size": _train_size(config, context)})
    epochs = _epochs(config, context, new_task, limits, cpu_minutes if on_cpu else None)
    compiling = config.compile
    if compiling == "auto":
        long = epochs * len(context.splits.ids["train"]) >= COMPILE_MIN_SAMPLES
        compiling = on_cpu and not context.compute.fsdp and has_compiler() and long
    return config.model_copy(update={"epochs": epochs, "compile": compiling})


def _train_size(config: ImageTrainingConfig, context: RunContext) -> int:
    size, own = config.train_size, context.spec.size
    if size == "auto":  # objects look larger in crops than in evaluation anyway: Touvron et al. 2019, 1906.06423
        smaller = context.compute.device.type == "cpu" and context.backbone.dynamic_size
        size = max(32, round(own * 6 / 7 / 32) * 32) if smaller else own
    first = config.resize_from or size
    if not context.backbone.dynamic_size and {size, first} != {own}:
        raise UsageError(
            f"This network accepts images of {own} px only; train_size = {size} and resize_from = {config.resize_from} "
            "do not match. Remove both, or use --img-size."
        )
    if first > size:
        raise UsageError(f"resize_from = {first} is larger than train_size = {size}. Use a smaller resize_from.")
    return size


def _epochs(
    config: C,
    context: RunContext,
    new_task: Callable[[C], TrainingTask],
    limits: tuple[int, int],
    cpu_minutes: tuple[float, float] | None,
) -> int:
    requested = None if config.epochs == "auto" else config.epochs
    default = auto_epochs(len(context.splits.ids["train"]), *limits)
    if config.minutes is None and (requested or cpu_minutes is None):
        return requested or default
    start = time.monotonic()
    seconds = seconds_per_epoch(new_task(config), config, context)
    spent = time.monotonic() - start

    def affordable(minutes: float) -> int:
        return max(1, int((minutes * 60 - spent) / seconds))

    if config.minutes:
        return min(requested or affordable(config.minutes), affordable(config.minutes))
    assert cpu_minutes
    usual, longest = map(affordable, cpu_minutes)
    return min(default, max(usual, min(limits[0], longest)))


def auto_epochs(images: int, min_epochs: int, max_epochs: int) -> int:
    """Epochs that show about ``SAMPLES_SEEN`` images of a training set, within limits."""
    return max(min_epochs, min(max_epochs, math.ceil(SAMPLES_SEEN / max(1, images))))


def seconds_per_epoch(task: TrainingTask, config: ImageTrainingConfig, context: RunContext, steps: int = 4) -> float:
    """Time a few training steps and evaluation batches of a throw-away task; seconds per epoch.

    One process of several may do this alone: layers that would exchange their statistics do not.
    """
    compute = context.compute
    optimizer = make_optimizer(task.groups, config)
    (task.train_mode or task.model.train)()
    for module in task.model.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.eval()
    prefetched = 0 if compute.device.type == "cpu" else 2 * compute.workers  # batches that are there at once
    durations, start = [], time.monotonic()
    for step, batch in zip(range(prefetched + steps + 1), task.batches.epoch(1), strict=False):
        x, target = task.prepare(batch, step)
        with context.compute.autocast():
            logits = (task.forward or task.model)(x)
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        compute.synchronize()
        now = time.monotonic()
        durations.append(now - start)
        start = now
    per_step = float(np.mean(durations[1:][-steps:] or durations))  # the first step also warms up
    pixels = torch.zeros(EVAL_BATCH, 3, context.spec.size, context.spec.size, dtype=torch.uint8)
    task.model.eval()
    with torch.inference_mode(), context.compute.autocast():
        x = normalize(pixels, context.spec, context.compute.device)
        task.model(x)
        compute.synchronize()
        start = time.monotonic()
        task.model(x)
        compute.synchronize()
    per_eval = time.monotonic() - start
    return per_step * len(task.batches) + per_eval * len(context.splits.ids["val"]) / EVAL_BATCH
