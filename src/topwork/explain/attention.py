"""The attention weights of transformers, head by head."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.explain.layers import MAX_PREFIX_TOKENS, unwrap

CLASS_TOKEN, MEAN_TOKEN = "class token", "mean of all tokens"
CHANNEL_ATTENTION = ("XCA", "CrossCovarianceAttn")  # attention between channels, not between positions


@dataclass(frozen=True)
class Attention:
    """Attention weights of one layer.

    Attributes:
        heads: float32 (B, heads, H, W) in [0, 1]: attention of the query to each position. A map sums to 1 less the
            attention to the prefix tokens.
        query: ``"class token"``, or ``"mean of all tokens"`` of the grid where the network pools over them.
        prefix: Number of tokens before the grid.
    """

    heads: np.ndarray
    query: str
    prefix: int


def attention_maps(module: nn.Module, x: torch.Tensor) -> dict[str, Attention]:
    """The attention of the query to each position, in every layer with attention from all tokens to all tokens.

    Layers are skipped whose attention is limited to windows or a coarser grid, is mixed between heads after the softmax
    (CaiT), or is between channels (XCiT).

    Args:
        module: A backbone; in eval mode afterwards.
        x: Normalized images (B, 3, S, S).

    Returns:
        Layer name to its attention, in the order of the forward pass; empty without such layers.
    """
    module = unwrap(module)
    found: dict[str, Attention] = {}

    def add(name: str, weights: torch.Tensor) -> None:
        side = math.isqrt(weights.shape[-1])
        prefix = weights.shape[-1] - side**2
        heads, query = _query_row(module, weights, prefix)
        grid = heads[..., prefix:].unflatten(-1, (side, side)).float().cpu().numpy()
        found[name] = Attention(grid, query, prefix)

    with torch.inference_mode(), _attention_hooks(module, len(x), add):
        module.eval()(x)
    return found


def _query_row(module: nn.Module, weights: torch.Tensor, prefix: int) -> tuple[torch.Tensor, str]:
    """Weights (..., N, N) to those (..., N) of the token that becomes the features, or of the tokens' mean."""
    has_class = prefix > 0 and getattr(module, "has_class_token", True) and getattr(module, "cls_token", 0) is not None
    if has_class and getattr(module, "global_pool", "token") == "token":
        return weights[..., 0, :], CLASS_TOKEN
    return weights[..., prefix:, :].mean(dim=-2), MEAN_TOKEN


@contextmanager
def _attention_hooks(module: nn.Module, batch: int, callback: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """Call ``callback(name, weights)`` with every global attention (B, heads, N, N) after the softmax.

    Fused kernels do not return the weights, so they are switched off inside.
    """
    with ExitStack() as stack:
        layers: Iterable[tuple[str, Any]] = module.named_modules()
        for name, layer in layers:
            if not _has_attention(layer):
                continue
            if getattr(layer, "fused_attn", False):
                stack.callback(setattr, layer, "fused_attn", layer.fused_attn)
                layer.fused_attn = False
            tokens: list[int] = []

            def count(_: nn.Module, inputs: tuple[torch.Tensor, ...], tokens: list[int] = tokens) -> None:
                tokens[:] = _tokens(inputs[0], batch)

            def capture(
                _: nn.Module, inputs: tuple[torch.Tensor, ...], name: str = name, tokens: list[int] = tokens
            ) -> None:
                if _is_global(inputs[0], tokens, batch):
                    callback(name, inputs[0])

            stack.callback(layer.register_forward_pre_hook(count).remove)
            stack.callback(layer.attn_drop.register_forward_pre_hook(capture).remove)
        yield


def _has_attention(layer: Any) -> bool:
    """Whether a layer computes attention weights between positions; a forward pass shows whether they are global."""
    return (
        isinstance(getattr(layer, "attn_drop", None), nn.Module)
        and isinstance(getattr(layer, "num_heads", None), int)
        and type(layer).__name__ not in CHANNEL_ATTENTION
    )


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
