"""The model bundle ``RUN/model/``: weights as safetensors and ``model.json``. Opening it never runs code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from topwork import storage
from topwork.artifacts import InputSpec
from topwork.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """What ``write_bundle`` wrote.

    Attributes:
        strategy, model, classes, spec: See there.
        details: The other facts of ``model.json``.
        backbone: Tensors of the backbone by timm's names.
        head: Tensors of the head.
    """

    strategy: str
    model: str
    classes: tuple[str, ...]
    spec: InputSpec
    details: dict[str, Any]
    backbone: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]


def read_bundle(folder: Path) -> Bundle:
    """Open a bundle.

    Raises:
        DataError: There is none, or it is of a newer format.
        DamagedFile: A file in it is not what was written.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not there: its run has not finished. Go on with `topwork train --resume RUN`.")
    files = storage.read_folder(folder)
    facts: dict[str, Any] = json.loads(files["model.json"].decode("utf-8", "surrogateescape"))
    if facts.pop("format", 0) > FORMAT:
        raise DataError(f"{folder} was written by a newer topwork. Update topwork.")
    parts: dict[str, dict[str, torch.Tensor]] = {"backbone": {}, "head": {}}
    for name, tensor in safetensors.torch.load(files["weights.safetensors"]).items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    stored: dict[str, Any] = facts.pop("input")
    stored |= {name: tuple(stored[name]) for name in ("mean", "std")}  # JSON knows lists only
    spec = InputSpec(**stored)
    strategy, model, classes = facts.pop("strategy"), facts.pop("model"), tuple(facts.pop("classes"))
    return Bundle(strategy, model, classes, spec, facts, parts["backbone"], parts["head"])


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
    storage.remove_folder(folder)
    text = json.dumps(facts, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape")
    storage.write_folder(folder, {"weights.safetensors": data, "model.json": text})
