"""The attention weights of transformers, head by head."""

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
from topwork.explain.layers import MAX_PREFIX_TOKENS, unwrap

CLASS_TOKEN, MEAN_TOKEN = "class token", "mean of all tokens"
CHANNEL_ATTENTION = ("XCA", "CrossCovarianceAttn")  # attention between channels, not between positions
WeightsCallback = Callable[[str, torch.Tensor | None], None]


@dataclass(frozen=True)
class Attention:
    """Attention weights of one layer.

    Attributes:
        layer: Dotted path in the backbone.
        heads: float32 (B, heads, H, W) in [0, 1]: attention of the query to each position. A map sums to 1 less the
            attention to the prefix tokens.
        query: ``"class token"``, or ``"mean of all tokens"`` of the grid where the network pools over them.
        prefix: Number of tokens before the grid.
    """

    layer: str
    heads: np.ndarray
    query: str
    prefix: int


def attention_layers(module: nn.Module) -> list[str]:
    """Names of the layers with attention weights; a forward pass shows which of them attend to all tokens."""
    return [
        name
        for name, layer in unwrap(module).named_modules()
        if isinstance(getattr(layer, "attn_drop", None), nn.Module)
        and isinstance(getattr(layer, "num_heads", None), int)
        and type(layer).__name__ not in CHANNEL_ATTENTION
    ]


def attention_maps(module: nn.Module, x: torch.Tensor, layers: Sequence[str] | None = None) -> dict[str, Attention]:
    """The attention of the query to each position, in every layer with attention from all tokens to all tokens.

    Layers are skipped whose attention is limited to windows or a coarser grid, is mixed between heads after the softmax
    (CaiT), or is between channels (XCiT).

    Args:
        module: A backbone; in eval mode afterwards.
        x: Normalised images (B, 3, S, S).
        layers: Names; None for all.

    Returns:
        Layer name to its attention, in the order of the forward pass; empty without such layers.

    Raises:
        UnknownName: No layer with attention has this name.
    """
    module = unwrap(module)
    names = attention_layers(module)
    for name in layers or ():
        if name not in names:
            raise UnknownName("layer with attention", name, names)
    found: dict[str, Attention] = {}

    def add(name: str, weights: torch.Tensor | None) -> None:
        if weights is None:
            return
        side = math.isqrt(weights.shape[-1])
        prefix = weights.shape[-1] - side**2
        heads, query = _query_row(module, weights, prefix)
        grid = heads[..., prefix:].unflatten(-1, (side, side)).float().cpu().numpy()
        found[name] = Attention(name, grid, query, prefix)

    with torch.inference_mode(), _attention_hooks(module, names if layers is None else layers, len(x), add):
        module.eval()(x)
    return found


def _query_row(module: nn.Module, weights: torch.Tensor, prefix: int) -> tuple[torch.Tensor, str]:
    """Weights (..., N, N) to those (..., N) of the token that becomes the features, or of the tokens' mean."""
    has_class = prefix > 0 and getattr(module, "has_class_token", True) and getattr(module, "cls_token", 0) is not None
    if has_class and getattr(module, "global_pool", "token") == "token":
        return weights[..., 0, :], CLASS_TOKEN
    return weights[..., prefix:, :].mean(dim=-2), MEAN_TOKEN


@contextmanager
def _attention_hooks(module: nn.Module, names: Sequence[str], batch: int, callback: WeightsCallback) -> Iterator[None]:
    """Call ``callback(name, weights)`` with the attention (B, heads, N, N) after the softmax, or None if not global.

    Fused kernels do not return the weights, so they are switched off inside.
    """
    with ExitStack() as stack:
        for name in names:
            layer: Any = module.get_submodule(name)
            if getattr(layer, "fused_attn", False):
                stack.callback(setattr, layer, "fused_attn", layer.fused_attn)
                layer.fused_attn = False
            tokens: list[int] = []

            def count(_: nn.Module, inputs: tuple[torch.Tensor, ...], tokens: list[int] = tokens) -> None:
                tokens[:] = _tokens(inputs[0], batch)

            def capture(
                _: nn.Module, inputs: tuple[torch.Tensor, ...], name: str = name, tokens: list[int] = tokens
            ) -> None:
                callback(name, inputs[0] if _is_global(inputs[0], tokens, batch) else None)

            stack.callback(layer.register_forward_pre_hook(count).remove)
            stack.callback(layer.attn_drop.register_forward_pre_hook(capture).remove)
        yield


def _tokens(x: torch.Tensor, batch: int) -> list[int]:
    """Possible numbers of tokens of a layer's input (B, N, C), (B, C, H, W) or (B, H, W, C)."""
    if x.shape[0] != batch:
        return []
    if x.ndim == 3:
        return [x.shape[1]]
    return [x.shape[2] * x.shape[3], x.shape[1] * x.shape[2]] if x.ndim == 4 else []


def _is_global(weights: torch.Tensor, tokens: Sequence[int], batch: int) -> bool:
    if weights.ndim != 4 or weights.shape[0] != batch or weights.shape[2] != weights.shape[3]:
        return False
    count = weights.shape[-1]
    if count not in tokens or count - math.isqrt(count) ** 2 > MAX_PREFIX_TOKENS:
        return False
    sums = weights.float().sum(dim=-1)  # not 1 if heads were mixed after the softmax
    return bool(weights.min() >= 0) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
