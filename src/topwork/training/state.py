"""Everything that a resume needs, as named tensors and JSON.

No random state: every random choice is a function of seed and step (see ``seeds``). No schedule: the learning rate is a
function of the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from topwork.compute.collectives import to_local
from topwork.core.artifacts import EpochRecord
from topwork.core.errors import CorruptFile
from topwork.training.epoch_choice import ValMetrics, pack, unpack

Tensors = dict[str, torch.Tensor]
Allocate = Callable[[str, torch.Size, torch.dtype], torch.Tensor]


@dataclass
class TrainState:
    """Progress of a training.

    Attributes:
        step: Optimizer steps done since the start.
        loss_sum: Sum of the losses of this epoch's steps so far.
        micro_batches: Micro-batches per batch; doubled when a GPU runs out of memory.
        kept_epoch: The epoch whose weights are kept (see ``epoch_choice``); 0 before the first.
        best_epoch: The epoch with the best score; 0 before the first.
        best_score: Its (accuracy, -loss) on the validation set; with another metric that decides, that one first.
        best_correct: Which validation images it classifies correctly, packed; with another metric that decides
            ``ValMetrics.by_image``.
        history: Finished epochs.
        seconds: Time spent in training; the only field that differs between equal trainings.
        stopped_early: Whether patience has run out.
        patient_from: The epoch after which it is counted again, because more epochs were requested when it had run out.
        scaler: State of the float16 loss scaler; empty without one.
    """

    step: int = 0
    loss_sum: float = 0.0
    micro_batches: int = 1
    kept_epoch: int = 0
    best_epoch: int = 0
    best_score: tuple[float, float] = (-1.0, 0.0)
    best_correct: str = ""
    history: list[EpochRecord] = field(default_factory=list)
    seconds: float = 0.0
    stopped_early: bool = False
    patient_from: int = 0
    scaler: dict[str, Any] = field(default_factory=dict)

    def keeps(self, epoch: int, val: ValMetrics) -> bool:
        """Whether an epoch that has just ended replaces the one that was kept; update the best score."""
        first = self.best_epoch == 0 and math.isfinite(val.score[0])
        if first or val.score > self.best_score:
            self.best_epoch, self.best_score, self.best_correct = epoch, val.score, pack(val.by_image)
        elif val.is_worse(unpack(self.best_correct, val.by_image)):
            return False
        self.kept_epoch = epoch
        return True

    @staticmethod
    def from_json(value: dict[str, Any]) -> TrainState:
        """The inverse of ``asdict`` and JSON."""
        history = [EpochRecord(**record) for record in value["history"]]
        return TrainState(**value | {"history": history, "best_score": tuple(value["best_score"])})


class EMA:
    """Exponential moving average of the weights and buffers of a model; the decay rises at the start.

    ``decay`` is in [0, 1); 0 makes the average the model itself.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self.tensors: Tensors = {k: v.detach().clone() for k, v in model.state_dict().items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update after a step, which counts from 1."""
        if not self._decay:
            return
        average = get_ema_multi_avg_fn(min(self._decay, step / (step + 9)))
        state = self._model.state_dict()
        smooth = [name for name, tensor in state.items() if tensor.is_floating_point()]
        average([to_local(self.tensors[name]) for name in smooth], [to_local(state[name]) for name in smooth], step)
        for name in state.keys() - set(smooth):
            self.tensors[name].copy_(state[name])

    def evaluated(self) -> Tensors:
        """What is evaluated and kept: the average, or the model itself."""
        return self.tensors or self._model.state_dict()


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA) -> Tensors:
    """All tensors of a training by name: ``model.*``, ``average.*`` and ``optimizer.<parameter>.*``."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in ema.tensors.items()}
    for i, parameter in enumerate(_parameters(optimizer)):
        tensors |= {f"optimizer.{i}.{k}": v for k, v in optimizer.state.get(parameter, {}).items() if v is not None}
    return {name: tensor.detach() for name, tensor in tensors.items()}


def empty_tensor(
    model: nn.Module, optimizer: torch.optim.Optimizer, name: str, shape: torch.Size, dtype: torch.dtype
) -> torch.Tensor:
    """Allocate the tensor for a name of ``state_tensors``, full shape and dtype; sharded where the model is."""
    kind, _, rest = name.partition(".")
    try:
        if kind == "optimizer":
            like = _parameters(optimizer)[int(rest.partition(".")[0])]
            return torch.empty_like(like) if like.shape == shape else torch.empty(shape, dtype=dtype)
        return torch.empty_like(model.state_dict()[rest])
    except (KeyError, IndexError, ValueError) as error:
        raise CorruptFile(f"The checkpoint does not fit the model: {name}. Use --overwrite to start again.") from error


def load_state_tensors(tensors: Tensors, model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA) -> None:
    """Restore the tensors of ``state_tensors``; a CorruptFile error if they are not those of this model."""
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        for name, tensor in ema.tensors.items():
            tensor.copy_(tensors[f"average.{name}"])
    except (KeyError, RuntimeError) as error:
        raise CorruptFile(f"The checkpoint does not fit the model: {error}. Use --overwrite to start again.") from error
    for i, parameter in enumerate(_parameters(optimizer)):
        prefix = f"optimizer.{i}."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if state:
            optimizer.state[parameter] = {k: _like(v, parameter) for k, v in state.items()}


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """On the parameter's device and in its memory layout, so that kernels run as in the uninterrupted training."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    return value.to(parameter.device, copy=True)
