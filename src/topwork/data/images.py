"""How the bytes of a file become RGB pixels, for training, prediction, export and serving alike.

docs/explanation/pixels.md lists the rules: EXIF orientation applied, wide values scaled, alpha on a background, first
frames, a JPEG much larger than needed decoded smaller; truncated files, formats outside ``FORMATS``, too many pixels
and extreme shapes refused.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image, JpegImagePlugin, UnidentifiedImageError, features

from topwork.core.artifacts import DEFAULT_RULES, PixelRules
from topwork.core.errors import DataError
from topwork.core.image_ref import Box, ImageRef
from topwork.data import convert, exif, jpeg, locations, optional_formats
from topwork.data.convert import TRANSPOSE, NoFiniteValues, orientation, to_rgb

PREPROCESSING_VERSION = 4
"""Raised whenever the same file would give other pixels or another inspection result than before."""
MAX_BYTES = 256 * 1024 * 1024  # size of the uncompressed pixels of the largest image
MAX_PIXELS = 80_000_000
MAX_ASPECT = 50

_SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "MPO": (".mpo", ".jpg", ".jpeg", ".jpe", ".jfif"),
    **({"AVIF": (".avif",)} if features.check("avif") else {}),
    **optional_formats.SUFFIXES_OF,
}
FORMATS = tuple(_SUFFIXES_OF)
# Pillow finds MPO by opening a JPEG, and fails otherwise
_OPENED = tuple(name for name in FORMATS if name != "MPO" and name not in optional_formats.SUFFIXES_OF)
SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES_OF.values() for suffix in suffixes)

# Pillow warns about broken metadata, which does no harm, and about sizes that are refused below.
# Once, at import: warnings.catch_warnings around a decode would race between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(DataError):
    """A file that cannot be used as an image.

    Args:
        reason: A few words, without the path, the same on every run.
        name: Of the file.
    """

    def __init__(self, reason: str, name: str = "the image") -> None:
        super().__init__(f"Cannot use {name}: {reason}. Replace it or exclude it.")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What was found while an image was decoded.

    Attributes:
        width, height: In pixels, as stored in the file; of a box, those of the box.
        conversions: What had to be done besides plain decoding; empty for a plain image.
        format: E.g. ``"JPEG"``.
        mode: Pillow's name of the stored pixels, e.g. ``"L"``.
        peak, visible_on, taken, camera: See ``Inspection``; only if requested.
    """

    width: int
    height: int
    conversions: tuple[str, ...] = ()
    format: str = ""
    mode: str = ""
    peak: int = 0
    visible_on: str = ""
    taken: str = ""
    camera: str = ""


def load_image(
    image: ImageRef | str | os.PathLike[str], min_side: int = 0, rules: PixelRules = DEFAULT_RULES
) -> Image.Image:
    """The pixels of an image: mode RGB, uint8, upright.

    Args:
        image: A reference, or a path or URL.
        min_side: Sides that suffice, in pixels; a much larger JPEG is decoded smaller. 0: decode it in full size.
        rules: How to decode.

    Raises:
        UnreadableImage: It cannot be read or decoded to its end, or is refused.
    """
    ref = image if isinstance(image, ImageRef) else ImageRef.parse(image)
    return decode(read_image_bytes(ref), name=str(ref), min_side=min_side, box=ref.box, rules=rules)[0]


def to_upright_rgb(image: Image.Image, rules: PixelRules = DEFAULT_RULES) -> Image.Image:
    """Like ``load_image``, for an image that other code has opened: mode RGB, uint8, upright, a copy."""
    try:
        check_size(*image.size)
        turn = orientation(image)
        rgb = to_rgb(image, rules)[0]
        return rgb.transpose(TRANSPOSE[turn]) if turn in TRANSPOSE else rgb
    except UnreadableImage:
        raise
    except Exception as error:  # it may be decoded only now
        raise UnreadableImage(_reason(error)) from error


def read_image_bytes(ref: ImageRef) -> bytes:
    """The bytes of the file that an image is in; ``UnreadableImage`` if it is empty or has more than ``MAX_BYTES``."""
    try:
        data = locations.read_bytes(ref, MAX_BYTES)
    except (OSError, ValueError) as error:
        broken_link = isinstance(error, FileNotFoundError) and os.path.islink(ref.path)
        reason = "broken link" if broken_link else getattr(error, "strerror", None) or str(error)
        raise UnreadableImage(reason, str(ref)) from error
    if not data:
        raise UnreadableImage("empty file", str(ref))
    return data


def decode(
    data: bytes,
    suffix: str = "",
    name: str = "the image",
    min_side: int = 0,
    box: Box | None = None,
    max_pixels: int = MAX_PIXELS,
    rules: PixelRules = DEFAULT_RULES,
    survey: bool = False,
) -> tuple[Image.Image, ImageFacts]:
    """Decode and convert; the one place where whatever Pillow raises becomes ``UnreadableImage``.

    Args:
        data: The file's bytes.
        suffix: Of the file name, to note when it names another format.
        name: Of the file, for the error.
        min_side: As for ``load_image``.
        box: The part that is the image (left, top, width, height), in pixels of the upright image.
        max_pixels: An image with more is refused before any pixel is decoded.
        rules: How to decode.
        survey: Whether to find out what ``rules`` are decided by, and when the image was taken.
    """
    if not data:
        raise UnreadableImage("empty file", name)
    try:
        rgb, facts = _decode(data, min_side, box, max_pixels, rules, survey)
        notes = _file_notes(data, facts.format, suffix.lower())
        return rgb, replace(facts, conversions=(*facts.conversions, *notes))
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, name) from error
    except Exception as error:  # Pillow's plugins raise nearly every built-in exception on broken files
        raise UnreadableImage(_reason(error), name) from error


def _decode(
    data: bytes, min_side: int, box: Box | None, max_pixels: int, rules: PixelRules, survey: bool
) -> tuple[Image.Image, ImageFacts]:
    kind, notes = optional_formats.format_of(data), list[str]()
    if kind:
        opened, notes = optional_formats.open_image(data, kind, partial(check_size, max_pixels=max_pixels))
    else:
        opened = Image.open(io.BytesIO(data), formats=_OPENED)
    with opened as image:
        width, height = image.size
        check_size(width, height, max_pixels)
        turn = orientation(image) if image.format == "TIFF" else 1  # Pillow turns a TIFF itself, while loading
        if turn >= 5:  # and reports the size after turning
            width, height = height, width
        if min_side:
            _draft(image, min_side, box)
        mode, file_format, wide = image.mode, image.format or kind, convert.is_wide(image)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            jpeg.load(image, data)
        image.load()
        rest = orientation(image)
        peak, visible_on = (convert.peak(image, wide), convert.visible_on(image)) if survey else (0, "")
        taken, camera = exif.exposure(image) if survey else ("", "")
        if wide and rules.bit_depth < 16 and mode in ("RGB", "RGBA"):
            with Image.open(io.BytesIO(data), formats=_OPENED) as low:
                convert.load_low_bytes(low)
                rgb, conversions = to_rgb(convert.join_bytes(image, low, rules.bit_depth), rules, wide)
        else:
            rgb, conversions = to_rgb(image, rules, wide)
    if rest in TRANSPOSE:
        rgb = rgb.transpose(TRANSPOSE[rest])
    if turn in TRANSPOSE or rest in TRANSPOSE:
        conversions.insert(0, "EXIF orientation applied")
    if box:
        upright = (height, width) if max(turn, rest) >= 5 else (width, height)
        rgb, (width, height) = _crop(rgb, box, upright)
        check_size(width, height)
    facts = ImageFacts(width, height, (*notes, *conversions), file_format, mode, peak, visible_on, taken, camera)
    return rgb, facts


def _draft(image: Image.Image, min_side: int, box: Box | None) -> None:
    """Decode a JPEG smaller, if the image or the box still has sides of ``min_side``; other formats are unchanged."""
    if box is None:
        image.draft(None, (min_side, min_side))
    elif min(box[2:]) > 0:
        factor = min_side / min(box[2:])
        image.draft(None, (math.ceil(image.width * factor), math.ceil(image.height * factor)))


def _crop(rgb: Image.Image, box: Box, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
    """The part of an image in a box, which is in pixels of ``size``, and the size of that part in the same pixels."""
    left, top = min(box[0], size[0]), min(box[1], size[1])
    right, bottom = min(box[0] + box[2], size[0]), min(box[1] + box[3], size[1])
    if right - left < 1 or bottom - top < 1:
        raise UnreadableImage(f"the box {','.join(map(str, box))} contains nothing of {size[0]} x {size[1]} pixels")
    across, down = rgb.width / size[0], rgb.height / size[1]
    edges = (math.floor(left * across), math.floor(top * down), math.ceil(right * across), math.ceil(bottom * down))
    return rgb.crop(edges), (right - left, bottom - top)


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse a size, which a file declares before any pixel of it is decoded, by an ``UnreadableImage``."""
    if width * height > max_pixels:
        raise UnreadableImage(f"{width} x {height} pixels, more than {max_pixels / 10**6:g} million")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise UnreadableImage(f"{width} x {height} pixels, a side more than {MAX_ASPECT} times the other")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a supported format ({', '.join(FORMATS)})"
    if isinstance(error, NoFiniteValues):
        return str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS // 10**6} million pixels"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    text = " ".join(re.sub(r"<[^>]*>|\bat 0x\w+", "", str(error)).split()).rstrip(".")
    return text[:120] or type(error).__name__


def _file_notes(data: bytes, file_format: str, suffix: str) -> list[str]:
    """What is worth knowing about the file besides its pixels."""
    notes = []
    if file_format in ("GIF", "WEBP", "PNG", "AVIF", "TIFF", "MPO"):
        try:  # in a second copy, since the query moves to the next frame
            with Image.open(io.BytesIO(data), formats=_OPENED) as copy:
                several = getattr(copy, "is_animated", False)
        except Exception:  # a later frame may be broken; the first is what counts, and it was decoded
            several = True
        if several:
            notes.append("first of several images" if file_format in ("TIFF", "MPO") else "first frame of an animation")
    if suffix and file_format in _SUFFIXES_OF and suffix not in _SUFFIXES_OF[file_format]:
        notes.append(f"file is {file_format}, named {suffix}")
    return notes
