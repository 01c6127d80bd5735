"""A decoded image of any mode to upright RGB, in little memory: the rules of docs/pixels.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

BACKGROUND = (255, 255, 255)
_STRIPE = 1 << 22  # pixels converted at a time, so that a large image does not need several copies of itself

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


class NoPixels(ValueError):
    """An image from whose values no picture can be made."""


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to lose an image
        return 1


def to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A loaded image as RGB of its own memory, and the conversions worth telling."""
    if image.mode.startswith("I;16"):
        return _scaled(image, 0, 65535), ["16-bit scaled to 8"]
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # there, Pillow's name for 16 bits
        return _scaled(image, 0, 65535), ["16-bit scaled to 8"]
    if image.mode in ("I", "F"):
        kind = "float" if image.mode == "F" else "32-bit"
        return _scaled(image, *_finite_range(image)), [f"{kind} scaled by range to 8-bit"]
    if image.mode == "CMYK":
        return image.convert("RGB"), ["CMYK to RGB"]
    if image.has_transparency_data:
        return _composited(image)
    return image.convert("RGB"), []  # a copy even of RGB: the pixels must outlive the file


def _stripes(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Pieces of whole rows from top to bottom, each with the row that it begins at."""
    rows = max(1, _STRIPE // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _composited(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Alpha and transparent palette entries over ``BACKGROUND``."""
    rgb, seen = Image.new("RGB", image.size), False
    for top, stripe in _stripes(image):
        rgba = stripe.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            seen = True
            rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, (*BACKGROUND, 255)), rgba)
        rgb.paste(rgba.convert("RGB"), (0, top))
    return rgb, ["alpha composited on white"] if seen else []


def _finite_range(image: Image.Image) -> tuple[float, float]:
    """Smallest and largest finite value."""
    low, high = np.inf, -np.inf
    for _, stripe in _stripes(image):
        values = np.asarray(stripe)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise NoPixels("holds no finite value")
    return low, high


def _scaled(image: Image.Image, low: float, high: float) -> Image.Image:
    """Wide grey to RGB: ``low`` to 0, ``high`` to 255; all equal: black; what is no number: as the smallest."""
    rgb = Image.new("RGB", image.size)
    for top, stripe in _stripes(image):
        values = np.asarray(stripe).astype(np.float64)
        share = (np.where(np.isfinite(values), values, low).clip(low, high) - low) / ((high - low) or 1.0)
        rgb.paste(Image.fromarray(np.rint(share * 255).astype(np.uint8)).convert("RGB"), (0, top))
    return rgb
