"""The training loop. Read it from ``fit`` downwards; every strategy that trains by gradient descent goes through it.

Shapes: B images a step, K classes. A step is a pure function of (state, seed, step number), so a training that is
killed and resumed ends bit for bit where the uninterrupted one ends: same machine, versions and thread count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from topwork.compute.collectives import any_stop_requested, to_local
from topwork.compute.devices import DeviceContext
from topwork.core import seeds
from topwork.core.artifacts import EpochRecord
from topwork.core.errors import StorageError, TrainingFailed
from topwork.core.progress import Tracker, duration
from topwork.core.strategy_config import TrainingConfig
from topwork.evaluation import target_metric
from topwork.training.checkpoint import open_store
from topwork.training.context import RunContext
from topwork.training.data_parallel import DataParallel
from topwork.training.epoch_choice import ValMetrics
from topwork.training.state import EMA, Tensors, TrainState, empty_tensor, load_state_tensors, state_tensors

Batch = tuple[torch.Tensor, torch.Tensor]
LOSS_SYNC_STEPS = 64  # between two reads of the loss on a GPU
MAX_SECONDS_UNSAVED = 300.0  # of an epoch that a kill may lose
MIN_SECONDS_BETWEEN_SAVES = 30.0  # between two checkpoints of a quick training; the last epoch is always saved
TIME_CHECK_STEPS = 16  # between two checks of the time, on which several processes must agree


class Batches(Protocol):
    """Training batches of any epoch, from any step of it."""

    def __len__(self) -> int:
        """Steps of an epoch."""
        ...

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Inputs and targets of the steps ``first``, ``first + 1``, ... of an epoch that counts from 1."""
        ...


@dataclass
class TrainingTask:
    """A model, its data and its parameter groups.

    Attributes:
        model: Maps a prepared input (B, ...) to logits (B, K); on its device.
        groups: Parameter groups with ``params``, ``weight_decay`` and ``lr_scale``.
        batches: Training data.
        prepare: Moves a batch to the device and augments it there; gets the step for its randomness.
        evaluate: Metrics of ``model`` on the validation set, in every process that trains.
        train_mode: Puts the model into training mode; a strategy excludes frozen layers here.
        forward: What a step runs in place of ``model``, whose parameters it uses: compiled, or without frozen stages.
        shared: Whether ``batches`` gives each process its shard of a batch.
        quick: Whether rank 0 alone trains it, in seconds: no epoch is logged, and few are saved.
        models: Number of models in ``model`` that train side by side; logits and targets are then (B, K, models).
    """

    model: nn.Module
    groups: list[dict[str, Any]]
    batches: Batches
    prepare: Callable[[Batch, int], Batch]
    evaluate: Callable[[], ValMetrics]
    train_mode: Callable[[], None] | None = None
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None
    shared: bool = False
    quick: bool = False
    models: int = 1


def fit(task: TrainingTask, config: TrainingConfig, context: RunContext, name: str) -> TrainState:
    """Train until the last epoch or until patience runs out; the model gets the weights of the kept epoch
    (``epoch_choice``).

    ``config`` is resolved, ``name`` that of the strategy. Checkpoints go to the run folder of ``context``.

    Raises:
        Interrupted: A signal was received; the step was finished and saved.
        TopworkError: The loss is no longer finite.
    """
    return _Training(task, config, context, name).run()


class _Training:
    def __init__(self, task: TrainingTask, config: TrainingConfig, context: RunContext, name: str) -> None:
        assert isinstance(config.epochs, int)
        self.task, self.config, self.context, self.name = task, config, context, name
        self.store = open_store(context, name, config, shared=not task.quick)
        self.total = config.epochs * len(task.batches)
        self.parallel = _parallelize(task, context.compute)
        self.optimizer = make_optimizer(task.groups, config)
        self.ema = EMA(task.model, config.ema_decay)
        self.state = TrainState(micro_batches=config.micro_batches)
        self.kept: Tensors = {}
        self.scaler = torch.amp.GradScaler(context.compute.device.type, enabled=context.compute.precision == "float16")
        self._pending_losses: list[torch.Tensor] = []  # of steps that a GPU may not have finished
        self._saved = self._start = time.monotonic()

    def run(self) -> TrainState:
        self._restore()
        steps = len(self.task.batches)
        self._start -= self.state.seconds
        with self.context.progress.track(self.name, self.total, "steps", self.state.step) as bar:
            while len(self.state.history) < self.total // steps and not self.state.stopped_early:
                epoch = len(self.state.history) + 1
                self._train_epoch(epoch, self.state.step - (epoch - 1) * steps, bar)
                self._finish_epoch(epoch)
        self.parallel.finish(self.kept)
        return self.state

    def _restore(self) -> None:
        checkpoint = self.store.load(partial(empty_tensor, self.task.model, self.optimizer))
        if checkpoint:
            tensors, self.state, self.kept = checkpoint
            load_state_tensors(tensors, self.task.model, self.optimizer, self.ema)
            if self.state.scaler:
                self.scaler.load_state_dict(self.state.scaler)
            self.context.progress.log(f"  {self.name}: resuming from step {self.state.step} of {self.total}")

    def _train_epoch(self, epoch: int, first: int, bar: Tracker) -> None:
        (self.task.train_mode or self.task.model.train)()
        for batch in self.task.batches.epoch(epoch, first):
            self._step(batch)
            bar.advance()
            if self._stop_requested():
                self._save()  # a failed save is an error here: the message says that everything is saved
                self.context.signals.raise_if_stopped()
            if self.state.step % TIME_CHECK_STEPS == 0 and self._is_due(MAX_SECONDS_UNSAVED):
                self._save_if_possible()

    def _step(self, batch: Batch) -> None:
        """One optimizer step; a GPU that runs out of memory gets twice as many micro-batches from now on."""
        state, config = self.state, self.config
        self._set_lr(state.step)
        x, target = self.task.prepare(batch, state.step)
        while True:
            try:
                torch.manual_seed(seeds.derive_seed(self.context.seed, "step", state.step, *self.parallel.rank_seed))
                loss = self._gradients(x, target)
                break
            except torch.OutOfMemoryError:
                self.parallel.raise_if_distributed()
                if state.micro_batches >= len(x):
                    raise
                state.micro_batches *= 2
                self.context.progress.log(f"  {self.name}: out of memory: using {state.micro_batches} micro-batches")
        self._pending_losses.append(loss)
        if loss.device.type == "cpu" or len(self._pending_losses) == LOSS_SYNC_STEPS:
            self._read_losses()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.task.model.parameters(), config.clip_norm * math.sqrt(self.task.models))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.parallel.after_step()
        state.step += 1
        self.ema.update(state.step)

    def _read_losses(self) -> None:
        """Add up the losses of the last steps; on a GPU this waits for them, so it is rare."""
        if not self._pending_losses:
            return
        losses, self._pending_losses = self.parallel.mean(torch.stack(self._pending_losses)).tolist(), []
        for loss in losses:
            if not loss < float("inf"):  # also catches NaN
                raise TrainingFailed(
                    f"{self.name}: the loss became {loss} after step {self.state.step}. Lower --lr (now "
                    f"{self.config.lr:g}) or use --precision float32."
                )
            self.state.loss_sum += loss

    def _set_lr(self, step: int) -> None:
        """The learning rates of a step, which counts from 0."""
        rate = self.config.lr * lr_factor(step, self.total, self.config.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]

    def _gradients(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the gradients; the loss as a scalar tensor on the device, without waiting for it."""
        self.optimizer.zero_grad()
        total = torch.zeros((), device=x.device)
        images = self.parallel.mean(torch.full((), float(len(target)), device=x.device))
        count = self.parallel.common_count(self.state.micro_batches, len(x))
        micro_batches = list(zip(x.tensor_split(count), target.tensor_split(count), strict=True))
        for number, (inputs, targets) in enumerate(micro_batches, 1):
            with self.parallel.gradient_sync(number == len(micro_batches)):
                with self.context.compute.autocast():
                    logits = self.parallel(inputs)
                loss = self._loss(logits.float(), targets) * (len(targets) / images)
                self.scaler.scale(loss * self.task.models).backward()  # the loss is the mean over the models
            total += loss.detach()
        return total

    def _loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy with class indices (B,), or probabilities (B, K) whose rows sum to the image weight."""
        smoothing = self.config.label_smoothing
        if target.ndim > 1:  # smoothed here: torch would take each row to sum to 1
            target = torch.lerp(target, target.mean(dim=1, keepdim=True), smoothing)
            return functional.cross_entropy(logits, target)
        return functional.cross_entropy(logits, target, label_smoothing=smoothing)

    def _finish_epoch(self, epoch: int) -> None:
        self._read_losses()
        state, steps = self.state, len(self.task.batches)
        self.optimizer.zero_grad()  # frees them before two copies of the weights are made
        own = {k: v.detach().clone() for k, v in self.task.model.state_dict().items()}
        evaluated = {k: v.detach().clone() for k, v in self.ema.evaluated().items()}
        self.task.model.load_state_dict(evaluated)
        self.task.model.eval()
        val = self.task.evaluate()
        self.task.model.load_state_dict(own)
        kept = state.keeps(epoch, val)
        if kept:
            self.kept = self.parallel.to_cpu(evaluated)
        self._set_lr(state.step - 1)  # a training that was stopped after its last step has not set them
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        target = val.target.value if val.target else None
        record = EpochRecord(epoch, state.step, state.loss_sum / steps, val.loss, val.accuracy, rate, kept, target)
        state.history.append(record)
        state.loss_sum = 0.0
        state.stopped_early = 0 < self.config.patience <= epoch - max(state.best_epoch, state.patient_from)
        stop = self._stop_requested()
        over = state.step >= self.total or state.stopped_early
        if stop:
            self._save()
        elif over or self._is_due(MIN_SECONDS_BETWEEN_SAVES if self.task.quick else 0.0):
            self._save_if_possible()
        self._report(record)  # after the save: a reported epoch is never lost
        if stop:
            self.context.signals.raise_if_stopped()

    def _report(self, record: EpochRecord) -> None:
        self.context.on_epoch(record)
        if self.task.quick:
            return
        worse = "" if record.best else f" (worse than epoch {self.state.best_epoch}: not kept)"
        if record.val_metric is not None:
            metric = self.context.metric
            worse = f"  {target_metric.NAMES[metric]} {target_metric.describe(metric, record.val_metric)}{worse}"
        done = time.monotonic() - self._start
        left = done / record.step * (self.total - record.step)
        self.context.progress.log(
            f"  {self.name}  epoch {record.epoch}/{self.config.epochs}  train loss {record.train_loss:.3f}  "
            f"val loss {record.val_loss:.3f}  val accuracy {record.val_accuracy:.1%}{worse}  "
            f"{duration(done)}{f', about {duration(left)} left' if record.step < self.total else ''}"
        )

    def _stop_requested(self) -> bool:
        signals = self.context.signals
        return signals.stop_requested() if self.task.quick else any_stop_requested(signals)

    def _is_due(self, seconds: float) -> bool:
        return self.parallel.any(time.monotonic() - self._saved >= seconds)

    def _save_if_possible(self) -> None:
        """A failed save is only a warning; the next save tries again."""
        try:
            self._save()
        except StorageError as error:
            self.context.progress.log(f"  {self.name}: not saved: {error} The training continues.")

    def _save(self) -> None:
        self._read_losses()
        self._saved = time.monotonic()
        self.state.seconds = self._saved - self._start
        self.state.scaler = self.scaler.state_dict()
        tensors = state_tensors(self.task.model, self.optimizer, self.ema)
        kept_step = self.state.kept_epoch * len(self.task.batches)
        self.store.save(tensors, self.state, self.kept, kept_step)


def _parallelize(task: TrainingTask, compute: DeviceContext) -> DataParallel:
    if not (task.shared and compute.fsdp):
        return DataParallel(task.model, task.forward, task.shared)
    from topwork.training.fully_sharded import FullySharded  # takes half a second to load

    return FullySharded(task.model, task.groups, compute)


def lr_factor(step: int, total: int, warmup: float) -> float:
    """Factor in (0, 1] of the peak learning rate: a linear rise, then half a cosine to 0 (Loshchilov & Hutter 2017).

    A pure function of the step, so that a resume has nothing to restore.

    Args:
        step: From 0 to ``total`` - 1.
        total: All steps of the training.
        warmup: Fraction of the steps in which the rate rises.
    """
    warmup_steps = round(total * warmup)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total - warmup_steps)))


def make_optimizer(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or SGD with Nesterov momentum; ``lr_scale`` of a group stays with it."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999), fused=True)
    fused = all(to_local(p) is p for group in groups for p in group["params"])  # torch has no fused SGD for DTensors
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=fused)
