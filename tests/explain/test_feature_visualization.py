"""Dreams: they excite their channel far more than chance does, come out the same again, and leave nothing behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from topwork.backbones import build
from topwork.backbones.weights import find_weights
from topwork.core.artifacts import InputSpec
from topwork.explain.feature_visualization import visualize_channels
from topwork.explain.layers import Layer, forward_hooks, list_layers, to_feature_map

SPEC = InputSpec(64, 64, "bilinear", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def _layer(module: nn.Module, name: str, size: int) -> Layer:
    return next(layer for layer in list_layers(module, torch.zeros(1, 3, size, size)) if layer.name == name)


def _answers(module: nn.Module, layer: Layer, pixels: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Mean answer of every channel to pictures uint8 (B, S, S, 3), (B, C)."""
    x = (pixels.astype(np.float32) / 255 - np.float32(spec.mean)) / np.float32(spec.std)
    found = []
    with (
        torch.inference_mode(),
        forward_hooks(
            module, [layer.name], lambda _, __, y, ___: found.append(to_feature_map(y, layer).mean((2, 3)).numpy())
        ),
    ):
        module.eval()(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous())
    return found[-1]


def _chance(size: int, count: int = 24) -> np.ndarray:
    """Pictures with the 1/f amplitudes of natural ones and full contrast, and white noise."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    white = rng.normal(size=(count, 3, size, size))
    natural = np.fft.ifft2(np.fft.fft2(white) / np.maximum(frequency, 1 / size)).real
    natural = 128 + 64 * natural / natural.std(axis=(2, 3), keepdims=True)
    both = np.concatenate([natural, 128 + 64 * white])
    return np.clip(both, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _far_above_chance(module: nn.Module, layer: Layer, channels: list[int], spec: InputSpec, size: int) -> None:
    dreamt = visualize_channels(module, layer, channels, replace(spec, size=size), steps=24)
    start = visualize_channels(module, layer, channels, replace(spec, size=size), steps=0)
    assert dreamt.shape == start.shape == (len(channels), size, size, 3)
    assert dreamt.dtype == np.uint8
    chance = _answers(module, layer, _chance(size), spec)[:, channels]
    own = _answers(module, layer, dreamt, spec)[range(len(channels)), channels]
    begin = _answers(module, layer, start, spec)[range(len(channels)), channels]
    spread = chance.std(axis=0)
    assert (own > chance.max(axis=0)).all()
    assert (own > chance.mean(axis=0) + 3 * spread).all()
    assert (own > begin + 3 * spread).all()


@pytest.mark.parametrize("name", ["layer2", "layer4"])
def test_random_weights_are_excited(name: str) -> None:
    module = build.create("resnet10t", None, 64).module
    for split in module.modules():  # fresh branches end in a scale of 0
        if isinstance(split, nn.BatchNorm2d):
            nn.init.ones_(split.weight)
    _far_above_chance(module, _layer(module, name, 64), [0, 7, 30], SPEC, 64)


def test_pretrained_weights_are_excited() -> None:
    model = "tf_efficientnet_lite0"
    made = build.create(model, find_weights(model, "pretrained"))
    for name in ("blocks.4", "blocks.6"):
        _far_above_chance(made.module, _layer(made.module, name, 96), [3, 11], made.spec, 96)


class _Silent(nn.Module):
    """Answers 0 to nearly everything: only much red gets over the threshold."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.top = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(inplace))
        with torch.no_grad():
            self.top[0].weight.zero_()
            self.top[0].weight[0, 0] = 1 / 9
            self.top[0].bias.fill_(-1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top(x).mean((2, 3))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_silent_rectifier_is_woken(inplace: bool) -> None:
    module = _Silent(inplace)
    layer = _layer(module, "top", 32)
    start, dreamt = (visualize_channels(module, layer, [0], replace(SPEC, size=32), steps=steps) for steps in (0, 60))
    assert _answers(module, layer, start, SPEC)[0, 0] == 0
    assert _answers(module, layer, dreamt, SPEC)[0, 0] > 0.3
    assert dreamt[..., 0].mean() > 190


def test_what_color_a_channel_likes() -> None:
    """The input spec is obeyed and the colors come out in order."""
    module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False))
    nn.init.eye_(module[0].weight[:, :, 0, 0])
    layer = _layer(module, "0", 16)
    for channel, picture in enumerate(visualize_channels(module, layer, [0, 1, 2], replace(SPEC, size=16), steps=60)):
        assert picture[..., channel].mean() > 200
        assert picture.mean(axis=(0, 1)).argmax() == channel


def test_equal_arguments_give_equal_images() -> None:
    module = build.create("resnet10t", None, 64).module
    layer = _layer(module, "layer2", 64)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = visualize_channels(module, layer, [1, 2], SPEC, steps=6)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    np.testing.assert_array_equal(visualize_channels(module, layer, [1, 2], SPEC, steps=6), first)


def test_a_batch_of_channels_is_as_each_alone() -> None:
    module = build.create("resnet10t", None, 64).module
    layer = _layer(module, "layer2", 64)
    together = visualize_channels(module, layer, [4, 9, 4], SPEC, steps=6)
    for channel, picture in zip([4, 9, 4], together, strict=True):
        alone = visualize_channels(module, layer, [channel], SPEC, steps=6)[0]
        assert np.abs(picture.astype(int) - alone).mean() < 0.5
    assert np.abs(together[0].astype(int) - together[1]).mean() > 3


def test_nothing_is_left_behind() -> None:
    module = build.create("resnet10t", None, 64).module.train()
    layer = _layer(module, "layer3", 64)
    module.train()
    for i, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(i % 2 == 0)  # partly frozen
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.inference_mode():  # a caller's mode does not matter
        visualize_channels(module, layer, [0], SPEC, steps=3)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert [parameter.requires_grad for parameter in module.parameters()] == [
        i % 2 == 0 for i in range(len(list(module.parameters())))
    ]
    assert not any(split._forward_hooks or split._forward_pre_hooks for split in module.modules())


def test_what_comes_after_the_layer_is_not_computed() -> None:
    module = build.create("resnet10t", None, 64).module
    layer = _layer(module, "layer2", 64)
    module.layer3.register_forward_hook(lambda *_: pytest.fail("layer3 was computed"))
    visualize_channels(module, layer, [0], SPEC, steps=1)


def test_networks_of_one_size_keep_it_and_others_take_less() -> None:
    made = build.create("vit_tiny_patch16_224", None, 160)
    layer = _layer(made.module, "blocks.1", 160)
    assert visualize_channels(made.module, layer, [0], made.spec, steps=1).shape == (1, 160, 160, 3)
    free = build.create("resnet10t", None, 224)
    layer = _layer(free.module, "layer1", 224)
    assert visualize_channels(free.module, layer, [0], free.spec, steps=1).shape == (1, 128, 128, 3)
