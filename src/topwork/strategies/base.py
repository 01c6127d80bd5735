"""The protocol of a strategy, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.backbones.param_groups import layer_groups
from topwork.core.artifacts import EpochRecord
from topwork.training.context import RunContext
from topwork.training.image_task import Classifier, NetworkOutputs
from topwork.training.search_space import Space
from topwork.training.state import TrainState

BLOCK = 32  # rows that a head is given at once: the last bits of a product depend on how many there are


@dataclass(frozen=True)
class TrainedStrategy:
    """A trained strategy.

    Attributes:
        scores: Part name to scores float (N, K) in the order of the split; asked for ``test`` once.
        kind: ``"logit"`` or ``"margin"``.
        tensors: What a prediction needs besides the frozen backbone, or with it if ``whole`` is true.
        whole: Whether the backbone's own weights were trained, so that they are among the tensors.
        trained: Parameter tensors and parameters that were trained.
        selection: What val chose.
        history: Epochs, if there are any.
        seconds: Training time without the computing of features.
        notes: What a reader of the figures should know.
        features: If ``whole``: part name and row numbers (None for all) to features float32 (N, D) of its own backbone.
        passes: Images that went through the backbone until the end of training; None for those of train and val, once.
        parameters: If ``whole``: all parameter tensors and parameters, those of frozen stages included.
    """

    scores: Callable[[str], np.ndarray]
    kind: str
    tensors: dict[str, torch.Tensor]
    trains_network: bool
    trained: tuple[int, int]
    selection: dict[str, str | int | float]
    seconds: float
    history: list[EpochRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    features: Callable[[str, np.ndarray | None], np.ndarray] | None = None
    passes: int | None = None
    parameters: tuple[int, int] | None = None


class Strategy(Protocol):
    """A way of transferring a backbone to labelled images."""

    name: str
    Config: type[Any]
    search: Space  # what ``--trials`` tries

    def resolve(self, config: Any, context: RunContext) -> Any:
        """The settings with every ``auto`` turned into a number; may time a few steps."""
        ...

    def fit(self, config: Any, context: RunContext) -> TrainedStrategy:
        """Train on the train part, choose on the val part, or go on where a killed training was."""
        ...

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """What turns features (B, D) into scores (B, K), differentiable, from the head's tensors in a model bundle."""
        ...

    def probabilities(self, scores: np.ndarray, tensors: dict[str, torch.Tensor]) -> np.ndarray:
        """Scores (N, K) to probabilities float64 (N, K) whose rows sum to 1; ``tensors`` as for ``head``."""
        ...

    def probability_layer(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """``probabilities`` as a layer, for graphs that are exported: scores (B, K) to probabilities (B, K)."""
        ...


class CalibratedScores:
    """For strategies whose scores are logits, or become logits by a linear calibration."""

    def calibration(self, tensors: dict[str, torch.Tensor]) -> tuple[float, float]:
        """Slope and offset of ``scaled_softmax`` that make probabilities of scores."""
        return 1.0, 0.0

    def probabilities(self, scores: np.ndarray, tensors: dict[str, torch.Tensor]) -> np.ndarray:
        """The calibrated softmax."""
        return scaled_softmax(scores, *self.calibration(tensors))

    def probability_layer(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """The calibrated softmax."""
        return _ScaledSoftmax(*self.calibration(tensors))


class _ScaledSoftmax(nn.Module):
    """``scaled_softmax`` of scores (B, K) as a layer."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        logits = self.slope * scores
        if self.offset and logits.shape[1] == 2:
            logits = torch.stack([logits[:, 0], logits[:, 1] + self.offset], dim=1)
        return logits.softmax(dim=1)


def scaled_softmax(scores: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Probabilities float64 (N, K): softmax of slope * scores, with the offset added to the second of two classes."""
    logits = slope * scores
    return softmax(logits + np.array([0.0, offset]) if logits.shape[1] == 2 else logits)


def calibrated(
    strategy: Strategy, scores: np.ndarray, tensors: dict[str, torch.Tensor], temperature: float
) -> np.ndarray:
    """The probabilities of scores (N, K) after the temperature that was fitted on the validation set."""
    return strategy.probabilities(scores / temperature, tensors)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float64 (N, K) of logits (N, K)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def head_scores(head: nn.Module, features: np.ndarray) -> np.ndarray:
    """Scores float64 (N, K) of features float32 (N, D), on the CPU and in blocks of one shape.

    Evaluation and prediction both come through here; an image's scores do not depend on what other images there are.

    Args:
        head: From ``Strategy.head``.
        features: Of the images.
    """
    head = head.cpu().eval()
    rows = torch.from_numpy(np.ascontiguousarray(features))
    filled = functional.pad(rows, (0, 0, 0, -len(rows) % BLOCK))
    with torch.inference_mode():
        return torch.cat([head(block).double() for block in filled.split(BLOCK)])[: len(rows)].numpy()


def trained_network(model: nn.Module, state: TrainState, context: RunContext, notes: list[str]) -> TrainedStrategy:
    """The result of training a ``Classifier`` on images, with the weights of the best validation epoch."""
    outputs, epochs = NetworkOutputs(model, context), len(state.history)
    return TrainedStrategy(
        scores=outputs.scores,
        kind="logit",
        tensors=model.state_dict(),
        trains_network=True,
        trained=count_parameters([p for p in model.parameters() if p.requires_grad]),
        parameters=count_parameters(list(model.parameters())),
        selection={"epoch": state.best_epoch, "epochs trained": epochs},
        seconds=state.seconds,
        history=state.history,
        notes=notes,
        features=outputs.features,
        passes=epochs * sum(len(context.splits.ids[split]) for split in ("train", "val")),
    )


def linear_head(tensors: dict[str, torch.Tensor]) -> nn.Linear:
    """The head of a network that was trained whole."""
    classes, features = tensors["weight"].shape
    head = nn.Linear(features, classes)
    head.load_state_dict(tensors)
    return head


def count_parameters(parameters: list[torch.nn.Parameter]) -> tuple[int, int]:
    """Number of tensors and of single parameters."""
    return len(parameters), sum(p.numel() for p in parameters)


def param_groups(model: Classifier, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Parameter groups of a network with a linear head, which learns at the full rate."""
    head = [
        {"params": [model.head.weight], "weight_decay": weight_decay, "lr_scale": 1.0},
        {"params": [model.head.bias], "weight_decay": 0.0, "lr_scale": 1.0},
    ]
    return layer_groups(model.backbone, weight_decay, layer_decay) + head
