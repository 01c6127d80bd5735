"""From a decoded image to the square that a network sees, without torch: processes that only decode load this."""

from __future__ import annotations

from PIL import Image

from topwork.artifacts import InputSpec

_PILLOW = {name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")}


def network_view(image: Image.Image, spec: InputSpec) -> Image.Image:
    """The part of an RGB image that evaluation, prediction and feature extraction look at, ``spec.size`` square.

    The whole image is squeezed into a square of ``spec.resize`` pixels, of which the central ``spec.size`` are kept:
    nothing at the ends of a wide photograph is cut off. Measured against cutting them off in docs/lab-log.md.
    """
    square = image.resize((spec.resize, spec.resize), _PILLOW[spec.interpolation], reducing_gap=3.0)
    edge = (spec.resize - spec.size) // 2
    return square.crop((edge, edge, edge + spec.size, edge + spec.size))
