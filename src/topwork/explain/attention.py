"""Where the tokens of a transformer look: its own attention weights, head by head, and rolled out over the layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.core.errors import UnknownName
from topwork.explain.layers import plain

CLASS, MEAN = "class token", "mean of all tokens"
PREFIX = 8  # class, distillation and register tokens at most
BETWEEN_CHANNELS = ("XCA", "CrossCovarianceAttn")  # no attention between places
Watch = Callable[[str, torch.Tensor | None], None]


@dataclass(frozen=True)
class Attention:
    """Attention weights of one layer.

    Attributes:
        layer: Dotted path in the backbone.
        heads: float32 (B, heads, H, W): how much the query looks at each place of the grid. A map sums to 1 less
            the share of the prefix tokens.
        query: ``"class token"``, or ``"mean of all tokens"`` of the grid where the network pools over them.
        prefix: Number of tokens before the grid.
    """

    layer: str
    heads: np.ndarray
    query: str
    prefix: int


def attention_layers(module: nn.Module) -> list[str]:
    """Names of the layers that attend, by their parts; whether over the whole grid shows when an image passes."""
    return [
        name
        for name, layer in plain(module).named_modules()
        if isinstance(getattr(layer, "attn_drop", None), nn.Module)
        and isinstance(getattr(layer, "num_heads", None), int)
        and type(layer).__name__ not in BETWEEN_CHANNELS
    ]


def attention_maps(module: nn.Module, x: torch.Tensor, layers: Sequence[str] | None = None) -> dict[str, Attention]:
    """How much the query looks at each place, in every layer whose tokens all look at all.

    Left out are layers that attend within windows or to a coarser grid, whose attention is mixed between heads after
    the softmax (CaiT), or is one between channels (XCiT).

    Args:
        module: A backbone, in eval mode afterwards.
        x: Normalised images (B, 3, S, S).
        layers: Names; None for all.

    Returns:
        Layer name to its attention, in the order of the passage; empty if there is none.

    Raises:
        UnknownName: No layer that attends has this name.
    """
    module = plain(module)
    names = attention_layers(module)
    for name in layers or ():
        if name not in names:
            raise UnknownName("layer with attention", name, names)
    found: dict[str, Attention] = {}

    def watch(name: str, weights: torch.Tensor | None) -> None:
        if weights is None:
            return
        side = math.isqrt(weights.shape[-1])
        prefix = weights.shape[-1] - side**2
        heads, query = _row(module, weights, prefix)
        grid = heads[..., prefix:].unflatten(-1, (side, side)).float().cpu().numpy()
        found[name] = Attention(name, grid, query, prefix)

    with torch.inference_mode(), _watching(module, names if layers is None else layers, len(x), watch):
        module.eval()(x)
    return found


def rollout(module: nn.Module, x: torch.Tensor) -> np.ndarray | None:
    """Attention through all layers at once (Abnar & Zuidema 2020, arXiv 2005.00928).

    The mean of the heads and the identity, which stands for the residual connection, half each, are multiplied up.

    Args:
        module: A backbone, in eval mode afterwards.
        x: Normalised images (B, 3, S, S).

    Returns:
        float32 (B, H, W): share of each place in the query (as in ``Attention``) after the last layer; None unless all
        layers that attend do so over one and the same set of tokens.
    """
    module = plain(module)
    products: list[torch.Tensor] = []
    fits = True

    def watch(_: str, weights: torch.Tensor | None) -> None:
        nonlocal fits
        if not fits or weights is None or (products and products[0].shape[-1] != weights.shape[-1]):
            fits = False
            return
        mean = weights.float().mean(dim=1)  # (B, N, N)
        step = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2
        products[:] = [step @ products[0] if products else step]

    with torch.inference_mode(), _watching(module, attention_layers(module), len(x), watch):
        module.eval()(x)
    if not fits or not products:
        return None
    side = math.isqrt(products[0].shape[-1])
    prefix = products[0].shape[-1] - side**2
    row, _ = _row(module, products[0], prefix)
    return row[:, prefix:].unflatten(1, (side, side)).cpu().numpy()


def _row(module: nn.Module, weights: torch.Tensor, prefix: int) -> tuple[torch.Tensor, str]:
    """What the output is made from: (..., N, N) to (..., N)."""
    has_class = prefix > 0 and getattr(module, "has_class_token", True) and getattr(module, "cls_token", 0) is not None
    if has_class and getattr(module, "global_pool", "token") == "token":
        return weights[..., 0, :], CLASS
    return weights[..., prefix:, :].mean(dim=-2), MEAN


@contextmanager
def _watching(module: nn.Module, names: Sequence[str], batch: int, watch: Watch) -> Iterator[None]:
    """Have ``watch(name, weights)`` called with softmaxed attention (B, heads, N, N), or None where it is not such.

    The fused kernels never write the weights down, so they are off meanwhile.
    """
    with ExitStack() as stack:
        for name in names:
            layer: Any = module.get_submodule(name)
            if getattr(layer, "fused_attn", False):
                stack.callback(setattr, layer, "fused_attn", layer.fused_attn)
                layer.fused_attn = False
            tokens: list[int] = []

            def before(_: nn.Module, given: tuple[torch.Tensor, ...], tokens: list[int] = tokens) -> None:
                tokens[:] = _tokens(given[0], batch)

            def weigh(
                _: nn.Module, given: tuple[torch.Tensor, ...], name: str = name, tokens: list[int] = tokens
            ) -> None:
                watch(name, given[0] if _is_global(given[0], tokens, batch) else None)

            stack.callback(layer.register_forward_pre_hook(before).remove)
            stack.callback(layer.attn_drop.register_forward_pre_hook(weigh).remove)
        yield


def _tokens(x: torch.Tensor, batch: int) -> list[int]:
    """How many tokens the input of a layer may have: (B, N, C), (B, C, H, W) or (B, H, W, C)."""
    if x.shape[0] != batch:
        return []
    if x.ndim == 3:
        return [x.shape[1]]
    return [x.shape[2] * x.shape[3], x.shape[1] * x.shape[2]] if x.ndim == 4 else []


def _is_global(weights: torch.Tensor, tokens: Sequence[int], batch: int) -> bool:
    if weights.ndim != 4 or weights.shape[0] != batch or weights.shape[2] != weights.shape[3]:
        return False
    count = weights.shape[-1]
    if count not in tokens or count - math.isqrt(count) ** 2 > PREFIX:
        return False
    sums = weights.float().sum(dim=-1)  # mixed between heads they are no shares any more
    return bool(weights.min() >= 0) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
