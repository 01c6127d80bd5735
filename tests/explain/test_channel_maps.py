"""The strongest channels of a layer, inactive channels, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from topwork.explain.channel_maps import InactiveChannels, strongest_channels
from topwork.explain.layers import list_layers


class _Net(nn.Module):
    """A layer whose channels 3 and 5 are always 0, and channel 6 on the first image only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()
        with torch.no_grad():
            self.conv.weight[[3, 5, 6]] = 0
            self.conv.bias[[3, 5]] = -1
            self.conv.weight[6, 0, 1, 1] = 1
            self.conv.bias[6] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(x)).mean((2, 3))


@pytest.fixture
def net() -> _Net:
    torch.manual_seed(0)
    return _Net().eval()


def _images() -> torch.Tensor:
    x = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    x[0, 0] = -x[0, 0].abs()
    return x


def test_the_strongest_channels_are_those_that_stand_out_most(net: _Net) -> None:
    x = _images()
    views = strongest_channels(net, x, list_layers(net, x), side=4, limit=5)
    with torch.inference_mode():
        values = net.act(net.conv(x)).numpy()
    for image in range(3):
        heights = [np.abs(channel - channel.mean()).max() for channel in values[image]]
        wanted = sorted(range(8), key=lambda c: -heights[c])[:5]
        view = views["act"][image]
        assert list(view.channels) == wanted
        means = values[image, wanted].reshape(5, 4, 3, 4, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(view.maps, means, atol=1e-6)
        assert view.inactive_share == pytest.approx((values[image] == 0).all(axis=(1, 2)).mean())
    assert views["conv"][0].maps.shape == (5, 4, 4)
    assert not net.act._forward_hooks


def test_inactive_channels_are_0_in_every_image(net: _Net) -> None:
    inactive = InactiveChannels()
    with torch.inference_mode():
        for image in net.act(net.conv(_images())).split(1):
            inactive.observe("act", image)
    assert inactive.share("act") == pytest.approx(2 / 8)
    assert inactive.share("conv") is None
