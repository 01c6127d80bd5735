"""The base class of a strategy, what it returns, and what several strategies share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.backbones.param_groups import layer_groups
from topwork.core.artifacts import EpochRecord, Splits
from topwork.core.predictions import scaled_softmax
from topwork.core.seeds import epoch_permutation
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import Targets
from topwork.training.context import RunContext
from topwork.training.image_task import Classifier, NetworkOutputs
from topwork.training.loop import Batch
from topwork.training.search_space import Space
from topwork.training.state import TrainState

HEAD_BATCH = 32  # rows that a head is run on at once: the last bits of a product depend on their number


@dataclass(frozen=True)
class TrainedStrategy:
    """A trained strategy.

    Attributes:
        scores: From ``val`` or ``test`` to the scores float (N, K) of its images; called for ``test`` once.
        tensors: Of the head; of network and head if the network was trained.
        trained: Numbers of trained tensors and of trained parameters.
        selection: What was selected, and how well it did on the images that selected it.
        seconds: Training time without the computing of features.
        kind: ``"logit"`` or ``"margin"``.
        history: Its epochs, if it has any.
        notes: What a reader of the metrics should know.
        features: Of a trained network: from a split and row numbers (None for all) to features float32 (N, D).
        passes: Images that went through the backbone; None: those of the training and validation sets, once.
        parameters: Of a trained network: numbers of all tensors and parameters, those of frozen stages included.
        out_of_fold: Scores float (N, K) of the training images and then of the validation images, each by a fit without
            it and its unit; None: it was fitted on the training images alone.
        folds: Number of these fits.
        mirrored: Whether features, in predictions too, are means over an image and its mirror image.
    """

    scores: Callable[[str], np.ndarray]
    tensors: dict[str, torch.Tensor]
    trained: tuple[int, int]
    selection: dict[str, str | int | float]
    seconds: float
    kind: str = "logit"
    history: list[EpochRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    features: Callable[[str, np.ndarray | None], np.ndarray] | None = None
    passes: int | None = None
    parameters: tuple[int, int] | None = None
    out_of_fold: np.ndarray | None = None
    folds: int = 0
    mirrored: bool = False

    def held_out(self, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
        """Scores float (N, K) and labels of the images that choose and calibrate, by fits that have not seen them."""
        if self.out_of_fold is None:
            return self.scores("val"), splits.labels["val"]
        return self.out_of_fold, np.concatenate([splits.labels["train"], splits.labels["val"]])

    @property
    def trains_network(self) -> bool:
        """Whether the weights of the backbone were trained, so that they are among the tensors."""
        return self.features is not None


class Strategy(ABC):
    """A way of transferring a backbone to labelled images.

    Attributes:
        name: Of the strategy and of its file.
        Config: The class of its settings.
        search: The settings that ``--trials`` samples.
    """

    name: str
    Config: type[Any]
    search: Space

    def resolve(self, config: Any, context: RunContext) -> Any:
        """The settings with a number for every ``auto``; may time a few steps."""
        return config

    def ordinary_epochs(self, images: int) -> int | None:
        """Epochs for a number of training images without a limit of time or a request; None without epochs."""
        return None

    @abstractmethod
    def fit(self, config: Any, context: RunContext) -> TrainedStrategy:
        """Train, select on images that were held out, never on the test set; resume what was interrupted."""

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """The layers from features (B, D) to scores (B, K), differentiable, from the head's tensors in a bundle."""
        classes, features = tensors["weight"].shape
        head = nn.Linear(features, classes)
        head.load_state_dict(tensors)
        return head

    def calibration(self, tensors: dict[str, torch.Tensor]) -> float:
        """Slope of ``scaled_softmax`` that turns scores into probabilities."""
        return 1.0

    def probabilities(
        self, scores: np.ndarray, tensors: dict[str, torch.Tensor], temperature: float = 1.0
    ) -> np.ndarray:
        """Scores (N, K) to probabilities float64 (N, K); ``tensors`` as for ``head``."""
        with np.errstate(over="ignore", invalid="ignore"):  # of a damaged model; readers check that they are finite
            return scaled_softmax(scores / temperature, self.calibration(tensors))

    def probability_layer(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """``probabilities`` as a layer, for graphs that are exported: scores (B, K) to probabilities (B, K)."""
        return _ScaledSoftmax(self.calibration(tensors))


class _ScaledSoftmax(nn.Module):
    """``scaled_softmax`` of scores (B, K) as a layer."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return (self.slope * scores).softmax(dim=1)


def head_scores(head: nn.Module, features: np.ndarray) -> np.ndarray:
    """Scores float64 (N, K) of features float32 (N, D), on the CPU, in evaluation and in prediction.

    The head runs on batches of one shape, so that an image's scores do not depend on the other images.
    """
    head = head.cpu().eval()
    rows = torch.from_numpy(np.ascontiguousarray(features))
    padded = functional.pad(rows, (0, 0, 0, -len(rows) % HEAD_BATCH))
    with torch.inference_mode():
        return torch.cat([head(batch).double() for batch in padded.split(HEAD_BATCH)])[: len(rows)].numpy()


def split_scores(
    head: nn.Module, context: RunContext, out_of_fold: np.ndarray | None = None
) -> Callable[[str], np.ndarray]:
    """``TrainedStrategy.scores`` of a head on the features of the frozen backbone."""

    def scores(split: str) -> np.ndarray:
        if split == "val" and out_of_fold is not None:
            return out_of_fold[len(context.splits.ids["train"]) :]
        return head_scores(head, context.features.load(split))

    return scores


def trained_network(
    model: nn.Module, state: TrainState, config: ImageTrainingConfig, context: RunContext, notes: list[str]
) -> TrainedStrategy:
    """The result of training a ``Classifier`` on images, with the weights of the kept epoch."""
    outputs, epochs = NetworkOutputs(model, context, config.flip != "none" and config.tta), len(state.history)
    return TrainedStrategy(
        scores=outputs.scores,
        tensors=model.state_dict(),
        trained=count_parameters([p for p in model.parameters() if p.requires_grad]),
        parameters=count_parameters(list(model.parameters())),
        selection={"epoch": state.kept_epoch, "epochs trained": epochs},
        seconds=state.seconds,
        history=state.history,
        notes=notes,
        features=outputs.features,
        passes=epochs * sum(len(context.splits.ids[split]) for split in ("train", "val")),
        mirrored=outputs.mirrored,
    )


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


class CachedBatches:
    """Training batches of cached inputs, in another random order every epoch.

    Args:
        load: From an epoch to a function that gives the inputs (B, ...) of row numbers (B,).
        targets: Of the training images, (N,).
        batch_size: At most N are used; an incomplete last batch is dropped.
        seed: Of the run.
    """

    def __init__(
        self, load: Callable[[int], Callable[[np.ndarray], torch.Tensor]], targets: Targets, batch_size: int, seed: int
    ) -> None:
        self._load, self._targets, self._seed = load, targets, seed
        self._size = min(batch_size, len(targets))

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._targets) // self._size

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Inputs and targets of the steps ``first``, ``first + 1``, ... of an epoch."""
        inputs, order = self._load(epoch), epoch_permutation(self._seed, epoch, len(self._targets))
        for step in range(first, len(self)):
            rows = order[step * self._size : (step + 1) * self._size]
            yield inputs(rows), self._targets[rows]
