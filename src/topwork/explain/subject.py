"""What is looked into: a network with its head, its classes and what it is fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from topwork import backbones
from topwork.bundle.network import load_network
from topwork.core.artifacts import InputSpec
from topwork.core.errors import UsageError
from topwork.data.transforms import eval_pixels, normalise
from topwork.strategies import STRATEGIES, load
from topwork.strategies.base import calibrated, softmax

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Subject:
    """A network in eval mode, float32.

    Attributes:
        name: Of the strategy.
        network: Which weights the backbone has: ``"pretrained"`` for strategies with a frozen one, else the strategy's
            name. Subjects with equal ``network`` see the same in every layer.
        backbone: Normalised images (B, 3, S, S) to features (B, D).
        head: Features (B, D) to scores (B, K); None if there are no classes.
        classes: Names, (K,).
        spec: What the network is fed.
        model: timm name.
        scores: What the head gives: ``"logit"`` or ``"margin"``.
        probabilities: Scores float64 (B, K) to probabilities.
    """

    name: str
    network: str
    backbone: nn.Module
    head: nn.Module | None
    classes: tuple[str, ...]
    spec: InputSpec
    model: str
    scores: str
    probabilities: Callable[[np.ndarray], np.ndarray]

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.backbone.parameters()).device

    def inputs(self, photos: Sequence[Image.Image]) -> torch.Tensor:
        """Decoded photos as the normalised images (B, 3, S, S) that the network is fed."""
        pixels = torch.stack([eval_pixels(photo, self.spec) for photo in photos])
        return normalise(pixels, self.spec, self.device)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) of normalised images.

        Raises:
            UsageError: There are no classes.
        """
        if self.head is None:
            raise UsageError(f"{self.model} has no classes here, only features. Train one: `topwork train DATA`.")
        return self.head(self.backbone(x))


def run_subject(run: str | Path, device: torch.device | str = "cpu") -> Subject:
    """The trained network of one run.

    Raises:
        DataError: The folder is no run, or the run has not finished.
    """
    network, bundle = load_network(Path(run) / "model")
    network.to(device)
    strategy = load(bundle.strategy)
    return Subject(
        bundle.strategy,
        bundle.strategy if STRATEGIES[bundle.strategy].trains_network else PRETRAINED,
        network.backbone,
        network.head,
        bundle.classes,
        bundle.input_spec,
        bundle.model,
        str(bundle.metadata["score_type"]),
        lambda scores: calibrated(strategy, scores, bundle.head, bundle.temperature),
    )


def bare_subject(
    model: str, weights: str = "pretrained", img_size: int | None = None, device: torch.device | str = "cpu"
) -> tuple[Subject, str]:
    """A backbone before any training, with the classifier it was pretrained with if there is one.

    Args:
        model: timm name.
        weights: ``"pretrained"``, ``"random"``, or a file.
        img_size: Side of the input; None for what the weights were trained with.
        device: Where it shall lie.

    Returns:
        The network, and where its weights come from.

    Raises:
        UnknownName: timm has no such model.
        WeightsError: The weights are not there or do not fit.
    """
    backbones.check_name(model)
    source = None if weights == "random" else backbones.find_weights(model, weights)
    backbone = backbones.create(model, source, img_size)
    head, classes = backbones.load_pretrained_classifier(backbone, source) or (None, ())
    name = "random weights" if source is None else PRETRAINED
    if head is not None:
        head.to(device)
    module = backbone.module.to(device)
    return Subject(name, name, module, head, classes, backbone.spec, model, "logit", softmax), backbone.summary
