"""A decoded image of any mode to upright RGB, in little memory: the rules of docs/explanation/pixels.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from topwork.core.artifacts import DEFAULT_RULES, PixelRules

BACKGROUNDS = {"white": 255, "black": 0, "gray": 128}
_MIN_CONTRAST = 16  # of 255; an image with less in every channel is of one color
_SURVEY_SIDE = 1024  # pixels of an image that suffice to tell
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
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


def to_rgb(image: Image.Image, rules: PixelRules = DEFAULT_RULES, wide: bool = False) -> tuple[Image.Image, list[str]]:
    """A loaded image as RGB of its own memory, and the conversions worth reporting.

    Args:
        image: Of any mode.
        rules: Depth and background.
        wide: Whether 16 bits per channel are stored.
    """
    note = "16-bit scaled to 8" if rules.bit_depth == 16 else f"{rules.bit_depth} of 16 bits scaled to 8"
    if _is_wide_gray(image):
        return _scaled(image, 0, 2**rules.bit_depth - 1), [note]
    if image.mode in ("I", "F"):
        depth = "float" if image.mode == "F" else "32-bit"
        return _scaled(image, *_finite_range(image)), [f"{depth} scaled by range to 8-bit"]
    if image.mode == "CMYK":
        return image.convert("RGB"), ["CMYK to RGB"]
    if image.has_transparency_data:
        rgb, transparent = _composited(image, rules.background)
        return rgb, [f"alpha composited on {rules.background}"] if transparent else [note] * wide
    return image.convert("RGB"), [note] * wide  # a copy even of RGB: the pixels must outlive the file


def _is_wide_gray(image: Image.Image) -> bool:
    """Whether the pixels are 16-bit grays; in some formats Pillow calls their mode I."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def is_wide(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has 16 bits per channel, of which Pillow keeps the upper 8 of colors."""
    return any(";16" in str(tile[3]) and "BGR" not in str(tile[3]) for tile in getattr(image, "tile", ()))


def load_low_bytes(image: ImageFile.ImageFile) -> None:
    """Load the lower instead of the upper 8 bits of 16-bit colors; Pillow cannot do it for gray with alpha."""
    tiles = []
    for tile in image.tile:
        raw, *rest = [tile.args] if isinstance(tile.args, str) else list(tile.args or ())
        other = raw if raw.startswith("LA") else raw[:-1] + _OTHER_BYTE[raw[-1]]
        tiles.append(tile._replace(args=(other, *rest) if rest else other))
    image.tile = tiles
    image.load()


def join_bytes(high: Image.Image, low: Image.Image, bit_depth: int) -> Image.Image:
    """16-bit colors of ``bit_depth`` used bits, scaled to 8; the upper bits of alpha."""
    joined = high.copy()
    for top, chunk in row_chunks(high):
        upper, lower = np.asarray(chunk), np.asarray(low.crop((0, top, high.width, top + chunk.height)))
        values = (upper * 256.0 + lower) * (255 / (2**bit_depth - 1))
        pixels = np.rint(values.clip(0, 255)).astype(np.uint8)
        pixels[..., 3:] = upper[..., 3:]
        joined.paste(Image.fromarray(pixels, high.mode), (0, top))
    return joined


def peak(image: Image.Image, wide: bool) -> int:
    """Largest value stored in 16 bits, of colors as far as the upper 8 bits tell; 0 for an image of another depth."""
    if _is_wide_gray(image):
        return max(int(np.asarray(chunk).max()) for _, chunk in row_chunks(image))
    if not wide:
        return 0
    return 256 * max(int(np.asarray(chunk)[..., :3].max()) for _, chunk in row_chunks(image)) + 255


def visible_on(image: Image.Image) -> str:
    """The backgrounds on which an image with transparent pixels is of more than one color, else ``"none"``.

    Empty for an image without transparent pixels.
    """
    if image.mode[0] in "IFC" or not image.has_transparency_data:
        return ""
    step = max(1, max(image.size) // _SURVEY_SIDE)
    small = image.resize((max(1, image.width // step), max(1, image.height // step)), Image.Resampling.NEAREST)
    rgba = small.convert("RGBA")
    if np.asarray(rgba)[..., 3].min() == 255:
        return ""
    contrast = {name: np.ptp(np.asarray(_on(rgba, name)), axis=(0, 1)).max() for name in BACKGROUNDS}
    return " ".join(name for name in BACKGROUNDS if contrast[name] >= _MIN_CONTRAST) or "none"


def row_chunks(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Chunks of complete rows from top to bottom, each with its first row."""
    rows = max(1, _CHUNK // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _composited(image: Image.Image, background: str) -> tuple[Image.Image, bool]:
    """Alpha and transparent palette entries over a background, and whether any pixel is transparent."""
    rgb, transparent = Image.new("RGB", image.size), False
    for top, chunk in row_chunks(image):
        rgba = chunk.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            transparent = True
            rgba = _on(rgba, background)
        rgb.paste(rgba.convert("RGB"), (0, top))
    return rgb, transparent


def _on(rgba: Image.Image, background: str) -> Image.Image:
    """An image over a background, RGB."""
    ground = Image.new("RGBA", rgba.size, (*[BACKGROUNDS[background]] * 3, 255))
    return Image.alpha_composite(ground, rgba).convert("RGB")


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
