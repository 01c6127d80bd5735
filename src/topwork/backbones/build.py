"""Create a network by its timm name, without its classifier, with its input specification."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import timm
import timm.data
import torch
from torch import nn

from topwork.backbones import weights as _weights
from topwork.backbones.architecture import Architecture, find_architecture
from topwork.backbones.joined import JoinedNetwork
from topwork.backbones.packaged import PACKAGED
from topwork.core.artifacts import InputSpec
from topwork.core.errors import CorruptFile, UsageError
from topwork.core.names import JOIN, module_name, split_models

RANDOM = "random"


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier.

    Attributes:
        module: Maps float images (B, 3, S, S) to features (B, D).
        model: timm name.
        feature_dim: D.
        spec: What it is fed.
        parameters: Number of parameters.
        weights_hash: SHA-256 of all parameters and buffers; empty for random weights.
        summary: Where the weights come from, with their license.
        license: Of the weights.
        dynamic_size: Whether it also takes images of other sizes than ``spec`` says.
        note: What was done to the tensors of a file to fit them; empty for nothing.
        on_hub: See ``Architecture``.
        members: The networks of a joined one, each with the input of the first but for mean and standard deviation.
    """

    module: nn.Module
    model: str
    feature_dim: int
    spec: InputSpec
    parameters: int
    weights_hash: str
    summary: str
    license: str
    dynamic_size: bool = True
    note: str = ""
    on_hub: dict[str, Any] | None = None
    members: tuple[Backbone, ...] = ()

    def with_input(self, spec: InputSpec) -> Backbone:
        """The same network with another input; a joined one keeps the means of its members."""
        fed = (replace(m, spec=replace(spec, mean=m.spec.mean, std=m.spec.std)) for m in self.members)
        return replace(self, spec=spec, members=tuple(fed))

    @property
    def stored_members(self) -> list[dict[str, Any]]:
        """What a bundle stores of the members."""
        return [
            {"model": m.model, "mean": [*m.spec.mean], "std": [*m.spec.std], "on_hub": m.on_hub} for m in self.members
        ]


def create(
    model: str,
    source: _weights.WeightsSource | None,
    img_size: int | None = None,
    seed: int = 0,
    crop_pct: float | None = None,
    on_hub: Mapping[str, Any] | None = None,
) -> Backbone:
    """Create a backbone in eval mode on the CPU.

    Args:
        model: timm name, or ``hf-hub:OWNER/NAME``, or several joined by ``+``.
        source: Where its weights come from; None for random weights, which ``seed`` decides.
        img_size: Side of the input; None for what the weights were trained with.
        seed: Of random weights.
        crop_pct: Share of an image's sides that is kept; None for what the weights were tested with.
        on_hub: Of a bundle, see ``find_architecture``.

    Raises:
        UnknownName: timm has no such model.
        UsageError: The network cannot be fed images of this size.
        WeightsError: The weights do not fit.
    """
    names = split_models(model)
    if len(names) > 1:
        return _create_joined(names, source.members if source else (None,) * len(names), img_size, seed, crop_pct)
    architecture, base = find_architecture(model, on_hub), source.spec if source else None
    size = img_size or (base.size if base else None)
    kwargs: dict[str, Any] = {"num_classes": 0}
    if size and architecture.config.fixed_input_size:
        kwargs["img_size"] = size
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm warns about names it maps; the name is announced anyway
        torch.manual_seed(seed)
        try:
            module = architecture.create(**kwargs)
        except (TypeError, AssertionError, ValueError) as error:
            raise UsageError(f"--img-size {size} is not supported by {model} ({error}).") from error
    spec = base if base and img_size is None and crop_pct is None else _input_spec(architecture, size, crop_pct, base)
    summary, license, note = RANDOM, "none", ""
    if source is not None:
        note = _weights.load_into(module, source, architecture, kwargs)
        summary, license = f"{source.summary}; {note}" if note else source.summary, source.license
    module.eval()
    feature_dim = _feature_dim(module, model, spec.size)
    parameters = sum(p.numel() for p in module.parameters())
    weights_hash = _weights.hash_weights(module) if source else ""
    dynamic_size = not architecture.config.fixed_input_size
    return Backbone(
        module, model, feature_dim, spec, parameters, weights_hash, summary, license, dynamic_size, note,
        architecture.on_hub,
    )  # fmt: skip


def _create_joined(
    names: Sequence[str],
    sources: Sequence[_weights.WeightsSource | None],
    img_size: int | None,
    seed: int,
    crop_pct: float | None,
) -> Backbone:
    """Networks side by side; all get the images that the first one gets."""
    first = create(names[0], sources[0], img_size, seed, crop_pct)
    members, size = [first], first.spec.size
    for name, source in zip(names[1:], sources[1:], strict=True):
        try:
            member = create(name, source, size, seed, crop_pct)
        except UsageError as error:
            raise UsageError(
                f"{name} cannot be joined to {names[0]} at {size} x {size} pixels: {error} Give an --img-size that "
                "suits all networks."
            ) from error
        members.append(replace(member, spec=replace(first.spec, mean=member.spec.mean, std=member.spec.std)))
    return _join(members)


def _join(members: Sequence[Backbone]) -> Backbone:
    first, models = members[0], [m.model for m in members]
    sizes = [m.feature_dim for m in members]
    module = JoinedNetwork({m.model: m.module for m in members}, [m.spec for m in members], sizes).eval()
    return Backbone(
        module,
        JOIN.join(models),
        sum(sizes),
        first.spec,
        sum(m.parameters for m in members),
        _weights.hash_weights(module) if first.weights_hash else "",
        "; ".join(f"{m.model}: {m.summary}" for m in members) if first.summary != RANDOM else RANDOM,
        ", ".join(dict.fromkeys(m.license for m in members)),
        all(m.dynamic_size for m in members),
        "; ".join(f"{m.model}: {m.note}" for m in members if m.note),
        members=tuple(members),
    )


def restore(
    model: str,
    tensors: Mapping[str, torch.Tensor],
    spec: InputSpec,
    on_hub: Mapping[str, Any] | None = None,
    members: Sequence[Mapping[str, Any]] = (),
) -> Backbone:
    """The backbone of a bundle, with its tensors.

    Args:
        model, tensors, spec: As stored.
        on_hub: See ``find_architecture``.
        members: See ``Backbone.stored_members``.

    Raises:
        CorruptFile: The tensors are not those of the model.
        UnknownName: timm has no such model.
    """
    if not members:
        _check_tensors(tensors, model, spec.size, on_hub)
        backbone = create(model, None, spec.size, on_hub=on_hub)
        backbone.module.load_state_dict(tensors)
        return replace(backbone, spec=spec)
    networks, rest = [], set(tensors)
    for stored in members:
        prefix = f"{module_name(stored['model'])}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        rest -= {prefix + name for name in own}
        fed = replace(spec, mean=tuple(stored["mean"]), std=tuple(stored["std"]))
        networks.append(restore(stored["model"], own, fed, stored.get("on_hub")))
    if rest:
        raise CorruptFile(f"The weights are not those of {model}: {min(rest)} is of no network. Restore them.")
    return replace(_join(networks), spec=spec)


def _check_tensors(
    tensors: Mapping[str, torch.Tensor], model: str, size: int, on_hub: Mapping[str, Any] | None = None
) -> None:
    """Refuse tensors that are not those of a model before any memory is allocated for it."""
    architecture = find_architecture(model, on_hub)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fixed = {"img_size": size} if architecture.config.fixed_input_size else {}
            expected = architecture.create(num_classes=0, **fixed).state_dict()
    except Exception as error:  # timm raises many kinds for settings that it does not know
        raise CorruptFile(f"timm cannot build {model} as the model describes it ({error}).") from error
    names = sorted(expected.keys() ^ tensors.keys())
    names += [name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape]
    if names:
        raise CorruptFile(f"The weights are not those of {model}: {names[0]} differs. Restore them from their source.")


def convert_sync_batchnorm(module: nn.Module) -> nn.Module:
    """The same network, its BatchNorm layers with the statistics of all processes (on GPUs); parameters are shared."""
    return timm.layers.convert_sync_batchnorm(module)


def _feature_dim(module: nn.Module, model: str, size: int) -> int:
    try:
        with torch.inference_mode():
            shape = module(torch.zeros(1, 3, size, size)).shape
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--img-size {size} is not supported by {model} ({reason}); leave --img-size out.") from error
    if len(shape) != 2:
        raise UsageError(f"{model} gives features of shape {tuple(shape[1:])}, not a vector; choose another --model.")
    return shape[1]


def input_spec(model: str, img_size: int | None = None, crop_pct: float | None = None) -> InputSpec:
    """What a model is fed, from timm's data configuration."""
    return _input_spec(find_architecture(model), img_size, crop_pct)


def _input_spec(
    architecture: Architecture, img_size: int | None, crop_pct: float | None, base: InputSpec | None = None
) -> InputSpec:
    """The same; what is not requested is as in ``base``, the input of the training that the weights are from."""
    data: dict[str, Any] = timm.data.resolve_data_config(pretrained_cfg=architecture.config.to_dict())
    if architecture.name in PACKAGED:  # (x - 127) / 128 on 0..255, as in the code that trained these weights
        data |= {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    if base:
        data |= {"crop_pct": base.crop_pct, "mean": base.mean, "std": base.std, "interpolation": base.interpolation}
    size = img_size or data["input_size"][-1]
    resize = math.floor(size / (crop_pct or data["crop_pct"]) + 1e-6)  # crop_pct = size / resize gives resize again
    interpolation = data["interpolation"] if data["interpolation"] != "random" else "bicubic"
    return InputSpec(size, resize, interpolation, tuple(data["mean"]), tuple(data["std"]))
