"""Faster inference: BatchNorm fused into the convolution before it, weights cast once to the compute precision."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FUSABLE = ("Conv2d", "Conv2dSame")  # others compute their weights in each pass
MAX_CHANGE = 1e-3  # by fusing, as a share of the largest output


def fuse_batchnorm(module: nn.Module, size: int) -> nn.Module:
    """A copy in eval mode with each BatchNorm fused into the convolution before it; equal up to rounding.

    A forward pass shows which BatchNorm follows which convolution. A network that cannot be fused is copied unchanged.

    Args:
        module: float32, maps images (B, 3, size, size) to one tensor; the copy is on the CPU.
        size: Side of its input in pixels.
    """
    plain = copy.deepcopy(module).cpu().eval()
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pairs, expected = _pairs(plain, x)
    changed = copy.deepcopy(plain)
    for conv, norm in pairs:
        layer = changed.get_submodule(norm)
        rest = [getattr(layer, name) for name in ("drop", "act") if isinstance(getattr(layer, name, None), nn.Module)]
        changed.set_submodule(conv, fuse_conv_bn_eval(changed.get_submodule(conv), layer))  # pyrefly: ignore
        changed.set_submodule(norm, nn.Sequential(*rest))  # timm's BatchNormAct2d brings its activation
    with torch.inference_mode():
        error = (changed(x) - expected).abs().max()
    return changed if error <= MAX_CHANGE * expected.abs().max() else plain


def _pairs(module: nn.Module, x: torch.Tensor) -> tuple[list[tuple[str, str]], torch.Tensor]:
    """Names of convolutions and the BatchNorms that take their output, and the network's output."""
    names = {layer: name for name, layer in module.named_modules()}
    made: dict[int, tuple[str, torch.Tensor]] = {}  # the tensors are kept: an id may be given again
    pairs: list[tuple[str, str]] = []

    def remember(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        made[id(output)] = (names[layer], output)

    def follow(layer: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], names[layer]))

    with ExitStack() as hooks:
        for layer in names:
            if type(layer).__name__ in FUSABLE:
                hooks.enter_context(layer.register_forward_hook(remember))
            elif isinstance(layer, nn.BatchNorm2d):
                hooks.enter_context(layer.register_forward_pre_hook(follow))
        y = module(x)
    once = {conv for conv, _ in pairs if [c for c, _ in pairs].count(conv) == 1}
    return [(conv, norm) for conv, norm in pairs if conv in once], y


def cast_weights(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Keep the weights of convolutions and linear layers in what autocast would cast them to at each pass; in place."""
    for layer in module.modules():
        if type(layer).__name__ in (*FUSABLE, "Linear"):
            layer.to(dtype)
    return module
