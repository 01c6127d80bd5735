"""Attention: the very weights the network uses, by hand from its projections; nothing is changed; who has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from topwork.backbones import build
from topwork.explain.attention import attention_maps

SIZE = 64


def _made(model: str, size: int | None = SIZE) -> tuple[nn.Module, torch.Tensor]:
    made = build.create(model, None, size)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # fresh weights hardly attend
        for name, parameter in made.module.named_parameters():
            if "qkv" in name or "relative_position_bias" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return made.module, torch.randn(2, 3, made.spec.size, made.spec.size, generator=generator)


def _by_hand(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """softmax(q k^T / sqrt d) of every block, from what goes into its attention."""
    weights = []

    def after(layer: nn.Module, given: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        tokens, heads = given[0], int(layer.num_heads)
        batch, count, width = tokens.shape
        projected = tokens @ layer.qkv.weight.T
        if layer.qkv.bias is not None:
            projected = projected + layer.qkv.bias
        elif getattr(layer, "q_bias", None) is not None:
            projected = projected + torch.cat([layer.q_bias, torch.zeros(width), layer.v_bias])
        query, key, _ = projected.view(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(width // heads)
        if getattr(layer, "relative_position_bias_table", None) is not None:
            table = layer.relative_position_bias_table[layer.relative_position_index]
            scores = scores + table.permute(2, 0, 1)
        weights.append(scores.exp() / scores.exp().sum(dim=-1, keepdim=True))

    hooks = [block.attn.register_forward_hook(after) for block in module.blocks]  # type: ignore[union-attr]
    with torch.no_grad():
        module.eval()(x)
    for hook in hooks:
        hook.remove()
    return weights


@pytest.mark.parametrize(
    ("model", "prefix", "query"),
    [
        ("vit_tiny_patch16_224", 1, "class token"),
        ("deit_tiny_distilled_patch16_224", 2, "class token"),
        ("beit_base_patch16_224", 1, "mean of all tokens"),
    ],
)
def test_heads_are_the_softmax_by_hand(model: str, prefix: int, query: str) -> None:
    module, x = _made(model)
    weights = _by_hand(module, x)
    found = attention_maps(module, x)
    assert list(found) == [f"blocks.{i}.attn" for i in range(12)]
    for attention, reference in zip(found.values(), weights, strict=True):
        assert (attention.prefix, attention.query) == (prefix, query)
        row = reference[:, :, 0] if query == "class token" else reference[:, :, prefix:].mean(dim=2)
        side = SIZE // 16
        assert attention.heads.dtype == np.float32
        assert attention.heads.shape == (2, reference.shape[1], side, side)
        np.testing.assert_allclose(attention.heads.reshape(2, -1, side**2), row[..., prefix:].numpy(), atol=1e-5)
        assert (attention.heads.sum(axis=(2, 3)) < 1).all()
    assert np.ptp(found["blocks.0.attn"].heads) > 0.01  # they do attend to something


@pytest.mark.parametrize(
    ("model", "size", "prefix", "query"),
    [
        ("eva02_tiny_patch14_224", 56, 1, "mean of all tokens"),  # rotated queries and keys
        ("vit_wee_patch16_reg1_gap_256", 64, 1, "mean of all tokens"),  # a register, no class token
        ("vit_relpos_small_patch16_224", 64, 0, "mean of all tokens"),
        ("visformer_tiny", 224, 0, "mean of all tokens"),  # a map, not a row of tokens
    ],
)
def test_heads_are_what_the_fused_kernel_would_weigh_with(
    model: str, size: int, prefix: int, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = _made(model, size)
    for layer in module.modules():
        if hasattr(layer, "fused_attn"):  # off by default in some families
            layer.fused_attn = True
    kernel = functional.scaled_dot_product_attention
    used: list[torch.Tensor] = []

    def recorded(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: Any = None, **rest: Any) -> torch.Tensor:
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        used.append((scores if attn_mask is None else scores + attn_mask).softmax(dim=-1))
        return kernel(q, k, v, attn_mask=attn_mask, **rest)

    with monkeypatch.context() as patched, torch.inference_mode():
        patched.setattr(functional, "scaled_dot_product_attention", recorded)
        module.eval()(x)
    found = attention_maps(module, x)
    assert len(found) == len(used) > 0
    for attention, weights in zip(found.values(), used, strict=True):
        assert (attention.prefix, attention.query) == (prefix, query)
        row = weights[:, :, prefix:].mean(dim=2)[..., prefix:]
        # a difference in the last bits of q and k shows in the third digit where random weights make large scores
        np.testing.assert_allclose(attention.heads.reshape(row.shape), row.numpy(), atol=2e-3)


@pytest.mark.parametrize("looker", [attention_maps])
def test_the_network_is_left_as_it_was(looker: Callable[..., Any]) -> None:
    module, x = _made("vit_tiny_patch16_224")
    fused = {name: layer.fused_attn for name, layer in module.named_modules() if hasattr(layer, "fused_attn")}
    assert any(fused.values())
    with torch.inference_mode():
        before = module.eval()(x)
        looker(module, x)
        torch.testing.assert_close(module(x), before, atol=1e-5, rtol=0)
    with pytest.raises((RuntimeError, AssertionError)):
        looker(module, x[..., :50, :50])
    assert {name: layer.fused_attn for name, layer in module.named_modules() if hasattr(layer, "fused_attn")} == fused
    assert not any(layer._forward_pre_hooks or layer._forward_hooks for layer in module.modules())


@pytest.mark.parametrize("model", ["resnet10t", "cait_xxs24_224", "xcit_nano_12_p16_224", "mixer_s32_224"])
def test_networks_without_attention_between_all_places_have_none(model: str) -> None:
    made = build.create(model, None, None if "mixer" in model else SIZE)
    x = torch.randn(1, 3, made.spec.size, made.spec.size, generator=torch.Generator().manual_seed(0))
    assert attention_maps(made.module, x) == {}


def test_attention_between_channels_is_not_taken_for_places() -> None:
    """As many channels a head as tokens, so that the shapes alone would fit."""
    module = build.create("xcit_nano_12_p8_224", None, SIZE).module  # 64 tokens of 128 channels
    for block in module.blocks:  # type: ignore[union-attr]
        block.attn.num_heads, block.attn.temperature = 2, nn.Parameter(torch.ones(2, 1, 1))
    assert attention_maps(module, torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))) == {}


class _Turned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


class _HeadsInBatch(nn.Module):
    """Attends over all tokens, but lays its heads along the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = 2, nn.Dropout(0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = torch.cat(x.chunk(self.num_heads, dim=2))
        weights = (heads @ heads.transpose(1, 2)).softmax(dim=-1)[:, None]
        return torch.cat(self.attn_drop(weights)[:, 0].matmul(heads).chunk(self.num_heads), dim=2)


def test_weights_that_are_not_laid_out_by_image_are_left_out() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 16, 16), nn.Flatten(2), _Turned(), _HeadsInBatch())
    assert attention_maps(module, torch.zeros(3, 3, 64, 64)) == {}


def test_windows_are_left_out_where_there_are_several() -> None:
    module, x = _made("swin_tiny_patch4_window7_224", None)
    found = attention_maps(module, x)
    assert {name.rpartition(".blocks")[0] for name in found} == {"layers.3"}  # 7 x 7 places: one window
    assert all(one.heads.shape == (2, 24, 7, 7) for one in found.values())
