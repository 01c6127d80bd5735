"""A model bundle as a network that can be run, and its inference time."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from topwork.backbones import build
from topwork.bundle.format import Bundle, read_bundle
from topwork.compute.devices import DeviceContext
from topwork.core.errors import CorruptFile
from topwork.strategies import load
from topwork.strategies.mirrored import MirroredBackbone
from topwork.training.image_task import Classifier

TIMED_BATCH, REPEATS, TIME_BUDGET = 32, 5, 1.0  # images, batches, seconds


def build_network(bundle: Bundle) -> tuple[build.Backbone, nn.Module]:
    """The networks of a bundle, in eval mode on the CPU.

    Returns:
        The backbone, normalized images (B, 3, S, S) to features (B, D), and the head, features to scores (B, K).

    Raises:
        CorruptFile: The tensors are not those of such a network.
    """
    on_hub, members = bundle.metadata.get("on_hub"), bundle.metadata.get("members") or ()
    backbone = build.restore(bundle.model, bundle.backbone, bundle.input_spec, on_hub, members)
    return backbone, _head(bundle, backbone.feature_dim)


def _head(bundle: Bundle, features: int) -> nn.Module:
    """The head of a bundle, whose tensors need not be those of a head: it runs once."""
    try:
        strategy = load(bundle.strategy)
        head = strategy.head(bundle.head).eval()
        with torch.inference_mode():
            scores = head(torch.zeros(1, features)).double()
        probabilities = strategy.probabilities(scores.numpy(), bundle.head, bundle.temperature)
        neighbours = bundle.neighbours
        if (
            scores.shape == probabilities.shape == (1, len(bundle.classes)) and scores.isfinite().all()
            and np.isfinite(probabilities).all()
            and (neighbours is None or neighbours.features.shape[1] == features)
        ):  # fmt: skip
            return head
    except (LookupError, TypeError, ValueError, RuntimeError):  # whatever torch and numpy say of other shapes
        pass
    raise CorruptFile(
        f"The tensors of the model are not those of {bundle.strategy} with {features} features and "
        f"{len(bundle.classes)} classes. Restore the model from its source."
    )


def load_network(folder: Path) -> tuple[Classifier, Bundle]:
    """Read ``RUN/model`` as one network in eval mode on the CPU, normalized images (B, 3, S, S) to scores (B, K).

    Raises:
        DataError, CorruptFile: As for ``read_bundle``.
    """
    bundle = read_bundle(folder)
    backbone, head = build_network(bundle)
    return Classifier(backbone.module, head).eval(), bundle


def forward_milliseconds_per_image(folder: Path, compute: DeviceContext) -> float:
    """Time of network and head in PyTorch in milliseconds per image, in batches of 32, without decoding and resizing.

    It compares strategies and backbones; ``predict`` and ``serve`` may run the network on a faster engine.

    Args:
        folder: ``RUN/model``.
        compute: Device and precision.

    Returns:
        The median over up to five batches, within about one second, after one batch of warm-up.
    """
    network, bundle = load_network(folder)
    if bundle.mirrored:
        network.backbone = MirroredBackbone(network.backbone)
    network = compute.to_channels_last(network).eval()
    images = torch.zeros(TIMED_BATCH, 3, bundle.input_spec.size, bundle.input_spec.size, device=compute.device)
    images = images.contiguous(memory_format=torch.channels_last)
    durations: list[float] = []
    with torch.inference_mode(), compute.autocast():
        network(images)
        while len(durations) < REPEATS and sum(durations) < TIME_BUDGET:
            start = time.monotonic()
            network(images).cpu()  # waits for a GPU
            durations.append(time.monotonic() - start)
    return 1000 * median(durations) / TIMED_BATCH
