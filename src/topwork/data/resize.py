"""From a decoded image to the square input of a network, without torch: decoder processes load this."""

from __future__ import annotations

from PIL import Image

from topwork.core.artifacts import InputSpec

REDUCING_GAP = 3  # see Image.resize: a much larger image is first averaged by an integer factor
_PILLOW = {name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")}


def resize_for_network(image: Image.Image, spec: InputSpec) -> Image.Image:
    """The square of ``spec.size`` pixels that evaluation, prediction and feature extraction use of an RGB image.

    The complete image is squeezed into a square of ``spec.resize_size`` pixels; the central ``spec.size`` are kept, so
    that the ends of a wide image are not cut off. docs/maintainers/lab-log.md compares this with a center crop.
    """
    resample, margin = _PILLOW[spec.interpolation], (spec.resize_size - spec.size) // 2
    if _box_resize_is_exact(image, spec.resize_size):  # the same pixels, without those outside the center
        x, y = image.width / spec.resize_size, image.height / spec.resize_size
        box = (margin * x, margin * y, (margin + spec.size) * x, (margin + spec.size) * y)
        return image.resize((spec.size, spec.size), resample, box)
    square = image.resize((spec.resize_size, spec.resize_size), resample, reducing_gap=REDUCING_GAP)
    return square.crop((margin, margin, margin + spec.size, margin + spec.size))


def _box_resize_is_exact(image: Image.Image, side: int) -> bool:
    """Whether Pillow computes a part of the resized image exactly as in the complete image.

    It takes a box in float32, which represents fractions of a power of two; it resizes the width of a wide image first,
    of others what is cheaper; and it averages larger images first, starting at a corner of the part.
    """
    width, height = image.size
    return side.bit_count() == 1 and max(side, height) <= width < min(2 * REDUCING_GAP * side, 2**24 / side)
