"""A bundle as one torch module in float32: from decoded pixels of any size to calibrated probabilities and scores."""

from __future__ import annotations

import torch
from torch import nn

from topwork.bundle.format import Bundle
from topwork.bundle.network import build_network
from topwork.inference.export.pillow_resize import Resize
from topwork.strategies import load
from topwork.strategies.mirrored import MirroredBackbone

INPUT_NAME, OUTPUT_NAMES = "images", ("probabilities", "scores")


class ExportModule(nn.Module):
    """What is exported: resize, network, calibration. For a runtime with or without float64."""

    def __init__(self, bundle: Bundle, float64: bool) -> None:
        super().__init__()
        self.resize, self.network = Resize(bundle.input_spec, float64), InferenceModule(bundle)
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images uint8 (N, H, W, 3), RGB and upright, to probabilities and scores, float32 (N, K) each."""
        return self.network(self.resize(images))


class InferenceModule(nn.Module):
    """The part after the resize: integers 0..255 as float32 (N, 3, S, S) to probabilities and scores."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        backbone, head = build_network(bundle)
        self.backbone = MirroredBackbone(backbone.module) if bundle.mirrored else backbone.module
        self.head = head
        self.probabilities = load(bundle.strategy).probability_layer(bundle.head)
        self.temperature = bundle.temperature
        self.register_buffer("mean", torch.tensor(bundle.input_spec.mean).mul(255).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(bundle.input_spec.std).mul(255).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities and scores, float32 (N, K) each."""
        scores = self.head(self.backbone((pixels - self.mean) / self.std))
        return self.probabilities(scores / self.temperature).float(), scores.float()
