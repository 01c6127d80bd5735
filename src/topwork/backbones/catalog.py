"""The networks to choose from, with what timm says about each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import timm
import torch

from topwork.backbones.build import input_spec
from topwork.backbones.packaged import PACKAGED
from topwork.core.progress import aligned

MAX_COUNTED = 30  # networks whose parameters are counted, in a few seconds


@dataclass(frozen=True)
class ListedModel:
    """A network of timm's list.

    Attributes:
        name: timm name.
        license: Of its default weights, and where they are if a package has them.
        size: Side of the input in pixels.
        parameters: Number of parameters without the classifier; None: not counted.
    """

    name: str
    license: str
    size: int
    parameters: int | None = None


def list_models(pattern: str = "*") -> list[ListedModel]:
    """Models whose name contains or matches a pattern."""
    names = timm.list_models(pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*")
    counted = len(names) <= MAX_COUNTED
    return [
        ListedModel(name, _license(name), input_spec(name).size, _count_parameters(name) if counted else None)
        for name in names
    ]


def format_models(found: list[ListedModel]) -> str:
    """A table, and how to see the numbers of parameters if they were not counted."""
    counted = any(model.parameters is not None for model in found)
    rows = [("name", "input", *(["parameters"] if counted else []), "license")]
    for model in found:
        parameters = f"{model.parameters / 1e6:.1f} M" if model.parameters is not None else "-"
        rows.append((model.name, f"{model.size} px", *([parameters] if counted else []), model.license))
    lines = aligned(rows, right=range(1, len(rows[0]) - 1))
    if len(found) > MAX_COUNTED:
        lines.append(
            f"{len(found):,} models. A pattern that matches at most {MAX_COUNTED} also shows their parameters."
        )
    return "\n".join(lines)


def _license(name: str) -> str:
    config = timm.get_pretrained_cfg(name)
    has_weights = config is not None and (config.hf_hub_id or config.url)
    license = (config.license or "unknown") if config and has_weights else "no pretrained weights"
    packaged = PACKAGED.get(name)
    if packaged is None:
        return license
    return f"{license}, {'installed' if packaged.path() else packaged.install}"


def _count_parameters(name: str) -> int | None:
    """Built without memory for the parameters; None if timm cannot build it so."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sum(tensor.numel() for tensor in timm.create_model(name, num_classes=0).parameters())
    except Exception:  # of many kinds: what a model computes while it is built may need values
        return None
