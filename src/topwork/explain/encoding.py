"""Encode arrays for the page: color images as ``data:`` URLs, maps as bytes with their scale."""

from __future__ import annotations

import base64
import io
import math
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from topwork.report.show_data import MapSheet, Sheet

JPEG_QUALITY = 82


def data_url(pixels: np.ndarray, format: str = "JPEG") -> str:
    """An image uint8 (H, W, 3) as a ``data:`` URL; ``"PNG"`` is lossless."""
    buffer = io.BytesIO()
    quality = {"quality": JPEG_QUALITY} if format == "JPEG" else {}
    Image.fromarray(pixels).save(buffer, format, optimize=True, **quality)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def color_sheet(tiles: np.ndarray, format: str = "JPEG") -> Sheet:
    """Tiles uint8 (N, H, W, 3) in one image."""
    count, height, width = tiles.shape[:3]
    columns = max(1, math.ceil(math.sqrt(count)))
    grid = np.zeros((max(1, math.ceil(count / columns)) * height, columns * width, 3), np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        grid[y : y + height, x : x + width] = tile
    return Sheet(data_url(grid, format), width, height, columns, count)


def thumbnails(images: Iterable[Image.Image], side: int) -> Sheet:
    """Images squeezed into squares, in one image."""
    tiles = [np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)) for image in images]
    return color_sheet(np.stack(tiles) if tiles else np.zeros((1, side, side, 3), np.uint8))


def map_sheet(maps: np.ndarray, names: Sequence[str], side: int) -> MapSheet:
    """Maps float (N, H, W) as bytes, each on its own scale that begins at 0 or is symmetric around it.

    Args:
        maps: Maps larger than ``side`` are averaged down.
        names: Of the maps, (N,).
        side: Values per row, at most.

    >>> map_sheet(np.array([[[0.0, 2.0]]]), ["channel 7"], side=28).limits
    (2.0,)
    """
    maps = np.nan_to_num(shrink(maps, side))
    signed = bool((maps < 0).any())
    limits = np.abs(maps).max(axis=(1, 2), initial=0.0)
    share = maps / np.where(limits > 0, limits, 1.0)[:, None, None]
    values = np.rint(share * 127 + 128) if signed else np.rint(share * 255)
    data = base64.b64encode(zlib.compress(values.astype(np.uint8).tobytes(), 9)).decode()
    return MapSheet(data, maps.shape[2], maps.shape[1], tuple(float(f"{x:.4g}") for x in limits), signed, tuple(names))


def shrink(maps: np.ndarray, side: int) -> np.ndarray:
    """Maps (N, H, W) averaged over areas to at most ``side`` x ``side``; smaller maps stay unchanged."""
    if max(maps.shape[1:]) <= side:
        return maps
    target = (min(side, maps.shape[2]), min(side, maps.shape[1]))
    floats = maps.astype(np.float32)
    return np.stack([np.asarray(Image.fromarray(one).resize(target, Image.Resampling.BOX)) for one in floats])


def encode_int8(values: np.ndarray) -> tuple[str, float]:
    """A map as base64 of int8, row by row, and the absolute value that 127 stands for.

    >>> encode_int8(np.array([[-1.0, 1.0]]))
    ('gX8=', 1.0)
    """
    limit = float(f"{np.abs(values).max(initial=0.0):.6g}")
    share = np.clip(values / (limit or 1.0), -1, 1)
    return base64.b64encode(np.rint(share * 127).astype(np.int8).tobytes()).decode(), limit
