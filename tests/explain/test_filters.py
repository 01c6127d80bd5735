"""The first filters: what the network computes with, on one scale; where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from topwork.backbones import build
from topwork.explain.filters import first_filters

FAMILIES = {
    "resnet10t": "conv1.0",
    "tf_efficientnet_lite0": "conv_stem",
    "convnext_atto": "stem.0",
    "vit_tiny_patch16_224": "patch_embed.proj",
    "repvgg_a0": "stem.conv_kxk.conv",
    "resnetv2_50x1_bit": "stem.conv",
    "nf_regnet_b0": "stem.conv",
}


def _impulses(layer: nn.Conv2d) -> np.ndarray:
    """The filters (F, k, k, 3) as the slope of the output in the middle by every pixel."""
    side = 6 * layer.kernel_size[0]
    x = torch.zeros(1, 3, side, side, requires_grad=True)
    y = layer(x)
    middle = y.shape[2] // 2
    slopes = torch.stack([torch.autograd.grad(value, x, retain_graph=True)[0][0] for value in y[0, :, middle, middle]])
    used = slopes.abs().amax(dim=(0, 1)).nonzero()
    (top, left), (bottom, right) = used.amin(dim=0).tolist(), used.amax(dim=0).tolist()
    return slopes[:, :, top : bottom + 1, left : right + 1].permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("model", FAMILIES)
def test_tiles_are_what_the_convolution_computes_with(model: str) -> None:
    module = build.create(model, None).module
    generator = torch.Generator().manual_seed(0)
    layer = module.get_submodule(FAMILIES[model])
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():  # an offset, which standardized weights do not keep, and gains
        layer.weight.add_(torch.rand(layer.weight.shape, generator=generator).mul_(0.2)).add_(0.1)
        if isinstance(gain := getattr(layer, "gain", None), nn.Parameter):
            gain.mul_(torch.rand(gain.shape, generator=generator) + 0.5)
    found = first_filters(module, limit=8)
    assert found is not None
    assert found.layer == FAMILIES[model]
    reference = _impulses(layer)
    norms = np.linalg.norm(reference.reshape(len(reference), -1), axis=1)
    assert found.channels == tuple(sorted(set(found.channels)))
    assert norms[list(found.channels)].min() > np.sort(norms)[-8] * (1 - 1e-5)
    expected = reference[list(found.channels)]
    assert found.limit == pytest.approx(np.abs(expected).max(), rel=1e-4)
    assert found.tiles.dtype == np.uint8
    shown = (found.tiles.astype(float) - 128) / 127 * found.limit
    np.testing.assert_allclose(shown, expected, atol=found.limit / 127)


def test_zero_is_mid_gray_and_one_scale_holds_for_all() -> None:
    layer = nn.Conv2d(3, 3, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 1] = 2.0
        layer.weight[1, 2, 1, 0] = -1.0
    found = first_filters(nn.Sequential(layer))
    assert found is not None
    assert found.limit == 2.0
    assert found.channels == (0, 1, 2)
    expected = np.full((3, 2, 2, 3), 128)
    expected[0, 0, 1, 0] = 255
    expected[1, 1, 0, 2] = 64
    np.testing.assert_array_equal(found.tiles, expected)


def test_filters_of_zeros_are_gray_without_warning() -> None:
    layer = nn.Conv2d(3, 4, 3)
    nn.init.zeros_(layer.weight)
    found = first_filters(nn.Sequential(layer))
    assert found is not None
    assert found.limit == 0
    assert (found.tiles == 128).all()


def test_a_network_whose_convolutions_never_see_colors_has_no_filters() -> None:
    fuse_batchnorm = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 8, 3), nn.Conv2d(9, 9, 3, groups=3))
    assert first_filters(fuse_batchnorm) is None
    assert first_filters(nn.Sequential(nn.Conv2d(3, 8, 48))) is None  # too large to be read


def test_of_branches_the_first_with_a_neighborhood_is_shown() -> None:
    branches = nn.ModuleDict({"point": nn.Conv2d(3, 4, 1), "wide": nn.Conv2d(3, 4, 3), "wider": nn.Conv2d(3, 4, 5)})
    found = first_filters(branches)
    assert found is not None
    assert found.layer == "wide"
    only = first_filters(nn.ModuleDict({"point": nn.Conv2d(3, 4, 1)}))
    assert only is not None
    assert only.tiles.shape == (4, 1, 1, 3)
