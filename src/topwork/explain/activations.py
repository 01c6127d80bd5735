"""What layers answer to an image, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from topwork import backbones
from topwork.core.artifacts import InputSpec
from topwork.core.errors import UnknownName, UsageError
from topwork.data.images import load_image
from topwork.data.transforms import eval_pixels, normalise
from topwork.explain.layers import plain, watching
from topwork.explain.subject import Subject

Picture = torch.Tensor | Image.Image | str | Path


def activations(
    model: nn.Module | Subject, image: Picture, layers: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """What layers answer to images: exactly what a plain forward pass computes there, before anything overwrites it.

    Args:
        model: A network, e.g. one of timm's, or what ``run_subject`` gives; in eval mode afterwards.
        image: Normalised images (B, 3, S, S), or one photo by its path or as a Pillow image, which is prepared as the
            network was trained for.
        layers: Names; None for all.

    Returns:
        Name to float array with the batch first, arranged as the network does. Of a layer that is called several times
        it is the last output, of several outputs the first tensor.

    Raises:
        UnknownName: There is no such layer.
        UsageError: The network is scripted, or how it wants a photo is not known.
        UnreadableImage: The photo cannot be decoded.
    """
    module = plain(model.backbone if isinstance(model, Subject) else model)
    known = [name for name, _ in module.named_modules() if name]
    for name in layers or ():
        if name not in known:
            raise UnknownName("layer", name, known)
    x = image if isinstance(image, torch.Tensor) else _prepared(model, module, image)
    kept: dict[str, np.ndarray] = {}

    def watch(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        kept[name] = output.detach().float().cpu().numpy().copy()

    with torch.inference_mode(), watching(module, layers, watch):
        module.eval()(x)
    return kept


def _prepared(model: nn.Module | Subject, module: nn.Module, image: Image.Image | str | Path) -> torch.Tensor:
    spec = model.spec if isinstance(model, Subject) else _spec(module)
    photo = image.convert("RGB") if isinstance(image, Image.Image) else load_image(Path(image), spec.resize_size)
    return normalise(eval_pixels(photo, spec)[None], spec, next(module.parameters()).device)


def _spec(module: nn.Module) -> InputSpec:
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or "architecture" not in config:
        raise UsageError("How this network wants a photo is not known; give it normalised images (B, 3, S, S).")
    return backbones.input_spec(str(config["architecture"]))
