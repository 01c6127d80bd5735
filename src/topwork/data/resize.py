"""From a decoded image to the square that a network sees, without torch: processes that only decode load this."""

from __future__ import annotations

from PIL import Image

from topwork.core.artifacts import InputSpec

GAP = 3  # sides this much larger than wanted are first averaged by a whole factor, if that leaves so much
_PILLOW = {name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")}


def network_view(image: Image.Image, spec: InputSpec) -> Image.Image:
    """The part of an RGB image that evaluation, prediction and feature extraction look at, ``spec.size`` square.

    The whole image is squeezed into a square of ``spec.resize_size`` pixels; the central ``spec.size`` are kept, so
    nothing at the ends of a wide photograph is cut off. Measured against cutting them off in docs/lab-log.md.
    """
    resample, edge = _PILLOW[spec.interpolation], (spec.resize_size - spec.size) // 2
    if _is_exact(image, spec.resize_size):  # the same pixels, those alone
        x, y = image.width / spec.resize_size, image.height / spec.resize_size
        box = (edge * x, edge * y, (edge + spec.size) * x, (edge + spec.size) * y)
        return image.resize((spec.size, spec.size), resample, box)
    square = image.resize((spec.resize_size, spec.resize_size), resample, reducing_gap=GAP)
    return square.crop((edge, edge, edge + spec.size, edge + spec.size))


def _is_exact(image: Image.Image, side: int) -> bool:
    """Whether Pillow computes a part of the resized image as it does within the whole.

    It takes a box in float32, which holds parts of a power of two; it shrinks a wide image across first, others as it
    finds cheaper; and it averages larger ones first, from a corner of the part.
    """
    width, height = image.size
    return side.bit_count() == 1 and max(side, height) <= width < min(2 * GAP * side, 2**24 / side)
