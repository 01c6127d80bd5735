"""From arrays to the pictures of a page. Maps stay numbers: one grey byte a value, with the scale beside it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from topwork.report.explained import MapSheet, Sheet

QUALITY = 82


def photograph(pixels: np.ndarray) -> str:
    """uint8 (H, W, 3) as a ``data:`` address of a JPEG."""
    return _address(Image.fromarray(pixels), "JPEG")


def colour_sheet(tiles: np.ndarray, kind: str = "JPEG") -> Sheet:
    """Tiles uint8 (N, H, W, 3) in one picture; ``"PNG"`` where each pixel counts."""
    grid, columns = _grid(tiles)
    return Sheet(_address(Image.fromarray(grid), kind), tiles.shape[2], tiles.shape[1], columns, len(tiles))


def map_sheet(maps: np.ndarray, names: Sequence[str], side: int) -> MapSheet:
    """Maps float (N, H, W) as bytes, each on a scale of its own that begins at 0 or is symmetric around it.

    Args:
        maps: Larger ones than ``side`` are averaged down.
        names: Of the maps, (N,).
        side: At most so many values in a row.
    """
    maps = np.nan_to_num(shrink(maps, side))
    signed = bool((maps < 0).any())
    limits = np.abs(maps).max(axis=(1, 2), initial=0.0)
    share = maps / np.where(limits > 0, limits, 1.0)[:, None, None]
    values = np.rint(share * 127 + 128) if signed else np.rint(share * 255)
    grid, columns = _grid(values.astype(np.uint8))
    sheet = Sheet(_address(Image.fromarray(grid), "PNG"), maps.shape[2], maps.shape[1], columns, len(maps))
    return MapSheet(sheet, tuple(float(f"{x:.4g}") for x in limits), signed, tuple(names))


def shrink(maps: np.ndarray, side: int) -> np.ndarray:
    """Maps (N, H, W) averaged over areas to at most ``side`` x ``side``; smaller ones as they are."""
    if max(maps.shape[1:]) <= side:
        return maps
    target = (min(side, maps.shape[2]), min(side, maps.shape[1]))
    floats = maps.astype(np.float32)
    return np.stack([np.asarray(Image.fromarray(one).resize(target, Image.Resampling.BOX)) for one in floats])


def signed_bytes(values: np.ndarray) -> tuple[str, float]:
    """A map as base64 of int8, row by row, and the absolute value that 127 stands for."""
    limit = float(f"{np.abs(values).max(initial=0.0):.6g}")
    share = np.clip(values / (limit or 1.0), -1, 1)
    return base64.b64encode(np.rint(share * 127).astype(np.int8).tobytes()).decode(), limit


def thumbnails(images: Iterable[Image.Image], side: int) -> Sheet:
    """Photos squeezed into squares, in one picture."""
    tiles = [np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)) for image in images]
    return colour_sheet(np.stack(tiles) if tiles else np.zeros((1, side, side, 3), np.uint8))


def _grid(tiles: np.ndarray) -> tuple[np.ndarray, int]:
    """(N, H, W, ...) to one array with ceil(sqrt N) tiles in a row."""
    columns = max(1, math.ceil(math.sqrt(len(tiles))))
    rows = max(1, math.ceil(len(tiles) / columns))
    height, width = tiles.shape[1:3]
    grid = np.zeros((rows * height, columns * width, *tiles.shape[3:]), np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        grid[y : y + height, x : x + width] = tile
    return grid, columns


def _address(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **({"quality": QUALITY} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
