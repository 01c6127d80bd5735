"""How layers changed: CKA against the formulas of the papers, written out; weights against plain arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from torch import nn

from topwork.backbones import build
from topwork.core.errors import DataError, UsageError
from topwork.explain.activations import activations
from topwork.explain.layers import Layer, list_layers
from topwork.explain.similarity import LayerChange, compare_layers

SIZE = 64


class _Table(nn.Module):
    """Gives each image the row of a table that its first pixel names: a layer with any outputs one likes."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.rows = nn.Buffer(torch.from_numpy(rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rows[x[:, 0, 0, 0].long()]


def _network(rows: np.ndarray) -> nn.Module:
    return nn.Sequential(_Table(rows.astype(np.float32)))


def _numbers(count: int, size: int) -> Iterator[torch.Tensor]:
    for split in torch.arange(count, dtype=torch.float32).split(size):
        yield split[:, None, None, None].expand(-1, 3, 2, 2).contiguous()


def _cka(first: np.ndarray, second: np.ndarray, batch: int) -> float:
    layer = Layer("0", "_Table", first.shape[1:], "vector", 1, True)
    (found,) = compare_layers(_network(first), _network(second), [layer], _numbers(len(first), batch))
    return found.cka


def _hsic(k: np.ndarray, m: np.ndarray) -> float:
    """HSIC_1 of Song et al. 2012, equation 5, summed up with loops."""
    n = len(k)
    trace = sums_k = sums_m = mixed = 0.0
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            trace += k[i, j] * m[j, i]
            sums_k += k[i, j]
            sums_m += m[i, j]
            mixed += sum(k[i, j] * m[j, q] for q in range(n) if q != j)
    return (trace + sums_k * sums_m / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2)) / (n * (n - 3))


def _reference(first: np.ndarray, second: np.ndarray, batch: int) -> float:
    """Minibatch CKA of Nguyen et al. 2021; batches count by their number of images."""
    sums = np.zeros(3)
    for start in range(0, len(first), batch):
        a, b = (rows[start : start + batch].astype(np.float64) for rows in (first, second))
        if len(a) > 3:
            k, m = a @ a.T, b @ b.T
            sums += len(a) * np.array([_hsic(k, m), _hsic(k, k), _hsic(m, m)])
    return float(np.clip(sums[0] / np.sqrt(sums[1] * sums[2]), 0, 1))


def _related(count: int, width: int, other: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(count, width)) + 3
    second = first @ rng.normal(size=(width, other)) + 2 * rng.normal(size=(count, other))
    return first.astype(np.float32), second.astype(np.float32)


@pytest.mark.parametrize(("count", "batch"), [(16, 16), (24, 8), (21, 8), (18, 8), (10, 5)])
def test_cka_is_that_of_the_papers(count: int, batch: int) -> None:
    first, second = _related(count, 6, 9)
    found = _cka(first, second, batch)
    assert 0.1 < found < 0.95
    assert found == pytest.approx(_reference(first, second, batch), abs=1e-9)


def test_one_batch_of_many_images_nears_the_plain_cka() -> None:
    """The biased estimator of Kornblith et al. 2019, from features instead of Gram matrices; they meet for large N."""
    first, second = _related(3000, 6, 9)
    a, b = (rows - rows.mean(axis=0) for rows in (first.astype(np.float64), second.astype(np.float64)))
    unwrap = np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert _cka(first, second, 3000) == pytest.approx(unwrap, abs=0.005)
    assert _cka(first, second, 30) == pytest.approx(unwrap, abs=0.02)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows,
        lambda rows: rows @ ortho_group.rvs(rows.shape[1], random_state=3),
        lambda rows: 7 * rows + 100,
        lambda rows: rows[:, ::-1].copy(),
    ],
    ids=["nothing", "rotation", "scale and shift", "order of channels"],
)
def test_what_cka_does_not_count_as_a_change(change: Callable[[np.ndarray], np.ndarray]) -> None:
    first, _ = _related(32, 12, 1)
    assert _cka(first, change(first), 16) == pytest.approx(1, abs=1e-6)


def test_independent_features_are_not_alike() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 320, 200))  # wider than the batches, where the biased estimator says 0.9
    assert _cka(first, second, 32) < 0.02


def test_constant_layers_and_small_differences_on_a_large_offset() -> None:
    rng = np.random.default_rng(1)
    vary = rng.normal(size=(16, 7))
    flat = np.full((16, 7), 0.1) + rng.normal(size=7)
    assert _cka(flat, vary, 8) == _cka(vary, flat, 8) == 0
    assert _cka(flat, 2 * flat, 8) == 1
    rounding = flat.astype(np.float32) * (1 + 1e-7 * rng.integers(0, 2, size=(16, 7)))
    assert _cka(rounding, vary, 8) == 0
    assert _cka(vary, vary + 4096, 8) == pytest.approx(1, abs=1e-4)  # float32 keeps 4 digits of the differences


def test_too_few_images_are_left_out_or_said() -> None:
    first, second = _related(19, 6, 9)
    assert _cka(first, second, 16) == _cka(first[:16], second[:16], 16)  # the last batch has 3
    with pytest.raises(DataError, match="at least 4 images"):
        _cka(first[:9], second[:9], 3)


def _images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("model", ["tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_every_layer_of_real_networks(model: str) -> None:
    torch.manual_seed(0)
    before = build.create(model, None, SIZE).module
    after = copy.deepcopy(before)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter += 0.1 * parameter.std(correction=0) * torch.randn_like(parameter)
    x = _images(10)
    layers = [layer for layer in list_layers(before, x) if layer.layout != "other"]
    same = compare_layers(before, before, layers, x.split(5))
    assert [change.layer for change in same] == [layer.name for layer in layers]
    assert all(change.cka == pytest.approx(1, abs=1e-6) for change in same)
    assert {change.weight for change in same} <= {0.0, None}
    found = compare_layers(before, after, layers, x.to(memory_format=torch.channels_last).split(5))
    outputs = [[activations(module, split) for split in x.split(5)] for module in (before, after)]
    for layer, change in list(zip(layers, found, strict=True))[:: len(layers) // 12]:
        flat = [np.concatenate([split[layer.name] for split in splits]).reshape(10, -1) for splits in outputs]
        assert change.cka == pytest.approx(_reference(flat[0], flat[1], 5), abs=1e-4)
        old, new = (
            torch.cat([w.flatten() for w in [torch.zeros(0), *module.get_submodule(layer.name).parameters()]]).detach()
            for module in (before, after)
        )
        wanted = float((new - old).norm() / old.norm()) if len(old) else None
        assert change.weight == (None if wanted is None else pytest.approx(wanted, rel=1e-4))
    assert found[-1].cka < 1
    assert not any(child._forward_hooks for module in (before, after) for child in module.modules())


def test_weights_that_were_all_zero_have_no_relative_distance() -> None:
    before, after = nn.Sequential(nn.Conv2d(3, 2, 1)), nn.Sequential(nn.Conv2d(3, 2, 1))
    for parameter in before.parameters():
        nn.init.zeros_(parameter)
    (found,) = compare_layers(before, after, list_layers(before, _images(1)), [_images(4)])
    assert found == LayerChange("0", 0.0, None)


def test_other_architectures_and_windows_are_refused() -> None:
    before, wide, other = nn.Sequential(nn.Conv2d(3, 2, 1)), nn.Sequential(nn.Conv2d(3, 5, 1)), nn.Sequential()
    layers = list_layers(before, _images(1))
    with pytest.raises(UsageError, match="differ in shape"):
        compare_layers(before, wide, layers, [_images(4)])
    with pytest.raises(UsageError, match="Only one"):
        compare_layers(before, other, layers, [_images(4)])
    windows = nn.Sequential(nn.Unflatten(0, (-1, 2)), nn.Flatten(1, 2))
    layer = Layer("0", "Unflatten", (2, 3, SIZE, SIZE), "other", 1, True)
    with pytest.raises(UsageError, match="no row per image"):
        compare_layers(windows, windows, [layer], [_images(4)])
