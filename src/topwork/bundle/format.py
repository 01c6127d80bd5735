"""The model bundle ``RUN/model/``: weights as safetensors, ``model.json``, a card. Loading it executes no code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError

from topwork.core import commands, storage
from topwork.core.artifacts import BUNDLE_FORMAT, InputSpec, read_format
from topwork.core.errors import CorruptFile, DataError
from topwork.evaluation.ood import KNNIndex

CARD_FILE = "README.md"
T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """The content of a bundle.

    Attributes:
        strategy: Name of the strategy that made the head.
        model: timm name of the backbone.
        classes: Names in the order of the scores.
        input_spec: What the network is fed.
        metadata: The other entries of ``model.json``: decision, versions, licenses, data summary.
        backbone: Tensors of the backbone by timm's names.
        head: Tensors of the head.
        neighbours: Training images that new images are compared with; None in a bundle without.
    """

    strategy: str
    model: str
    classes: tuple[str, ...]
    input_spec: InputSpec
    metadata: dict[str, Any]
    backbone: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]
    neighbours: KNNIndex | None = None

    @property
    def decision(self) -> dict[str, Any]:
        """Calibration and thresholds (``evaluation.decision``); empty in a bundle without."""
        return self.metadata.get("decision") or {}

    @property
    def crop_to_box(self) -> bool:
        """Whether the network was trained on the boxes of a table, not on whole images."""
        return bool((self.metadata.get("data") or {}).get("crop_to_box", False))

    @property
    def mirrored(self) -> bool:
        """Whether features are means over an image and its mirror image."""
        return bool((self.metadata.get("inference") or {}).get("mirrored", False))

    @property
    def temperature(self) -> float:
        """What scores are divided by before they become probabilities; 1 in a bundle without a decision."""
        return float(self.decision.get("temperature", 1.0))


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check the hashes of its files.

    Raises:
        DataError: The folder does not exist, or another version of topwork wrote it.
        CorruptFile: A file has changed since it was written, or is not what topwork writes.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist: the run has not finished. Resume with: {commands.resume(folder.parent)}"
        )
    files = storage.read_folder(folder)
    path = folder / "model.json"
    for name in ("model.json", "weights.safetensors"):
        if name not in files:
            raise CorruptFile(f"{folder} has no {name} in its manifest. Restore it from its source.")
    model_json = _from_json(files["model.json"], path)
    version = read_format(model_json, path)
    if version > BUNDLE_FORMAT:
        raise DataError(f"{folder} was written by a newer topwork. Update topwork.")
    if version < BUNDLE_FORMAT:
        raise DataError(f"{folder} was written by an older topwork and cannot be read. Train the model again.")
    storage.check_schema(model_json, "ModelJson", path)
    strategy, model, classes, stored = (model_json.pop(name) for name in ("strategy", "model", "classes", "input"))
    del model_json["format"]
    weights = _load(safetensors.torch.load, files["weights.safetensors"], folder / "weights.safetensors")
    if unknown := [name for name in weights if name.partition(".")[0] not in ("backbone", "head")]:
        raise CorruptFile(f"{folder / 'weights.safetensors'} has a tensor {unknown[0]!r}. Restore it from its source.")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CorruptFile(f"{folder / 'weights.safetensors'}: {name} has values that are no finite numbers.")
    return Bundle(
        strategy, model, tuple(classes), InputSpec.from_dict(stored), model_json, **split_tensors(weights),
        neighbours=_read_neighbours(files, folder, len(classes)),
    )  # fmt: skip


def _read_neighbours(files: dict[str, bytes], folder: Path, classes: int) -> KNNIndex | None:
    """The training images of a bundle, whose sizes and labels agree."""
    if "neighbours.safetensors" not in files or "neighbours.json" not in files:
        return None
    path = folder / "neighbours.safetensors"
    arrays = _load(safetensors.numpy.load, files["neighbours.safetensors"], path)
    ids, (features, labels) = _from_json(files["neighbours.json"], path), map(arrays.get, ("features", "labels"))
    if (
        features is None or labels is None or not isinstance(ids, list) or not all(isinstance(i, str) for i in ids)
        or features.ndim != 2 or not 0 < len(features) == len(labels) == len(ids)
        or features.dtype != np.float16 or not np.isfinite(features).all()
        or labels.ndim != 1 or labels.dtype != np.int64 or labels.min() < 0 or labels.max() >= classes
    ):  # fmt: skip
        raise CorruptFile(f"{path} is not as topwork writes it. Restore it from its source.")
    return KNNIndex(features, labels, tuple(ids))


def _load(load: Callable[[bytes], dict[str, T]], data: bytes, path: Path) -> dict[str, T]:
    """The tensors of a safetensors file."""
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:  # of its header
        raise CorruptFile(f"{path} is not a safetensors file ({error}). Restore it from its source.") from error


def split_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors called ``backbone.*`` and ``head.*`` as ``backbone`` and ``head``, without the prefix."""
    by_prefix: dict[str, dict[str, torch.Tensor]] = {"backbone": {}, "head": {}}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        by_prefix[prefix][rest] = tensor
    return by_prefix


def write_bundle(folder: Path, bundle: Bundle, card: bytes = b"") -> None:
    """Write a bundle durably; an older one in its place is replaced.

    Args:
        folder: ``RUN/model``.
        bundle: Its content; the metadata must be plain JSON.
        card: Content of ``README.md``, from ``model_card``; empty for none.
    """
    model_json = {
        "format": BUNDLE_FORMAT,
        "strategy": bundle.strategy,
        "model": bundle.model,
        "classes": list(bundle.classes),
        "input": asdict(bundle.input_spec),
        **bundle.metadata,
    }
    tensors = {f"backbone.{name}": tensor for name, tensor in bundle.backbone.items()}
    tensors |= {f"head.{name}": tensor for name, tensor in bundle.head.items()}
    weights = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    files = {"weights.safetensors": weights, "model.json": _to_json(model_json)}
    if bundle.neighbours is not None:
        arrays = {"features": bundle.neighbours.features, "labels": bundle.neighbours.labels}
        files["neighbours.safetensors"] = safetensors.numpy.save(arrays)
        files["neighbours.json"] = _to_json(bundle.neighbours.ids)
    if card:
        files[CARD_FILE] = card
    storage.remove_folder(folder)
    storage.write_folder(folder, files)


def _to_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _from_json(content: bytes, path: Path) -> Any:
    return storage.parse_json(content.decode("utf-8", "surrogateescape"), path)
