"""Damaged JPEGs are named whatever they end with, and complete ones are used: libjpeg is the reference."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import decode_jpeg

from topwork.data.images import UnreadableImage, decode

END = b"\xff\xd9"
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "coarse": {"quality": 30},
    "full colors": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 4},
    "progressive restarts": {"restart_marker_rows": 1, "progressive": True},
    "gray": {"mode": "L"},
    "progressive gray": {"mode": "L", "progressive": True},
    "cmyk": {"mode": "CMYK"},
}


def photo(size: tuple[int, int] = (128, 112), noise: float = 6) -> Image.Image:
    """Clouds, stripes and noise."""
    rng = np.random.default_rng(0)
    clouds = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    stripes = 40 * np.sin(np.arange(size[0]) / 3)[None, :, None]
    pixels = np.asarray(clouds) * 0.7 + stripes + rng.normal(0, noise, (size[1], size[0], 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(kind: str, image: Image.Image | None = None) -> bytes:
    options = {"quality": 92, "mode": "RGB"} | KINDS[kind]
    file = io.BytesIO()
    (image or photo()).convert(options.pop("mode")).save(file, "JPEG", **options)
    return file.getvalue()


def plain(data: bytes) -> np.ndarray:
    """What Pillow alone decodes, which hides whatever libjpeg warns of."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def refused(data: bytes) -> str:
    """Why it is refused; empty if it is not."""
    try:
        decode(data)
    except UnreadableImage as error:
        return error.reason
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_complete_files_are_used_with_or_without_an_end(kind: str) -> None:
    data = encoded(kind)
    whole = plain(data)
    padded = data[:-2] + bytes(500) + END, data[:-2] + b"\xff" * 9 + END
    for variant in (data, data[:-2], data + b"anything" * 99, data[:-2] + b"\xff", *padded):
        assert np.array_equal(np.asarray(decode(variant)[0]), whole)
    for side in (10, 30, 60):
        with Image.open(io.BytesIO(data)) as small:
            small.draft(None, (side, side))
            assert np.array_equal(np.asarray(decode(data, min_side=side)[0]), np.asarray(small.convert("RGB")))


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (17, 33), (300, 20)])
@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts"])
def test_small_and_plain_images_are_used(kind: str, size: tuple[int, int]) -> None:
    for image in (photo(size), Image.new("RGB", size, (128, 128, 128)), Image.new("RGB", size)):
        data = encoded(kind, image)
        for variant in (data, data[:-2]):
            assert np.array_equal(np.asarray(decode(variant)[0]), plain(data))


@pytest.mark.parametrize("share", [0.3, 0.4, 0.5, 0.6, 0.7, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_files_are_named_with_or_without_an_end(kind: str, share: float) -> None:
    data = encoded(kind)
    cut = data[: int(len(data) * share)]
    for variant in (cut, cut + END, cut + bytes(len(data)), cut + bytes(len(data)) + END):
        assert refused(variant)


def libjpeg_warns(data: bytes, file: io.FileIO) -> bool:
    """Whether libjpeg reports anything, which torchvision lets it print to standard error."""
    file.truncate(0)
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except RuntimeError:
        return True
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    return os.fstat(file.fileno()).st_size > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["baseline", "progressive", "optimized", "coarse", "full colors"])
def test_damaged_data_are_named_where_libjpeg_warns(kind: str, tmp_path: Path) -> None:
    data, rng = encoded(kind, photo((240, 200), noise=20)), np.random.default_rng(1)
    first = data.index(b"\xff\xda") + 14
    both = ours = theirs = 0
    with open(tmp_path / "warnings", "ab", buffering=0) as file:
        assert not libjpeg_warns(data, file)
        for _ in range(40):
            damaged = bytearray(data)
            place = int(rng.integers(first, len(data) - 200))
            damaged[place : place + 4] = rng.integers(1, 255, 4, dtype=np.uint8).tobytes()
            warns, named = libjpeg_warns(bytes(damaged), file), bool(refused(bytes(damaged)))
            both, ours, theirs = both + (warns and named), ours + named, theirs + warns
    assert theirs >= 5
    assert both >= 0.85 * theirs  # it also warns of a few bytes too many, with which cameras pad
    assert both == ours
