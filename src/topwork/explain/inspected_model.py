"""A network with its head, classes and preprocessing, as all analyses take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from topwork.backbones import build
from topwork.backbones.classifier import load_pretrained_classifier
from topwork.backbones.weights import find_weights
from topwork.bundle.network import load_network
from topwork.compute.devices import move
from topwork.core.artifacts import InputSpec
from topwork.core.errors import UsageError
from topwork.core.predictions import softmax
from topwork.data.transforms import eval_transform, normalize
from topwork.strategies import STRATEGIES, load
from topwork.strategies.mirrored import MirroredBackbone

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class InspectedModel:
    """A network in eval mode, float32.

    Attributes:
        network: ``"pretrained"`` for strategies with a frozen backbone, else the strategy's name. Models with equal
            ``network`` have equal weights in the backbone.
        backbone: Normalized images (B, 3, S, S) to features (B, D).
        head: Features (B, D) to scores (B, K); None without classes.
        model: timm name.
        score_type: Output of the head, ``"logit"`` or ``"margin"``.
        probabilities: Scores float64 (B, K) to probabilities.
        mirrored: Whether predictions are by features that are means over an image and its mirror image.
    """

    name: str
    network: str
    backbone: nn.Module
    head: nn.Module | None
    classes: tuple[str, ...]
    spec: InputSpec
    model: str
    score_type: str
    probabilities: Callable[[np.ndarray], np.ndarray]
    mirrored: bool = False

    @property
    def device(self) -> torch.device:
        """The device of the backbone."""
        return next(self.backbone.parameters()).device

    def inputs(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Decoded images as normalized images (B, 3, S, S)."""
        pixels = torch.stack([eval_transform(image, self.spec) for image in images])
        return normalize(pixels, self.spec, self.device)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) of normalized images (B, 3, S, S).

        Raises:
            UsageError: There are no classes.
        """
        if self.head is None:
            raise UsageError(f"{self.model} has no classifier, only features. The command train trains one.")
        return self.head(self.backbone(x))

    def predicted_scores(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) as ``predict`` has them; ``score`` is of the images as they are, as explanations need it."""
        if not self.mirrored:
            return self.score(x)
        return replace(self, backbone=MirroredBackbone(self.backbone)).score(x)


def load_run(run: str | Path, device: torch.device | str = "cpu") -> InspectedModel:
    """The trained network of one run.

    Raises:
        DataError: The folder is not a run, or the run has not finished.
    """
    network, bundle = load_network(Path(run) / "model")
    move(network, device)
    strategy = load(bundle.strategy)
    return InspectedModel(
        bundle.strategy,
        bundle.strategy if STRATEGIES[bundle.strategy].trains_network else PRETRAINED,
        network.backbone,
        network.head,
        bundle.classes,
        bundle.input_spec,
        bundle.model,
        str(bundle.metadata["score_type"]),
        lambda scores: strategy.probabilities(scores, bundle.head, bundle.temperature),
        bundle.mirrored,
    )


def backbone_model(
    model: str, weights: str = "pretrained", img_size: int | None = None, device: torch.device | str = "cpu"
) -> tuple[InspectedModel, str]:
    """A backbone without training here, with its pretrained classifier if there is one.

    Args:
        model: timm name.
        weights: ``"pretrained"``, ``"random"``, or a file.
        img_size: Side of the input; None for the side that the weights were trained with.

    Returns:
        The model, and a description of its weights.

    Raises:
        UnknownName: timm has no such model.
        WeightsError: The weights are not available or do not fit.
    """
    source = None if weights == "random" else find_weights(model, weights)
    backbone = build.create(model, source, img_size)
    head, classes = load_pretrained_classifier(backbone, source) or (None, ())
    name = "random weights" if source is None else PRETRAINED
    if head is not None:
        head.to(device)
    module = backbone.module.to(device)
    return InspectedModel(name, name, module, head, classes, backbone.spec, model, "logit", softmax), backbone.summary
