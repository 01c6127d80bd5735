"""The model bundle ``RUN/model/``: weights as safetensors and ``model.json``. Opening it never runs code."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from topwork import storage
from topwork.artifacts import InputSpec

FORMAT = 1


def write_bundle(
    folder: Path,
    tensors: dict[str, torch.Tensor],
    *,
    strategy: str,
    model: str,
    classes: tuple[str, ...],
    spec: InputSpec,
    details: dict[str, Any],
) -> None:
    """Write a bundle durably; an older one in its place is replaced.

    Args:
        folder: ``RUN/model``.
        tensors: Everything a prediction needs, the frozen backbone included as ``backbone.*``.
        strategy: Which way from features to scores.
        model: timm name of the backbone.
        classes: Names in the order of the scores.
        spec: What the network is fed.
        details: Pixel policy, kind of scores, licences, versions; plain JSON.
    """
    facts = {
        "format": FORMAT,
        "strategy": strategy,
        "model": model,
        "classes": list(classes),
        "input": asdict(spec),
        **details,
    }
    data = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(facts, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape")
    storage.write_folder(folder, {"weights.safetensors": data, "model.json": text})
