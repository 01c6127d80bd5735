"""Layers of networks: what comes out, bit for bit; where it lies; how far it sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from topwork.backbones import build
from topwork.core.errors import UnknownName, UsageError
from topwork.data.images import load_image
from topwork.explain.activations import activations
from topwork.explain.inspected_model import backbone_model
from topwork.explain.layers import list_layers, select_stages, to_feature_map
from topwork.explain.receptive_field import receptive_fields

SIZE = 64
FAMILIES = [
    ("resnet10t", SIZE),
    ("resnext26ts", SIZE),
    ("tf_efficientnet_lite0", SIZE),
    ("mobilenetv3_small_050", SIZE),
    ("convnext_atto", SIZE),
    ("regnetx_002", SIZE),
    ("densenet121", SIZE),
    ("vit_tiny_patch16_224", SIZE),
    ("deit_tiny_distilled_patch16_224", SIZE),
    ("swin_tiny_patch4_window7_224", SIZE),
    ("maxvit_rmlp_pico_rw_256", SIZE),
    ("mixer_s32_224", SIZE),
]


def _images(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("model", "size"), FAMILIES, ids=[name for name, _ in FAMILIES])
def test_the_walk_through_every_family(model: str, size: int) -> None:
    try:
        module = build.create(model, None, size).module
    except UsageError:  # takes only its own size
        made = build.create(model, None)
        module, size = made.module, made.spec.size
    x = _images(size)
    layers = list_layers(module, x)
    assert len(layers) > 10
    with torch.inference_mode():
        before = module(x)
    found = activations(module, x)
    for layer in layers:
        output = found[layer.name]
        assert output.shape[1:] == layer.shape
        if layer.layout != "other":
            values = to_feature_map(torch.from_numpy(output), layer)
            assert values.ndim == 4
            assert values.shape[1] == layer.channels
            assert values.shape[2] == values.shape[3]
    stages = select_stages(module, layers)
    assert 2 <= len(stages) <= 12
    assert all(stage.is_spatial for stage in stages)
    assert not any(child._forward_hooks for child in module.modules())
    with torch.inference_mode():
        assert torch.equal(module(x), before)


def test_activations_are_those_of_a_plain_pass_bit_for_bit() -> None:
    module = build.create("resnet10t", None, SIZE).module
    x = _images(SIZE)
    found = activations(module, x)
    with torch.inference_mode():
        stem = module.conv1(x)
        np.testing.assert_array_equal(found["conv1"], stem.numpy())
        np.testing.assert_array_equal(found["bn1"], module.bn1(stem).numpy())  # overwritten in place by what follows
        y = module.forward_features(x)
    np.testing.assert_array_equal(found["layer4"], y.numpy())


def test_a_photo_is_prepared_as_the_network_wants_it(photos: Path) -> None:
    path = photos / "class0" / "000.png"
    subject, _ = backbone_model("resnet10t", "random", SIZE)
    x = subject.inputs([load_image(path)])
    wanted = activations(subject.backbone, x, ["layer4"])["layer4"]
    for photo in (path, str(path), load_image(path)):
        np.testing.assert_array_equal(activations(subject, photo, ["layer4"])["layer4"], wanted)
    assert activations(timm.create_model("resnet10t"), path, ["conv1"])["conv1"].shape == (1, 64, 88, 88)
    with pytest.raises(UsageError, match="normalized"):
        activations(nn.Sequential(nn.Conv2d(3, 4, 3)), path)


class _Odd(nn.Module):
    """Calls one layer twice, has one that gives a tuple, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.pair, self.idle = nn.Conv2d(3, 3, 3, padding=1), _Pair(), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pair(self.twice(self.twice(x).relu()))[0].mean((2, 3))


class _Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
        return x * 2, {"rest": 1}


def test_odd_layers_are_said_not_crashed_on() -> None:
    module, x = _Odd(), _images(8)
    layers = {layer.name: layer for layer in list_layers(module, x)}
    assert set(layers) == {"twice", "pair"}
    assert layers["twice"].calls == 2
    assert layers["twice"].note == "called 2 times, the last is shown"
    assert layers["pair"].note == "several outputs, the first tensor is shown"
    found = activations(module, x)
    with torch.inference_mode():
        last = module.twice(module.twice(x).relu())
    np.testing.assert_array_equal(found["twice"], last.numpy())
    np.testing.assert_array_equal(found["pair"], 2 * last.numpy())


def test_a_wrong_layer_names_the_nearest() -> None:
    module = build.create("resnet10t", None, SIZE).module
    with pytest.raises(UnknownName, match="layer3"):
        activations(module, _images(SIZE), ["layer33"])


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:FutureWarning", "ignore::DeprecationWarning")
def test_compiled_and_scripted_networks() -> None:
    module, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), _images(8)
    compiled = torch.compile(module)
    np.testing.assert_array_equal(activations(compiled, x)["0"], activations(module, x)["0"])
    with pytest.raises(UsageError, match="scripted"):
        list_layers(torch.jit.trace(module, x), x)


def test_hooks_go_when_the_network_fails() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(999, 2))
    with pytest.raises(RuntimeError):
        activations(module, _images(8))
    assert not any(child._forward_hooks for child in module.modules())


class _Branches(nn.Module):
    """Strides, a pool, and two branches of different reach, one of them dilated."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.narrow, self.wide = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GELU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.block(self.pool(self.narrow(x) + self.wide(x))).mean((2, 3))


def _resnet() -> nn.Module:
    module = timm.create_model("resnet10t")
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.ones_(child.weight)  # the last one of a block is 0 before training
    return module


@pytest.mark.parametrize(
    ("make", "names", "size"),
    [(_Branches, ["stem", "wide", "pool", "block"], 48), (_resnet, ["conv1.0", "maxpool", "layer1"], 64)],
)
def test_receptive_fields_hold_the_pixels_that_change_the_activation(
    make: Callable[[], nn.Module], names: list[str], size: int
) -> None:
    """Brute force: change every pixel of the middle row and column alone and compare the middle value."""
    torch.manual_seed(0)
    module = make().eval()
    layers = list_layers(module, _images(size, 1))
    fields = receptive_fields(module, layers, size)
    changed: dict[str, np.ndarray] = {}
    middle = size // 2
    for attempt in range(3):  # a pixel below the maximum of a pool changes nothing: other images, and both signs
        x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(attempt))
        for amount in (-20.0, 20.0):
            rows, columns = x.repeat(size, 1, 1, 1), x.repeat(size, 1, 1, 1)
            for i in range(size):
                rows[i, :, i, middle] += amount
                columns[i, :, middle, i] += amount
            found = activations(module, torch.cat([x, rows, columns]), names)
            for name, values in found.items():
                center = values[:, :, values.shape[2] // 2, values.shape[3] // 2]
                moved = (np.abs(center[1:] - center[0]) > 1e-6).any(axis=1).reshape(2, size)
                changed[name] = changed.get(name, False) | moved
    for name in names:
        field = fields[name]
        x0, y0, x1, y1 = field.box(field.index, field.index)
        for (start, end), pixels in zip([(y0, y1), (x0, x1)], changed[name], strict=True):
            assert (pixels.nonzero()[0][[0, -1]] == [start, end - 1]).all(), name


@pytest.mark.parametrize(
    ("model", "layer", "size"),
    [
        ("convnext_atto", "stages.0", 52),  # its branches begin with a scale of 1e-6
        ("vit_tiny_patch16_224", "patch_embed.proj", 16),
        ("vit_tiny_patch16_224", "blocks.0", 224),
    ],
)
def test_receptive_fields_of_other_families(model: str, layer: str, size: int) -> None:
    module = build.create(model, None).module
    layers = [found for found in list_layers(module, _images(224, 1)) if found.name == layer]
    assert receptive_fields(module, layers, 224)[layer].size == size


def test_receptive_fields_of_resnet50_are_those_of_the_books() -> None:
    module = build.create("resnet50", None).module
    layers = [layer for layer in list_layers(module, _images(224, 1)) if layer.name in ("act1", "maxpool", "layer1")]
    fields = receptive_fields(module, layers, 224)
    assert {name: field.size for name, field in fields.items()} == {"act1": 7, "maxpool": 11, "layer1": 35}
    assert fields["layer1"].step == 4
    left, upper, right, lower = fields["layer1"].box(10, 20)
    assert (right - left, lower - upper) == (35, 35)
    assert left - upper == 4 * 10
