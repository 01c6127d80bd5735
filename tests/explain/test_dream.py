"""Dreams excite the channel they are made for, far more than what they began with and than noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from topwork import backbones
from topwork.artifacts import InputSpec
from topwork.errors import UsageError
from topwork.explain.activations import activations
from topwork.explain.dream import dream
from topwork.explain.layers import Layer, list_layers

SIZE = 64


def _answers(module: nn.Module, layer: Layer, pixels: np.ndarray, spec: InputSpec) -> np.ndarray:
    mean, std = np.array(spec.mean), np.array(spec.std)
    x = torch.from_numpy(((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
    return activations(module, x, [layer.name])[layer.name].mean(axis=(2, 3))


def _random() -> tuple[nn.Module, InputSpec]:
    made = backbones.create("resnet10t", None, SIZE)
    return made.module, made.spec


def _pretrained() -> tuple[nn.Module, InputSpec]:
    made = backbones.create("tf_efficientnet_lite0", backbones.find_weights("tf_efficientnet_lite0", "pretrained"), 96)
    return made.module, made.spec


@pytest.mark.parametrize(("make", "name"), [(_random, "layer2"), (_pretrained, "blocks.4")])
def test_a_dream_excites_its_channel(make: Callable[[], tuple[nn.Module, InputSpec]], name: str) -> None:
    module, spec = make()
    layers = list_layers(module, torch.zeros(1, 3, spec.size, spec.size))
    layer = next(found for found in layers if found.name == name)
    steps: list[int] = []
    pixels = dream(module, layer, [3, 7], spec, size=spec.size, steps=32, advance=steps.append)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (2, spec.size, spec.size, 3))
    assert sum(steps) == 32
    start = dream(module, layer, [3, 7], spec, size=spec.size, steps=0)
    noise = np.random.default_rng(0).integers(0, 256, (24, spec.size, spec.size, 3))
    dreamt, begun, others = (_answers(module, layer, each, spec) for each in (pixels, start, noise))
    for i, channel in enumerate([3, 7]):
        spread = others[:, channel].std() + 1e-6
        assert dreamt[i, channel] > begun[i, channel] + 3 * spread
        assert dreamt[i, channel] > others[:, channel].max()
    assert all(p.grad is None for p in module.parameters())
    assert not any(child._forward_hooks for child in module.modules())


def test_the_same_seed_gives_the_same_picture_and_leaves_torch_alone() -> None:
    module, spec = _random()
    layer = next(one for one in list_layers(module, torch.zeros(1, 3, SIZE, SIZE)) if one.name == "layer1")
    before = torch.random.get_rng_state()
    first, second = (dream(module, layer, [0], spec, size=SIZE, steps=4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (dream(module, layer, [0], spec, size=SIZE, steps=4, seed=1) != first).any()


def test_a_channel_that_is_not_there() -> None:
    module, spec = _random()
    layer = next(one for one in list_layers(module, torch.zeros(1, 3, SIZE, SIZE)) if one.name == "layer1")
    with pytest.raises(UsageError, match="no channel 999"):
        dream(module, layer, [999], spec)
