"""How long a trained model takes for an image, measured on the model as its bundle gives it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from topwork.bundle.network import load_network
from topwork.compute.devices import DeviceContext

BATCH = 32
SECONDS = 1.0
REPEATS = 5


def milliseconds_per_image(folder: Path, compute: DeviceContext) -> float:
    """Time from normalised pixels to scores, in milliseconds an image, in batches of 32; the decoding is not in it.

    Args:
        folder: ``RUN/model``.
        compute: Device and precision.

    Returns:
        The median of at most five batches, and no more than a second or so of them, after one that warms up.
    """
    network, bundle = load_network(folder)
    network = compute.to_channels_last(network).eval()
    images = torch.zeros(BATCH, 3, bundle.spec.size, bundle.spec.size, device=compute.device)
    images = images.contiguous(memory_format=torch.channels_last)
    taken: list[float] = []
    with torch.inference_mode(), compute.autocast():
        network(images)
        while len(taken) < REPEATS and sum(taken) < SECONDS:
            start = time.monotonic()
            network(images).cpu()  # waits for a GPU
            taken.append(time.monotonic() - start)
    return 1000 * float(np.median(taken)) / BATCH
