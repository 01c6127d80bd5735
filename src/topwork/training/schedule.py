"""The learning rate as a pure function of the step, so that a resume has nothing to restore."""

from __future__ import annotations

import math


def lr_factor(step: int, total: int, warmup: float) -> float:
    """Factor of the peak learning rate at a step: a linear rise, then half a cosine to 0 (Loshchilov & Hutter 2017).

    Args:
        step: From 0 to ``total`` - 1.
        total: All steps of the training.
        warmup: Fraction of the steps in which the rate rises.

    Returns:
        In (0, 1].
    """
    warmup_steps = round(total * warmup)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total - warmup_steps)))


def auto_epochs(images: int, min_epochs: int, max_epochs: int, samples_seen: int = 60_000) -> int:
    """Epochs for a training set: as many as show about ``samples_seen`` images, within limits.

    Args:
        images: Training images.
        min_epochs, max_epochs: Limits of the result.
        samples_seen: Images to show in all epochs together.
    """
    return max(min_epochs, min(max_epochs, math.ceil(samples_seen / max(1, images))))
