"""A decoded image of any mode to upright RGB, in little memory: the rules of docs/pixels.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

BACKGROUND = (255, 255, 255)
_CHUNK = 1 << 22  # pixels converted at a time, so that a large image does not need several copies of itself

_ORIENTATION = 0x0112
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class NoFiniteValues(ValueError):
    """An image without a finite value, which cannot be scaled to 8 bits."""


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is missing or cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to lose an image
        return 1


def to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A loaded image as RGB of its own memory, and the conversions worth reporting."""
    if image.mode.startswith("I;16"):
        return _scaled(image, 0, 65535), ["16-bit scaled to 8"]
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # there, Pillow's name for 16 bits
        return _scaled(image, 0, 65535), ["16-bit scaled to 8"]
    if image.mode in ("I", "F"):
        depth = "float" if image.mode == "F" else "32-bit"
        return _scaled(image, *_finite_range(image)), [f"{depth} scaled by range to 8-bit"]
    if image.mode == "CMYK":
        return image.convert("RGB"), ["CMYK to RGB"]
    if image.has_transparency_data:
        return _composited(image)
    return image.convert("RGB"), []  # a copy even of RGB: the pixels must outlive the file


def row_chunks(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Chunks of complete rows from top to bottom, each with its first row."""
    rows = max(1, _CHUNK // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _composited(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Alpha and transparent palette entries over ``BACKGROUND``."""
    rgb, transparent = Image.new("RGB", image.size), False
    for top, chunk in row_chunks(image):
        rgba = chunk.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            transparent = True
            rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, (*BACKGROUND, 255)), rgba)
        rgb.paste(rgba.convert("RGB"), (0, top))
    return rgb, ["alpha composited on white"] if transparent else []


def _finite_range(image: Image.Image) -> tuple[float, float]:
    """Smallest and largest finite value."""
    low, high = np.inf, -np.inf
    for _, chunk in row_chunks(image):
        values = np.asarray(chunk)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise NoFiniteValues("contains no finite value")
    return low, high


def _scaled(image: Image.Image, low: float, high: float) -> Image.Image:
    """Wide gray to RGB: ``low`` to 0, ``high`` to 255; all equal: black; NaN and infinity: as ``low``."""
    rgb = Image.new("RGB", image.size)
    for top, chunk in row_chunks(image):
        values = np.asarray(chunk).astype(np.float64)
        share = (np.where(np.isfinite(values), values, low).clip(low, high) - low) / ((high - low) or 1.0)
        rgb.paste(Image.fromarray(np.rint(share * 255).astype(np.uint8)).convert("RGB"), (0, top))
    return rgb
