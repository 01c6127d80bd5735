"""Which images are chosen, and how arrays are encoded."""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from topwork.core.artifacts import Splits
from topwork.core.predictions import Predictions
from topwork.data.images import UnreadableImage
from topwork.explain.encoding import color_sheet, encode_int8, map_sheet, shrink
from topwork.explain.example_images import choose_images, load_images
from topwork.report.show_data import MapSheet, Sheet


def _predictions(guesses: np.ndarray, labels: np.ndarray, classes: int) -> Predictions:
    n = len(labels)
    scores = np.eye(classes)[guesses] * np.linspace(1, 3, n)[:, None]
    sure = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = tuple(f"c{i}" for i in range(classes))
    return Predictions(tuple(f"{i}.png" for i in range(n)), names, labels, scores, "logit", sure)


@given(st.data(), st.integers(1, 4), st.integers(1, 12))
def test_every_reason_is_true_and_no_photo_comes_twice(data: st.DataObject, strategies: int, count: int) -> None:
    n, classes = data.draw(st.integers(1, 30)), 3
    draw = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    labels = np.array(data.draw(draw))
    all_guesses = [np.array(data.draw(draw)) for _ in range(strategies)]
    chosen = choose_images([_predictions(g, labels, classes) for g in all_guesses], count)
    assert len(chosen) == min(count, n)
    assert len({i for i, _ in chosen}) == len(chosen)
    for i, reason in chosen:
        right = [bool(g[i] == labels[i]) for g in all_guesses]
        assert ("disagree" in reason) == (any(right) and not all(right))
        assert ("wrong" in reason) == (not any(right))
    kinds = {(all(r), any(r)) for r in zip(*[(g == labels).tolist() for g in all_guesses], strict=True)}
    if count >= 3:
        assert len({reason for _, reason in chosen}) == len(kinds)


def test_a_given_photo_of_the_data_set_brings_its_label(photos: Path, tmp_path: Path) -> None:
    splits = Splits(("class0", "class1"), {"test": ("class1/003.png",)}, {"test": np.array([1])})
    (inside,) = load_images([photos / "class1" / "003.png"], photos, splits)
    assert (inside.name, inside.label) == ("class1/003.png", 1)
    assert "test" in inside.reason
    copy = tmp_path / "003.png"
    copy.write_bytes((photos / "class1" / "003.png").read_bytes())
    outside, picture = load_images([copy, Image.new("L", (30, 20))], photos, splits)
    assert (outside.name, outside.label) == ("003.png", None)
    assert picture.image.mode == "RGB"


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_bytes(b"not a picture")
    with pytest.raises(UnreadableImage, match=r"no\.jpg"):
        load_images([tmp_path / "no.jpg"], None, None)


def _tiles(sheet: Sheet) -> np.ndarray:
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet.src.split(",")[1]))))
    found = []
    for i in range(sheet.count):
        y, x = i // sheet.columns * sheet.height, i % sheet.columns * sheet.width
        found.append(picture[y : y + sheet.height, x : x + sheet.width])
    return np.stack(found)


def _values(maps: MapSheet) -> np.ndarray:
    data = zlib.decompress(base64.b64decode(maps.data))
    gray = np.frombuffer(data, np.uint8).reshape(-1, maps.height, maps.width).astype(float)
    limits = np.array(maps.limits)[:, None, None]
    return (gray - 128) / 127 * limits if maps.signed else gray / 255 * limits


@pytest.mark.parametrize("low", [0.0, -3.0])
def test_maps_come_back_as_the_values_they_were(low: float) -> None:
    maps = np.random.default_rng(0).uniform(low, 5, (7, 6, 6))
    maps[3] = 0
    sheet = map_sheet(maps, [f"channel {i}" for i in range(7)], 28)
    assert sheet.signed == (low < 0)
    np.testing.assert_allclose(_values(sheet), maps, atol=5 / 120)


def test_large_maps_are_averaged() -> None:
    maps = np.random.default_rng(0).uniform(size=(2, 56, 56)).astype(np.float32)
    np.testing.assert_allclose(shrink(maps, 28), maps.reshape(2, 28, 2, 28, 2).mean(axis=(2, 4)), atol=1e-6)


def test_signed_bytes_and_color_tiles() -> None:
    values = np.random.default_rng(0).normal(size=(5, 4))
    text, limit = encode_int8(values)
    back = np.frombuffer(base64.b64decode(text), np.int8).reshape(5, 4) / 127 * limit
    np.testing.assert_allclose(back, values, atol=limit / 200)
    tiles = np.random.default_rng(1).integers(0, 255, (5, 3, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(_tiles(color_sheet(tiles, "PNG")), tiles)
