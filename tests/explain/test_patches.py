"""The strongest places of channels: as found by looking at everything at once, however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topwork.backbones import build
from topwork.core.errors import UsageError
from topwork.explain.layers import Layer, forward_hooks, list_layers, to_feature_map
from topwork.explain.patches import Activation, TopPatches, crop_receptive_field
from topwork.explain.receptive_field import ReceptiveField, receptive_fields

LAYER = Layer("a", "Conv2d", (4, 3, 3), "channels_first", 1, True)


def _ids(count: int) -> list[str]:
    return [f"image {i}" for i in range(count)]


def _stream(values: np.ndarray, cuts: list[int], labels: list[int] | None, **options: object) -> TopPatches:
    patches = TopPatches([LAYER], **options)  # type: ignore[arg-type]
    start, ids = 0, _ids(len(values))
    for size in [*cuts, len(values)]:
        split = slice(start, start + size)
        some = None if labels is None else labels[split]
        patches.observe("a", torch.from_numpy(values[split]), ids[split], some)
        start += size
    return patches


def _brute(values: np.ndarray, channel: int, limit: int, labels: list[int] | None) -> list[Activation]:
    """Sort every place of every image, then keep the first place of each image."""
    places = [
        (-float(values[i, channel, r, c]), i, r, c)
        for i in range(len(values))
        for r in range(values.shape[2])
        for c in range(values.shape[3])
    ]
    hits: dict[int, Activation] = {}
    for negative, i, r, c in sorted(places):
        hits.setdefault(i, Activation(f"image {i}", None if labels is None else labels[i], -negative, r, c))
    return list(hits.values())[:limit]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_hits_are_those_of_brute_force_however_the_stream_is_cut(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 23), "images")
    limit = data.draw(st.integers(1, 9), "most")
    few = data.draw(st.integers(1, 4), "distinct values")  # so that there are ties
    rng = np.random.default_rng(data.draw(st.integers(0, 999), "seed"))
    values = rng.integers(-few, few + 1, (count, 4, 3, 2)).astype(np.float32)
    labels = rng.integers(0, 3, count).tolist() if data.draw(st.booleans(), "labels") else None
    cuts = data.draw(st.lists(st.integers(0, 7), max_size=6), "batches")
    patches = _stream(values, cuts, labels, limit=limit, classes=3)
    for channel in range(4):
        assert patches.top("a", channel) == _brute(values, channel, limit, labels)
    np.testing.assert_array_equal(patches._states["a"].dead.numpy(), (values == 0).all(axis=(0, 2, 3)))
    means = patches.class_means("a")
    if labels is None:
        assert means is None
        return
    assert means is not None
    for k in range(3):
        own = values[np.array(labels) == k]
        expected = own.mean(axis=(0, 2, 3), dtype=np.float64) if len(own) else np.full(4, -np.inf)
        np.testing.assert_allclose(means[k], expected, atol=1e-6)


def test_only_tracked_channels_have_hits() -> None:
    values = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    patches = _stream(values, [4], None, channels={"a": [3, 1]}, limit=2)
    for channel in (1, 3):
        assert patches.top("a", channel) == _brute(values, channel, 2, None)
    assert set(patches.most_selective("a", 9)) == {1, 3}
    with pytest.raises(UsageError, match="Channel 0 of layer a is not tracked"):
        patches.top("a", 0)
    with pytest.raises(UsageError, match="Layer b was not observed; observed layers: a"):
        patches.top("b", 0)


def test_other_layers_are_passed_over_and_the_values_are_left_alone() -> None:
    patches = TopPatches([LAYER])
    values = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    before = values.clone()
    patches.observe("a", values, _ids(2), None)
    patches.observe("b", values, _ids(2), None)
    assert torch.equal(values, before)
    with pytest.raises(UsageError, match="Layer b"):
        patches.class_means("b")


def test_what_is_kept_does_not_grow_with_the_data_set() -> None:
    patches = TopPatches([LAYER], limit=3)
    generator = torch.Generator().manual_seed(0)
    for batch in range(200):
        values = torch.randn(5, 4, 3, 3, generator=generator)
        patches.observe("a", values, [f"{batch}.{i}" for i in range(5)], None)
    state = patches._states["a"]
    assert len(state.names) <= 4 * 3
    assert state.best.shape == state.image.shape == (4, 3)
    assert {hit.id for c in range(4) for hit in patches.top("a", c)} == {name for name, _ in state.names.values()}


def test_not_a_number_is_no_hit() -> None:
    values = np.zeros((3, 4, 3, 3), np.float32)
    values[1, 2, 1, 1] = np.nan
    patches = _stream(values, [2], None, limit=2)
    assert [hit.id for hit in patches.top("a", 2)] == ["image 0", "image 2"]


def test_selective_channels_come_first_and_dead_ones_never() -> None:
    rng = np.random.default_rng(0)
    values = np.zeros((400, 4, 3, 3), np.float32)
    values[:, 0] = 100 + rng.normal(size=(400, 3, 3))  # large, and the same for every image
    values[7, 1, 0, 0] = 1000  # one odd image
    values[::20, 2, 1, 1] = 1 + rng.random(20)  # something that one image in twenty has
    patches = _stream(values, [150, 3], None)
    assert patches.most_selective("a", 4) == (2, 0, 1)
    assert patches.most_selective("a", 1) == (2,)


def test_selectivity_is_counted_in_deviations() -> None:
    values = np.random.default_rng(1).gamma(0.3, size=(50, 4, 3, 3)).astype(np.float32)
    values[:, 1] = values[:, 1] * 70 - 40  # the scale and the zero of a channel say nothing
    patches = _stream(values, [9, 9, 9], None, limit=5)
    ninth = np.sort(values.max(axis=(2, 3)), axis=0)[-5]
    score = (ninth - values.mean(axis=(0, 2, 3))) / values.std(axis=(0, 2, 3))
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
        crop_receptive_field(pixels, field, Activation("", None, 0.0, row, column), 4), pixels[y0:y1, x0:x1]
    )


def test_beyond_the_image_is_grey_and_a_small_patch_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 120, (20, 20, 3), dtype=np.uint8)
    field = ReceptiveField(left=6, right=13, step=5.0, index=2, covers_image=False)
    corner = crop_receptive_field(pixels, field, Activation("", None, 0.0, 0, 0), 16)  # begins at -4
    assert (corner[:8] == 128).all()
    assert (corner[:, :8] == 128).all()
    np.testing.assert_array_equal(corner[8:, 8:], pixels[:4, :4].repeat(2, axis=0).repeat(2, axis=1))
    far = crop_receptive_field(pixels, field, Activation("", None, 0.0, 4, 4), 8)  # ends at 24
    np.testing.assert_array_equal(far[:4, :4], pixels[16:, 16:])
    assert (far[4:] == 128).all()
    outside = ReceptiveField(left=-30, right=-20, step=5.0, index=2, covers_image=False)
    assert (crop_receptive_field(pixels, outside, Activation("", None, 0.0, 0, 0), 8) == 128).all()


def test_a_field_without_bounds_is_the_whole_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    whole = ReceptiveField(0, 19, 5.0, 2, covers_image=True)
    np.testing.assert_array_equal(crop_receptive_field(pixels, whole, Activation("", None, 0.0, 0, 3), 20), pixels)


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
    patches = TopPatches(layers)
    patches.observe("layer1", (spotted - flat).abs()[None], ["spot"], None)
    for channel in patches.most_selective("layer1", 5):
        (hit,) = patches.top("layer1", channel)
        assert abs(hit.row - 42 / 4) <= 2.5
        assert abs(hit.column - 26 / 4) <= 2.5
        assert (crop_receptive_field(pixels, field, hit, field.size) == 255).all(axis=2).sum() == 16
