"""The activations of layers for images, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from topwork.backbones import build
from topwork.core.artifacts import InputSpec
from topwork.core.errors import UnknownName, UsageError
from topwork.data.images import load_image
from topwork.data.transforms import eval_transform, normalize
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.layers import forward_hooks, unwrap

ImageLike = torch.Tensor | Image.Image | str | Path


def activations(
    model: nn.Module | InspectedModel, image: ImageLike, layers: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The outputs of layers for images, exactly as a forward pass computes them, before any in-place operation.

    Args:
        model: A network, e.g. one of timm's, or the result of ``load_run``; in eval mode afterwards.
        image: Normalized images (B, 3, S, S), or one image as a path or a Pillow image, which is preprocessed as in
            evaluation.
        layers: Names; None for all.

    Returns:
        Layer name to float32 array, batch first, in the network's own layout. A layer that is called several times has
        its last output, a layer with several outputs its first tensor.

    Raises:
        UnknownName: The network has no such layer.
        UsageError: The network is scripted, or its preprocessing is unknown.
        UnreadableImage: The image cannot be decoded.

    >>> module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> {name: values.shape for name, values in activations(module, torch.zeros(1, 3, 6, 6)).items()}
    {'0': (1, 8, 4, 4), '1': (1, 8, 4, 4)}
    """
    module = unwrap(model.backbone if isinstance(model, InspectedModel) else model)
    known = [name for name, _ in module.named_modules() if name]
    for name in layers or ():
        if name not in known:
            raise UnknownName("layer", name, known)
    x = image if isinstance(image, torch.Tensor) else _preprocess(model, module, image)
    copies: dict[str, np.ndarray] = {}

    def copy(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        copies[name] = output.detach().float().cpu().numpy().copy()

    with torch.inference_mode(), forward_hooks(module, layers, copy):
        module.eval()(x)
    return copies


def _preprocess(model: nn.Module | InspectedModel, module: nn.Module, image: Image.Image | str | Path) -> torch.Tensor:
    spec = model.spec if isinstance(model, InspectedModel) else _spec(module)
    if isinstance(image, Image.Image):
        rgb = image.convert("RGB")
    else:
        rgb = load_image(Path(image), spec.resize_size, spec.pixel_rules)
    return normalize(eval_transform(rgb, spec)[None], spec, next(module.parameters()).device)


def _spec(module: nn.Module) -> InputSpec:
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or "architecture" not in config:
        raise UsageError("The preprocessing of this network is unknown; pass normalized images (B, 3, S, S).")
    return build.input_spec(str(config["architecture"]))
