"""Where pretrained weights come from: a package, a local file, or the hub. Nothing is ever unpickled unsafely."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import timm
import torch
from torch import nn

from topwork.backbones import torch_files
from topwork.backbones.packaged import find_packaged
from topwork.backbones.torch_files import Tensors
from topwork.core import storage
from topwork.core.errors import UsageError, WeightsError


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a backbone come from, logged before they are used.

    Attributes:
        summary: One line: origin, size where known, license.
        license: License of the weights, or ``"unknown"``.
        load: Returns the tensors by timm's names; may download.
        packaged: The tensors come in timm's order under other names.
        hub: Repository on the Hugging Face hub that they come from, ``owner/name``; empty if from elsewhere.
    """

    summary: str
    license: str
    load: Callable[[], Tensors]
    packaged: bool = False
    hub: str = ""


def find_weights(model: str, weights: str) -> WeightsSource:
    """Decide where the weights of a model come from, without loading them.

    Args:
        model: A timm name.
        weights: ``"pretrained"``, or a local ``.safetensors``, ``.pth`` or ``.pt`` file.

    Raises:
        UsageError: The file does not exist.
        WeightsError: timm has no pretrained weights of this name.
    """
    if weights != "pretrained":
        path = Path(weights)
        if not path.is_file():
            raise UsageError(f"--weights {weights}: the file does not exist. Give a .safetensors or .pth file.")
        summary = f"{path.name}, local file of {path.stat().st_size / 1e6:.0f} MB, license unknown"
        return WeightsSource(summary, "unknown", lambda: read(path))
    packaged = find_packaged(model, weights)
    if packaged:
        path = packaged.path() or Path()
        return WeightsSource(packaged.summary, packaged.license, lambda: read(path, torch_files.load), packaged=True)
    return _hub(model)


def _hub(model: str) -> WeightsSource:
    cfg = timm.get_pretrained_cfg(model)
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        raise WeightsError(f"There are no pretrained weights for {model}; use --weights FILE or another --model.")
    license, origin = cfg.license or "unknown", cfg.hf_hub_id or cfg.url
    with torch.device("meta"):
        parameters = sum(p.numel() for p in timm.create_model(model).parameters())
    summary = f"{cfg.tag or 'pretrained'}, {origin} (about {parameters * 4 / 1e6:.0f} MB), license {license}"

    def load() -> Tensors:
        try:
            _check_reachable(cfg)
            return timm.create_model(model, pretrained=True).state_dict()
        except Exception as error:  # hub, network and file errors have no common base
            file = f"{cfg.hf_hub_filename or 'model.safetensors'} of {cfg.hf_hub_id} on the Hugging Face hub"
            raise WeightsError(
                f"The weights of {model} cannot be fetched: {file if cfg.hf_hub_id else cfg.url} is not cached and "
                f"could not be downloaded ({type(error).__name__}). Fetch that file elsewhere and pass it as "
                "--weights FILE."
            ) from error

    return WeightsSource(summary, license, load, hub=cfg.hf_hub_id or "")


def _check_reachable(cfg: Any) -> None:
    """Fail within seconds where timm's own retries would take minutes: is the file cached, or the hub reachable?"""
    if not cfg.hf_hub_id:
        return
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    if not any(isinstance(huggingface_hub.try_to_load_from_cache(cfg.hf_hub_id, name), str) for name in names):
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # do not log its retries
        url = huggingface_hub.hf_hub_url(cfg.hf_hub_id, "config.json")
        huggingface_hub.get_hf_file_metadata(url, timeout=5, retry_on_errors=False)


def read(path: Path, load_pth: Callable[[Path], Tensors] = torch_files.load_sandboxed) -> Tensors:
    """The tensors of a ``.safetensors`` or ``.pth`` file; a ``.pth`` is opened in a limited process, without fallback.

    Args:
        path: The file.
        load_pth: Loads a ``.pth``; ``torch_files.load`` for one from an installed package.

    Raises:
        WeightsError: The file is not such a file, loading it would execute code, or needs too much memory.
    """
    try:
        return safetensors.torch.load_file(path) if path.suffix == ".safetensors" else load_pth(path)
    except Exception as error:  # the readers raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} is not a readable file of tensors ({reason}). Save it as .safetensors.") from error


def load_into(module: nn.Module, tensors: Tensors, packaged: bool, summary: str) -> None:
    """Load tensors into a network.

    A classifier in the file that the network does not have is ignored. Everything else must match.

    Raises:
        WeightsError: Names and shapes differ; the first differences are named.
    """
    own = module.state_dict()
    if packaged:  # the same tensors in the same order under other names
        if [t.shape for t in tensors.values()][: len(own)] != [t.shape for t in own.values()]:
            raise WeightsError(f"{summary}: its tensors do not match this model. Reinstall the package.")
        tensors = dict(zip(own, tensors.values(), strict=False))
    missing = sorted(set(own) - set(tensors))
    wrong = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if missing or wrong:
        name = (missing + wrong)[0]
        found = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        raise WeightsError(
            f"{summary}: does not match the model; {len(missing) + len(wrong)} tensors differ, e.g. {name} {found}, "
            f"expected {tuple(own[name].shape)}. Choose the --model that the file was made with."
        )
    module.load_state_dict({name: tensors[name] for name in own})


def hash_weights(module: nn.Module) -> str:
    """SHA-256 over every parameter and buffer of a network, BatchNorm statistics included."""
    sums = {
        name: storage.sha256_bytes(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for name, tensor in module.state_dict().items()
    }
    return storage.sha256_json(sums)
