"""The training loop. Read it from ``fit`` downwards; every strategy that trains by gradient descent goes through it.

Shapes: B images a step, K classes. A step is a pure function of (state, seed, step number), so a training that is
killed and resumed ends bit for bit where the unbroken one ends: same machine, versions and thread count.
"""

from __future__ import annotations

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
from topwork.core.config import TrainingConfig
from topwork.core.errors import StorageError, TopworkError
from topwork.core.progress import Tracker, duration
from topwork.training import schedule
from topwork.training.checkpoint import open_store
from topwork.training.context import RunContext
from topwork.training.data_parallel import Replicas
from topwork.training.state import Averages, Position, Tensors, pack, room, unpack

Batch = tuple[torch.Tensor, torch.Tensor]
UNREAD = 64  # steps of a GPU between two looks at the loss
SAVE_WITHIN = 300.0  # seconds of an epoch that a kill may cost
SAVE_SECONDS = 30.0  # between two checkpoints of a quick training; the last epoch is always saved
CLOCK = 16  # steps between two looks at the time, on which several processes must agree


class Batches(Protocol):
    """Training batches of any epoch, from any step of it."""

    def __len__(self) -> int:
        """Steps of an epoch."""
        ...

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Inputs and targets of the steps ``first``, ``first + 1``, ... of an epoch that counts from 1."""
        ...


@dataclass
class Task:
    """What is trained on what.

    Attributes:
        model: Maps a prepared input (B, ...) to logits (B, K); on its device.
        groups: Parameter groups with ``params``, ``weight_decay`` and ``lr_scale``.
        batches: Training data.
        prepare: Moves a batch to the device and augments it there; gets the step for its randomness.
        evaluate: Loss and accuracy of ``model`` on val.
        class_weights: Of the loss, float32 (K,), or None.
        train_mode: Puts the model into training mode; a strategy keeps layers out of it here.
        forward: What a step runs in place of ``model``, whose parameters it uses: compiled, or a part of it.
        shared: Whether ``batches`` gives each of several processes its share of a batch.
        quick: Whether rank 0 alone trains it, in seconds: no epoch is logged, and few are saved.
    """

    model: nn.Module
    groups: list[dict[str, Any]]
    batches: Batches
    prepare: Callable[[Batch, int], Batch]
    evaluate: Callable[[], tuple[float, float]]
    class_weights: torch.Tensor | None = None
    train_mode: Callable[[], None] | None = None
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None
    shared: bool = False
    quick: bool = False


def fit(task: Task, config: TrainingConfig, context: RunContext, name: str) -> Position:
    """Train until the planned epochs are over or patience is; the model ends with the weights of the best epoch on val.

    Args:
        task: What is trained.
        config: Resolved settings; ``epochs`` is a number.
        context: Of the training; its folder gets the checkpoints.
        name: Of the strategy.

    Raises:
        Interrupted: A signal came; the step was finished and saved.
        TopworkError: The loss is not finite any more.
    """
    return _Training(task, config, context, name).run()


class _Training:
    def __init__(self, task: Task, config: TrainingConfig, context: RunContext, name: str) -> None:
        assert isinstance(config.epochs, int)
        self.task, self.config, self.context, self.name = task, config, context, name
        self.store = open_store(context, name, config, shared=not task.quick)
        self.total = config.epochs * len(task.batches)
        self.replicas = _replicas(task, context.compute)
        self.optimizer = make_optimizer(task.groups, config)
        self.averages = Averages(task.model, config.ema_decay)
        self.position = Position(pieces=config.micro_batches)
        self.best: Tensors = {}
        self.scaler = torch.amp.GradScaler(context.compute.device.type, enabled=context.compute.precision == "float16")
        self._unread: list[torch.Tensor] = []  # losses of steps that a GPU may still be at
        self._saved = self._start = time.monotonic()

    def run(self) -> Position:
        self._restore()
        steps = len(self.task.batches)
        self._start -= self.position.seconds
        with self.context.progress.track(self.name, self.total, "steps", self.position.step) as bar:
            while len(self.position.history) < self.total // steps and not self.position.stopped_early:
                epoch = len(self.position.history) + 1
                self._train_epoch(epoch, self.position.step - (epoch - 1) * steps, bar)
                self._finish_epoch(epoch)
        self.replicas.finish(self.best)
        return self.position

    def _restore(self) -> None:
        checkpoint = self.store.load(partial(room, self.task.model, self.optimizer))
        if checkpoint:
            unpack(checkpoint.tensors, self.task.model, self.optimizer, self.averages)
            self.position, self.best = checkpoint.position, checkpoint.best
            if self.position.scaler:
                self.scaler.load_state_dict(self.position.scaler)
            self.context.progress.log(f"  {self.name}: goes on from step {self.position.step} of {self.total}")

    def _train_epoch(self, epoch: int, first: int, bar: Tracker) -> None:
        (self.task.train_mode or self.task.model.train)()
        for batch in self.task.batches.epoch(epoch, first):
            self._step(batch)
            bar.advance()
            if self._stop_requested():
                self._stop()
            if self.position.step % CLOCK == 0 and self._is_due(SAVE_WITHIN):
                self._save_if_possible()

    def _step(self, batch: Batch) -> None:
        """One optimizer step; a GPU that runs out of memory gets the batch in twice as many pieces, for good."""
        position, config = self.position, self.config
        self._set_rates(position.step)
        x, target = self.task.prepare(batch, position.step)
        while True:
            try:
                torch.manual_seed(seeds.derive_seed(self.context.seed, "step", position.step, *self.replicas.salt))
                loss = self._gradients(x, target)
                break
            except torch.OutOfMemoryError:
                self.replicas.refuse_short_memory()
                if position.pieces >= len(x):
                    raise
                position.pieces *= 2
                self.context.progress.log(f"  {self.name}: memory is short; batches go in {position.pieces} pieces")
        self._unread.append(loss)
        if loss.device.type == "cpu" or len(self._unread) == UNREAD:
            self._read_losses()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.task.model.parameters(), config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.replicas.after_step()
        position.step += 1
        self.averages.update(position.step)

    def _read_losses(self) -> None:
        """Add up the losses of the last steps; on a GPU this waits for them, so it is done seldom."""
        if not self._unread:
            return
        losses, self._unread = self.replicas.mean(torch.stack(self._unread)).tolist(), []
        for loss in losses:
            if not loss < float("inf"):  # also catches NaN
                raise TopworkError(
                    f"{self.name}: the loss became {loss} after step {self.position.step}. Lower --lr (now "
                    f"{self.config.lr:g}) or use --precision float32."
                )
            self.position.loss_sum += loss

    def _set_rates(self, step: int) -> None:
        """The learning rates of a step, which counts from 0."""
        rate = self.config.lr * schedule.factor(step, self.total, self.config.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]

    def _gradients(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Fill the gradients; the loss as a scalar tensor on the device, which nobody waits for."""
        self.optimizer.zero_grad()
        total = torch.zeros((), device=x.device)
        whole = self.replicas.mean(self._weight(target))
        parts = list(zip(x.chunk(self.position.pieces), target.chunk(self.position.pieces), strict=True))
        for number, (part, goal) in enumerate(parts, 1):
            with self.replicas.adding_up(number == len(parts)):
                with self.context.compute.autocast():
                    logits = self.replicas(part)
                loss = self._loss(logits.float(), goal) * (self._weight(goal) / whole)
                self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _loss(self, logits: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy with class indices (B,), or with rows (B, K) that sum to what their image counts."""
        weights, smoothing = self.task.class_weights, self.config.label_smoothing
        if goal.ndim > 1:  # smoothed here: torch would take each row to sum to 1
            goal = torch.lerp(goal, goal.mean(dim=1, keepdim=True), smoothing)
            return functional.cross_entropy(logits, goal, weights)
        return functional.cross_entropy(logits, goal, weights, label_smoothing=smoothing)

    def _weight(self, goal: torch.Tensor) -> torch.Tensor:
        """What images count for in the batch's mean, which divides class indices by the sum of their weights."""
        weights = self.task.class_weights
        if weights is None or goal.ndim > 1:
            return torch.full((), float(len(goal)), device=goal.device)
        return weights[goal].sum()

    def _finish_epoch(self, epoch: int) -> None:
        self._read_losses()
        position, steps = self.position, len(self.task.batches)
        own = {k: v.detach().clone() for k, v in self.task.model.state_dict().items()}
        kept = {k: v.detach().clone() for k, v in self.averages.evaluated().items()}
        self.task.model.load_state_dict(kept)
        self.task.model.eval()
        loss, accuracy = self.task.evaluate()
        self.task.model.load_state_dict(own)
        best = (accuracy, -loss) > position.best_score
        if best:
            position.best_epoch, position.best_score = epoch, (accuracy, -loss)
            self.best = self.replicas.whole(kept)
        self._set_rates(position.step - 1)  # a training that was stopped after its last step has not set them
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        record = EpochRecord(epoch, position.step, position.loss_sum / steps, loss, accuracy, rate, best)
        position.history.append(record)
        position.loss_sum = 0.0
        position.stopped_early = 0 < self.config.patience <= epoch - position.best_epoch
        stop = self._stop_requested()
        over = position.step >= self.total or position.stopped_early
        if stop:
            self._save()  # one that fails is an error here, for 'saved' must be true
        elif over or self._is_due(SAVE_SECONDS if self.task.quick else 0.0):
            self._save_if_possible()
        self._report(record)  # once it is saved: an epoch that was reported is never lost
        if stop:
            self.context.signals.raise_if_stopped()

    def _report(self, record: EpochRecord) -> None:
        self.context.on_epoch(record)
        if self.task.quick:
            return
        done = time.monotonic() - self._start
        left = done / record.step * (self.total - record.step)
        self.context.progress.log(
            f"  {self.name}  epoch {record.epoch}/{self.config.epochs}  train loss {record.train_loss:.3f}  "
            f"val loss {record.val_loss:.3f}  val accuracy {record.val_accuracy:.1%}{' *' if record.best else '  '}  "
            f"{duration(done)}{f', about {duration(left)} left' if record.step < self.total else ''}"
        )

    def _stop_requested(self) -> bool:
        signals = self.context.signals
        return signals.stop_requested() if self.task.quick else any_stop_requested(signals)

    def _stop(self) -> None:
        """Save and leave; a save that fails is an error here, for 'saved' must be true."""
        self._save()
        self.context.signals.raise_if_stopped()

    def _is_due(self, seconds: float) -> bool:
        return self.replicas.any(time.monotonic() - self._saved >= seconds)

    def _save_if_possible(self) -> None:
        """A save that fails keeps the training alive: it warns and tries again at the next occasion."""
        try:
            self._save()
        except StorageError as error:
            self.context.progress.log(f"  {self.name}: not saved: {error} Training goes on.")

    def _save(self) -> None:
        self._read_losses()
        self._saved = time.monotonic()
        self.position.seconds = self._saved - self._start
        self.position.scaler = self.scaler.state_dict()
        tensors = pack(self.task.model, self.optimizer, self.averages)
        best_step = self.position.best_epoch * len(self.task.batches)
        self.store.save(tensors, self.position, self.best, best_step)


def _replicas(task: Task, compute: DeviceContext) -> Replicas:
    if not (task.shared and compute.fsdp):
        return Replicas(task.model, task.forward, task.shared)
    from topwork.training.fully_sharded import Sharded  # half a second to load, and seldom needed

    return Sharded(task.model, task.groups, compute)


def make_optimizer(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or SGD with Nesterov momentum; ``lr_scale`` of a group stays with it."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999), fused=True)
    whole = all(to_local(p) is p for group in groups for p in group["params"])  # torch has no fused SGD for pieces
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=whole)
