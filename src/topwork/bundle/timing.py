"""Inference time per image, measured on the network of a bundle."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import torch

from topwork.bundle.network import load_network
from topwork.compute.devices import DeviceContext

BATCH = 32
TIME_BUDGET = 1.0  # seconds
REPEATS = 5


def milliseconds_per_image(folder: Path, compute: DeviceContext) -> float:
    """Time from normalised pixels to scores in milliseconds per image, in batches of 32, without decoding.

    Args:
        folder: ``RUN/model``.
        compute: Device and precision.

    Returns:
        The median over up to five batches, within about one second, after one batch of warm-up.
    """
    network, bundle = load_network(folder)
    network = compute.to_channels_last(network).eval()
    images = torch.zeros(BATCH, 3, bundle.input_spec.size, bundle.input_spec.size, device=compute.device)
    images = images.contiguous(memory_format=torch.channels_last)
    durations: list[float] = []
    with torch.inference_mode(), compute.autocast():
        network(images)
        while len(durations) < REPEATS and sum(durations) < TIME_BUDGET:
            start = time.monotonic()
            network(images).cpu()  # waits for a GPU
            durations.append(time.monotonic() - start)
    return 1000 * median(durations) / BATCH
