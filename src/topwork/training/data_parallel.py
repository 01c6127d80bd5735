"""One model on several devices: gradients, losses and BatchNorm statistics are those of the complete batch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from topwork.compute import collectives
from topwork.compute.ranks import World, world
from topwork.core.errors import TopworkError
from topwork.training.state import Tensors

Forward = Callable[[torch.Tensor], torch.Tensor]


class DataParallel:
    """Data parallelism (DDP): replicas of a model on shards of each batch; with one process, the model itself.

    Args:
        model: On the device of this process.
        forward: What a step runs in place of it, with its parameters; None for the model itself.
        shared: Whether batches are sharded by rank; if not, every process trains on the same batches.
    """

    def __init__(self, model: nn.Module, forward: Forward | None, shared: bool) -> None:
        self.world = world() if shared else World()
        self._model, self.forward = model, self._wrap(model, forward or model)
        self._statistics = [
            value
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, nn.SyncBatchNorm)
            for value in (module.running_mean, module.running_var)
            if value is not None
        ]

    def _wrap(self, model: nn.Module, forward: Forward) -> Forward:
        """The forward pass whose gradients are averaged over all processes."""
        if self.world.size == 1:
            return forward
        # find_unused_parameters also keeps the order of the sums as in step 1; without it a resumed training
        # would add up in another order than an uninterrupted one
        run = _Run(model, forward)
        return DistributedDataParallel(run, find_unused_parameters=True, forward_sync_buffers=False)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the images of this process."""
        if self.world.size == 1:
            return self.forward(x)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "find_unused_parameters=True was specified")
            return self.forward(x)

    @property
    def rank_seed(self) -> tuple[int, ...]:
        """Added to the seed of a step; empty for rank 0, which draws as a single process does."""
        return (self.world.rank,) if self.world.rank else ()

    def gradient_sync(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """The context of a micro-batch: gradients are exchanged with the last one only."""
        if isinstance(self.forward, DistributedDataParallel) and not last:
            return self.forward.no_sync()
        return contextlib.nullcontext()

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Over the processes; a floating-point tensor of one shape."""
        return collectives.all_reduce_mean(value) if self.world.size > 1 else value

    def common_count(self, requested: int, images: int) -> int:
        """Number of micro-batches: the same in every process, also if one has fewer images than others."""
        if requested == 1 or self.world.size == 1:
            return min(requested, images)
        return min(requested, -collectives.all_reduce_max(-images))

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return bool(collectives.all_reduce_max(int(flag))) if self.world.size > 1 else flag

    def raise_if_distributed(self) -> None:
        """Several processes cannot repeat a step with more micro-batches: only one has run out of memory."""
        if self.world.size > 1:
            raise TopworkError(
                "A device is out of memory. Start a new run with a smaller --batch-size or more micro-batches (--set "
                "finetune.micro_batches=2), or use more devices."
            )

    def to_cpu(self, tensors: Tensors) -> Tensors:
        """Tensors of this model on the CPU."""
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def finish(self, kept: Tensors) -> None:
        """Load the final weights."""
        self._model.load_state_dict(kept)

    def after_step(self) -> None:
        """Running statistics become the mean of what each process saw, where BatchNorm itself is not synchronized."""
        if self.world.size == 1 or not self._statistics:
            return
        together = collectives.all_reduce_mean(torch.cat(self._statistics))
        for own, common in zip(self._statistics, together.split([len(s) for s in self._statistics]), strict=True):
            own.copy_(common)


class _Run(nn.Module):
    """A forward pass as a module, which DistributedDataParallel needs."""

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model, self._forward = model, forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(x)
