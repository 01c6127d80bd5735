"""A model bundle as a network that can be run, and its inference time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import nn

from topwork.backbones import build
from topwork.bundle.format import Bundle, read_bundle
from topwork.compute.devices import DeviceContext
from topwork.strategies import load
from topwork.strategies.mirrored import MirroredBackbone
from topwork.training.image_task import Classifier

TIMED_BATCH, REPEATS, TIME_BUDGET = 32, 5, 1.0  # images, batches, seconds


def build_network(bundle: Bundle) -> tuple[build.Backbone, nn.Module]:
    """The networks of a bundle, in eval mode on the CPU.

    Returns:
        The backbone, normalized images (B, 3, S, S) to features (B, D), and the head, features to scores (B, K).
    """
    backbone = build.create(bundle.model, None, bundle.input_spec.size, on_hub=bundle.metadata.get("on_hub"))
    backbone.module.load_state_dict(bundle.backbone)
    return replace(backbone, spec=bundle.input_spec), load(bundle.strategy).head(bundle.head).eval()


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
