"""Pixels become what a network is fed: each channel by its own mean and deviation, wherever they lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from topwork.core.artifacts import InputSpec
from topwork.data.transforms import collate_channels_last, normalize

CPU = torch.device("cpu")


def _images(count: int, height: int, width: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("given", [False, True])
def test_each_channel_has_its_own_statistics(layout: torch.memory_format, given: bool) -> None:
    spec = InputSpec(8, 8, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.5))
    pixels = torch.stack(_images(4, 8, 8)).to(memory_format=layout)
    out = torch.empty(4, 3, 8, 8, memory_format=torch.channels_last) if given else None
    found = normalize(pixels, spec, CPU, out)
    mean, std = (np.array(values, dtype=np.float64)[:, None, None] for values in (spec.mean, spec.std))
    np.testing.assert_allclose(found.numpy(), (pixels.numpy() / 255 - mean) / std, rtol=2e-5, atol=2e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert out is None or found is out


def test_a_batch_holds_its_images_in_their_order() -> None:
    images = _images(3, 5, 7)
    batch = collate_channels_last(images)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for found, image in zip(batch, images, strict=True):
        assert torch.equal(found, image)
