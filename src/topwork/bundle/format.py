"""The model bundle ``RUN/model/``: weights as safetensors, ``model.json``, a card. Opening it never runs code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch

from topwork.core import storage
from topwork.core.artifacts import InputSpec
from topwork.core.errors import DataError
from topwork.evaluation.ood import Neighbours

FORMAT = 1
CARD = "README.md"


@dataclass(frozen=True)
class Bundle:
    """What ``write_bundle`` wrote.

    Attributes:
        strategy, model, classes, spec: See there.
        details: The other facts of ``model.json``.
        backbone: Tensors of the backbone by timm's names.
        head: Tensors of the head.
        neighbours: Training images that tell whether a new one is like them; None in a bundle without.
    """

    strategy: str
    model: str
    classes: tuple[str, ...]
    spec: InputSpec
    details: dict[str, Any]
    backbone: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]
    neighbours: Neighbours | None = None

    @property
    def decision(self) -> dict[str, Any]:
        """How scores become an answer (``evaluation.decision``); empty in a bundle without."""
        return self.details.get("decision") or {}

    @property
    def temperature(self) -> float:
        """What scores are divided by before they become probabilities; 1 in a bundle without."""
        return float(self.decision.get("temperature", 1.0))


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
    return Bundle(strategy, model, classes, spec, facts, parts["backbone"], parts["head"], _neighbours(files))


def _neighbours(files: dict[str, bytes]) -> Neighbours | None:
    if "neighbours.safetensors" not in files:
        return None
    arrays = safetensors.numpy.load(files["neighbours.safetensors"])
    ids = json.loads(files["neighbours.json"].decode("utf-8", "surrogateescape"))
    return Neighbours(arrays["features"], arrays["labels"], tuple(ids))


def write_bundle(
    folder: Path,
    tensors: dict[str, torch.Tensor],
    *,
    strategy: str,
    model: str,
    classes: tuple[str, ...],
    spec: InputSpec,
    details: dict[str, Any],
    neighbours: Neighbours | None = None,
    card: bytes = b"",
) -> None:
    """Write a bundle durably; an older one in its place is replaced.

    Args:
        folder: ``RUN/model``.
        tensors: Everything a prediction needs, the frozen backbone included as ``backbone.*``.
        strategy: Which way from features to scores.
        model: timm name of the backbone.
        classes: Names in the order of the scores.
        spec: What the network is fed.
        details: Pixel policy, kind of scores, how they become an answer, licences, versions; plain JSON.
        neighbours: Training images to compare new ones with: ``neighbours.safetensors`` and ``neighbours.json``.
        card: ``README.md``, from ``model_card``; none if empty.
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
    files = {"weights.safetensors": data, "model.json": _json(facts)}
    if neighbours is not None:
        arrays = {"features": neighbours.features, "labels": neighbours.labels}
        files["neighbours.safetensors"] = safetensors.numpy.save(arrays)
        files["neighbours.json"] = _json(neighbours.ids)
    if card:
        files[CARD] = card
    storage.remove_folder(folder)
    storage.write_folder(folder, files)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape")
