"""One pass over many images: every observer sees every layer of every image, and the network comes out as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from topwork.backbones import build
from topwork.core.errors import DataError
from topwork.explain.activations import activations
from topwork.explain.layers import list_layers, to_feature_map
from topwork.explain.observers import Pooled, run_with_observers

SIZE = 64


def _images(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


class _Keeper:
    """Copies what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, np.ndarray]] = []

    def observe(self, name: str, values: torch.Tensor) -> None:
        self.seen.append((name, values.numpy().copy()))


@pytest.mark.parametrize("model", ["resnet10t", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_observers_see_what_a_plain_pass_computes(model: str) -> None:
    module = build.create(model, None, SIZE).module
    x = _images(5)
    layers = [layer for layer in list_layers(module, x) if layer.is_spatial or layer.layout == "vector"]
    first, pooled = _Keeper(), Pooled({layer.name for layer in layers})
    features = run_with_observers(module, layers, x.split(2), [first, pooled])
    assert [name for name, _ in first.seen] == 3 * [layer.name for layer in layers]
    assert features.dtype == np.float32
    for number in range(3):
        split = slice(2 * number, 2 * number + 2)
        outputs = activations(module, x[split])
        seen = dict(first.seen[number * len(layers) : (number + 1) * len(layers)])
        for layer in layers:
            wanted = to_feature_map(torch.from_numpy(outputs[layer.name]), layer).numpy()
            np.testing.assert_array_equal(seen[layer.name], wanted)
            mean = wanted.astype(np.float64).mean(axis=(2, 3))
            np.testing.assert_allclose(pooled.features(layer.name)[split], mean, rtol=1e-4, atol=1e-5)
        with torch.inference_mode():
            np.testing.assert_array_equal(features[split], module(x[split]).numpy())
    assert not any(child._forward_hooks for child in module.modules())


class _Twice(nn.Module):
    """Calls a layer twice, and overwrites what it gave in place."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.inner(x).relu()).mul_(0).mean((2, 3))


def test_the_last_call_is_seen_once_and_before_it_is_overwritten() -> None:
    module, x = _Twice(), _images(4, 8)
    layers = list_layers(module, x)
    keeper, pooled = _Keeper(), Pooled({"inner"})
    run_with_observers(module, layers, x.split(2), [keeper, pooled])
    assert len(keeper.seen) == 2
    with torch.inference_mode():
        last = module.inner(module.inner(x).relu())
    np.testing.assert_allclose(np.concatenate([values for _, values in keeper.seen]), last.numpy(), atol=1e-6)
    np.testing.assert_allclose(pooled.features("inner"), last.mean((2, 3)).numpy(), atol=1e-6)


def test_training_mode_is_left_and_statistics_stay() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).train()
    x = _images(4, 8)
    layers = list_layers(nn.Sequential(*module), x)
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run_with_observers(module, layers, x.split(2), [Pooled({"0"})])
    assert not module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_hooks_go_when_an_observer_fails() -> None:
    class Broken:
        def observe(self, name: str, values: torch.Tensor) -> None:
            raise ZeroDivisionError

    module, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), _images(2, 8)
    layers = list_layers(module, x)
    with pytest.raises(ZeroDivisionError):
        run_with_observers(module, layers, x.split(2), [Broken()])
    assert not any(child._forward_hooks for child in module.modules())


def test_no_images_are_an_error() -> None:
    module, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), _images(2, 8)
    with pytest.raises(DataError, match="No images"):
        run_with_observers(module, list_layers(module, x), [], [Pooled({"0"})])
