"""What is looked into: a network with its head, its classes and what it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from topwork.artifacts import InputSpec
from topwork.data.transforms import eval_pixels, normalise
from topwork.strategies import STRATEGIES
from topwork.use.network import load_network

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Subject:
    """A network in eval mode, float32.

    Attributes:
        name: Of the strategy.
        network: Which weights the backbone has: ``"pretrained"`` for strategies with a frozen one, else the strategy's
            name. Subjects with equal ``network`` see the same in every layer.
        backbone: Normalised images (B, 3, S, S) to features (B, D).
        head: Features (B, D) to scores (B, K).
        classes: Names, (K,).
        spec: What the network is fed.
        model: timm name.
        scores: What the head gives: ``"logit"`` or ``"margin"``.
    """

    name: str
    network: str
    backbone: nn.Module
    head: nn.Module
    classes: tuple[str, ...]
    spec: InputSpec
    model: str
    scores: str

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.backbone.parameters()).device

    def inputs(self, photos: Sequence[Image.Image]) -> torch.Tensor:
        """Decoded photos as the normalised images (B, 3, S, S) that the network is fed."""
        pixels = torch.stack([eval_pixels(photo, self.spec) for photo in photos])
        return normalise(pixels, self.spec, self.device)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) of normalised images."""
        return self.head(self.backbone(x))


def run_subject(run: Path, device: torch.device | str = "cpu") -> Subject:
    """The trained network of one run.

    Raises:
        DataError: The folder is no run, or the run has not finished.
    """
    network, bundle = load_network(run / "model")
    network.to(device)
    return Subject(
        bundle.strategy,
        bundle.strategy if STRATEGIES[bundle.strategy].on_images else PRETRAINED,
        network.backbone,
        network.head,
        bundle.classes,
        bundle.spec,
        bundle.model,
        str(bundle.details["scores"]),
    )
