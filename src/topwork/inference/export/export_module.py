"""A model bundle as one graph in float32: from decoded pixels of any size to scores and calibrated probabilities."""

from __future__ import annotations

import torch
from torch import nn

from topwork.bundle.format import Bundle
from topwork.bundle.network import build
from topwork.bundle.postprocessing import Decision
from topwork.core.artifacts import InputSpec
from topwork.inference.export.pillow_resize import Resize
from topwork.strategies import load

INPUT, OUTPUTS = "images", ("probabilities", "scores")


class Graph(nn.Module):
    """What is exported.

    Args:
        spec: What the network is fed.
        backbone: Normalised images to features.
        head: Features to scores.
        probabilities: Scores to probabilities.
        temperature: Scores are divided by it first.
        float64: Whether the runtime has it.
    """

    def __init__(
        self,
        spec: InputSpec,
        backbone: nn.Module,
        head: nn.Module,
        probabilities: nn.Module,
        temperature: float,
        float64: bool,
    ) -> None:
        super().__init__()
        self.resize, self.network = Resize(spec, float64), Network(spec, backbone, head, probabilities, temperature)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images uint8 (N, H, W, 3), RGB and upright, to probabilities and scores, float32 (N, K) each."""
        return self.network(self.resize(images))


class Network(nn.Module):
    """The graph after the resize: whole numbers 0..255 as float32 (N, 3, S, S) to probabilities and scores."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, spec: InputSpec, backbone: nn.Module, head: nn.Module, probabilities: nn.Module, temperature: float
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.probabilities = backbone, head, probabilities
        self.temperature = temperature
        self.register_buffer("mean", torch.tensor(spec.mean).mul(255).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).mul(255).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities and scores, float32 (N, K) each."""
        scores = self.head(self.backbone((pixels - self.mean) / self.std))
        return self.probabilities(scores / self.temperature).float(), scores.float()


def graph_of(bundle: Bundle, float64: bool) -> Graph:
    """The graph of a bundle, in eval mode on the CPU, for a runtime with or without float64."""
    backbone, head = build(bundle)
    layer = load(bundle.strategy).probability_layer(bundle.head)
    return Graph(bundle.spec, backbone.module, head, layer, Decision(bundle).temperature, float64).eval()
