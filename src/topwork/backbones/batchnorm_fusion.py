"""A network that only looks: BatchNorm folded into the convolutions before it, weights in the precision of the sums."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLDABLE = ("Conv2d", "Conv2dSame")  # others make their weights anew in each pass
ROUNDING = 1e-3  # most that folding may change, as a share of the largest output


def fuse_batchnorm(module: nn.Module, size: int) -> nn.Module:
    """A copy in eval mode in which each convolution does the work of the BatchNorm after it; equal up to rounding.

    Which BatchNorm follows which convolution is seen in a pass. A network that cannot be folded is copied as it is.

    Args:
        module: On the CPU, float32, maps images (B, 3, size, size) to one tensor.
        size: Side of its input in pixels.
    """
    plain = copy.deepcopy(module).eval()
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
    return changed if error <= ROUNDING * expected.abs().max() else plain


def _pairs(module: nn.Module, x: torch.Tensor) -> tuple[list[tuple[str, str]], torch.Tensor]:
    """Names of convolutions and the BatchNorms that take their output, and the network's output."""
    made: dict[int, tuple[str, torch.Tensor]] = {}  # the tensors are kept: an id may be given again
    pairs: list[tuple[str, str]] = []
    handles = []
    for name, layer in module.named_modules():
        if type(layer).__name__ in FOLDABLE:
            handles.append(layer.register_forward_hook(lambda _, __, y, name=name: made.update({id(y): (name, y)})))
        elif isinstance(layer, nn.BatchNorm2d):

            def follow(_: nn.Module, given: tuple[torch.Tensor], name: str = name) -> None:
                if id(given[0]) in made:
                    pairs.append((made[id(given[0])][0], name))

            handles.append(layer.register_forward_pre_hook(follow))
    try:
        y = module(x)
    finally:
        for handle in handles:
            handle.remove()
    once = {conv for conv, _ in pairs if [c for c, _ in pairs].count(conv) == 1}
    return [(conv, norm) for conv, norm in pairs if conv in once], y


def cast_weights(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Keep the weights of convolutions and linear layers in what autocast would cast them to at each pass; in place."""
    for layer in module.modules():
        if type(layer).__name__ in (*FOLDABLE, "Linear"):
            layer.to(dtype)
    return module
