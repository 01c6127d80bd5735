"""The feature cache: shared, checked, and without influence on the features."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from topwork.features import FeatureCache


def _images(count: int, start: int = 0) -> list[bytes]:
    return [hashlib.sha256(str(i).encode()).digest() for i in range(start, start + count)]


def test_what_was_added_is_found_again_and_only_new_images_are_missing(tmp_path: Path) -> None:
    images, features = _images(5), np.arange(20, dtype=np.float32).reshape(5, 4)
    FeatureCache(tmp_path, {"model": "x"}, print).add(images[:3], features[:3])
    cache = FeatureCache(tmp_path, {"model": "x"}, print)
    assert cache.missing([*images, images[4]]) == [3, 4]
    cache.add(images[3:], features[3:])
    np.testing.assert_array_equal(FeatureCache(tmp_path, {"model": "x"}, print).get(images), features)


def test_the_time_that_features_took_stays_with_them(tmp_path: Path) -> None:
    images = _images(5)
    cache = FeatureCache(tmp_path, {"model": "x"}, print)
    cache.add(images[:4], np.zeros((4, 4), np.float32), 2.0)
    cache.add(images[4:], np.zeros((1, 4), np.float32), 7.0)
    for again in (cache, FeatureCache(tmp_path, {"model": "x"}, print)):
        assert again.seconds(images) == 9
        assert again.seconds([*images[:2], images[1]]) == 1  # equal images were computed once


@pytest.mark.parametrize("change", [{"model": "y"}, {"model": "x", "precision": "bfloat16"}, {}])
def test_another_key_finds_nothing(tmp_path: Path, change: dict[str, str]) -> None:
    FeatureCache(tmp_path, {"model": "x"}, print).add(_images(2), np.zeros((2, 4), np.float32))
    assert FeatureCache(tmp_path, change, print).missing(_images(2)) == [0, 1]


def test_any_flipped_bit_is_noticed_and_logged(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, {"model": "x"}, print)
    cache.add(_images(2), np.ones((2, 4), np.float32))
    (shard,) = cache.folder.glob("*.safetensors")
    good = shard.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(good), 40, replace=False):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        shard.write_bytes(bad)
        lines: list[str] = []
        assert FeatureCache(tmp_path, {"model": "x"}, lines.append).missing(_images(2)) == [0, 1]
        assert "corrupt" in lines[0]
        assert not shard.exists()
