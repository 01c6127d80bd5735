"""The top activations of channels: those of brute force, whatever the batch size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topwork.backbones import build
from topwork.explain.layers import forward_hooks, list_layers, to_feature_map
from topwork.explain.patches import Activation, TopPatches, crop_receptive_field
from topwork.explain.receptive_field import ReceptiveField, receptive_fields


def _stream(values: np.ndarray, sizes: list[int], limit: int = 9) -> TopPatches:
    """The observer after batches of these sizes, and one of the remaining images."""
    patches = TopPatches({"a"}, limit)
    start = 0
    for size in [*sizes, len(values)]:
        if len(values[start : start + size]):
            patches.observe("a", torch.from_numpy(values[start : start + size]))
        start += size
    return patches


def _brute_force(values: np.ndarray, channel: int, limit: int) -> list[Activation]:
    """Sort every position of every image, then keep the first position of each image."""
    positions = [
        (-float(values[i, channel, r, c]), i, r, c)
        for i in range(len(values))
        for r in range(values.shape[2])
        for c in range(values.shape[3])
    ]
    found: dict[int, Activation] = {}
    for negative, i, r, c in sorted(positions):
        found.setdefault(i, Activation(i, -negative, r, c))
    return list(found.values())[:limit]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_top_activations_are_those_of_brute_force_for_every_batch_size(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 23), "images")
    limit = data.draw(st.integers(1, 9), "limit")
    max_value = data.draw(st.integers(1, 4), "largest value")  # so that there are ties
    rng = np.random.default_rng(data.draw(st.integers(0, 999), "seed"))
    values = rng.integers(-max_value, max_value + 1, (count, 4, 3, 2)).astype(np.float32)
    patches = _stream(values, data.draw(st.lists(st.integers(0, 7), max_size=6), "batches"), limit)
    for channel in range(4):
        assert patches.top("a", channel) == _brute_force(values, channel, limit)


def test_other_layers_are_ignored_and_the_values_are_unchanged() -> None:
    patches = TopPatches({"a"})
    values = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    before = values.clone()
    patches.observe("a", values)
    patches.observe("b", values)
    assert torch.equal(values, before)
    assert list(patches._states) == ["a"]


def test_memory_does_not_grow_with_the_data_set() -> None:
    patches = TopPatches({"a"}, limit=3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        patches.observe("a", torch.randn(5, 4, 3, 3, generator=generator))
    state = patches._states["a"]
    assert state.best.shape == state.image.shape == state.position.shape == (4, 3)


def test_nan_is_not_a_top_activation() -> None:
    values = np.zeros((3, 4, 3, 3), np.float32)
    values[1, 2, 1, 1] = np.nan
    assert [one.image for one in _stream(values, [2], limit=2).top("a", 2)] == [0, 2]


def test_selective_channels_come_first_and_inactive_channels_never() -> None:
    rng = np.random.default_rng(0)
    values = np.zeros((400, 4, 3, 3), np.float32)
    values[:, 0] = 100 + rng.normal(size=(400, 3, 3))  # large, and the same for every image
    values[7, 1, 0, 0] = 1000  # one odd image
    values[::20, 2, 1, 1] = 1 + rng.random(20)  # something that one image in twenty has
    patches = _stream(values, [150, 3])
    assert patches.most_selective("a", 4) == (2, 0, 1)
    assert patches.most_selective("a", 1) == (2,)


def test_selectivity_is_counted_in_standard_deviations() -> None:
    values = np.random.default_rng(1).gamma(0.3, size=(50, 4, 3, 3)).astype(np.float32)
    values[:, 1] = values[:, 1] * 70 - 40  # scale and zero of a channel do not matter
    patches = _stream(values, [9, 9, 9], limit=5)
    lowest = np.sort(values.max(axis=(2, 3)), axis=0)[-5]
    score = (lowest - values.mean(axis=(0, 2, 3))) / values.std(axis=(0, 2, 3))
    assert patches.most_selective("a", 4) == tuple(np.argsort(-score).tolist())


@pytest.mark.parametrize(
    ("row", "column", "seen"),
    [(2, 2, (8, 8, 12, 12)), (0, 2, (0, 8, 4, 12)), (4, 4, (16, 16, 20, 20)), (0, 0, (0, 0, 4, 4))],
)
def test_the_field_is_cut_out(row: int, column: int, seen: tuple[int, int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    field = ReceptiveField(left=8, right=11, step=4.0, index=2, covers_image=False)
    y0, x0, y1, x1 = seen
    np.testing.assert_array_equal(
        crop_receptive_field(pixels, field, Activation(0, 0.0, row, column), 4), pixels[y0:y1, x0:x1]
    )


def test_beyond_the_image_is_gray_and_a_small_patch_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 120, (20, 20, 3), dtype=np.uint8)
    field = ReceptiveField(left=6, right=13, step=5.0, index=2, covers_image=False)
    corner = crop_receptive_field(pixels, field, Activation(0, 0.0, 0, 0), 16)  # begins at -4
    assert (corner[:8] == 128).all()
    assert (corner[:, :8] == 128).all()
    np.testing.assert_array_equal(corner[8:, 8:], pixels[:4, :4].repeat(2, axis=0).repeat(2, axis=1))
    far = crop_receptive_field(pixels, field, Activation(0, 0.0, 4, 4), 8)  # ends at 24
    np.testing.assert_array_equal(far[:4, :4], pixels[16:, 16:])
    assert (far[4:] == 128).all()
    outside = ReceptiveField(left=-30, right=-20, step=5.0, index=2, covers_image=False)
    assert (crop_receptive_field(pixels, outside, Activation(0, 0.0, 0, 0), 8) == 128).all()


def test_a_field_without_bounds_is_the_whole_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    whole = ReceptiveField(0, 19, 5.0, 2, covers_image=True)
    np.testing.assert_array_equal(crop_receptive_field(pixels, whole, Activation(0, 0.0, 0, 3), 20), pixels)


def test_the_patch_of_a_real_layer_holds_what_excites_it() -> None:
    """One odd spot in a flat image: it is where the hit is, and the patch shows all that the value depends on."""
    size = 64
    module = build.create("resnet10t", None, size).module
    layers = [layer for layer in list_layers(module, torch.zeros(1, 3, size, size)) if layer.name == "layer1"]
    field = receptive_fields(module, layers, size)["layer1"]
    pixels = np.full((size, size, 3), 100, np.uint8)
    pixels[40:44, 24:28] = 255
    both = np.stack([np.full_like(pixels, 100), pixels])
    x = torch.from_numpy(both).permute(0, 3, 1, 2).float().div(255)
    found = []
    with torch.inference_mode(), forward_hooks(module, ["layer1"], lambda _, __, y, ___: found.append(y.clone())):
        module.eval()(x)
    flat, spotted = to_feature_map(found[0], layers[0])
    patches = TopPatches({"layer1"})
    patches.observe("layer1", (spotted - flat).abs()[None])
    for channel in patches.most_selective("layer1", 5):
        (hit,) = patches.top("layer1", channel)
        assert abs(hit.row - 42 / 4) <= 2.5
        assert abs(hit.column - 26 / 4) <= 2.5
        assert (crop_receptive_field(pixels, field, hit, field.size) == 255).all(axis=2).sum() == 16
