"""Inference: a trained model predicts new images, writes files of predictions, or is exported to another runtime.

Enters: a run, a comparison or a bundle, and images as paths, bytes, PIL images or arrays. Leaves: predictions, rows of
CSV or JSON Lines, or a model file with its ``export.json``.
"""

from __future__ import annotations

from typing import TypedDict


class InferenceOptions(TypedDict, total=False):
    """How a model is run; see ``topwork.Predictor`` for the values."""

    device: str
    precision: str
    engine: str
    workers: int | str
