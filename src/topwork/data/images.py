"""The one pixel policy: how the bytes of a file become RGB. Training, prediction, export and serving all decode here.

EXIF orientation is applied; 16-bit, 32-bit and float greys are scaled by range, not clipped; CMYK becomes RGB;
palettes and alpha are composited on ``BACKGROUND``; of an animation the first frame counts; grey becomes RGB. Colour
profiles are not applied. A JPEG at least twice as large as it is wanted is decoded at 1/2, 1/4 or 1/8, to no less than
that, by libjpeg's scaled transform. Truncated files, formats outside ``FORMATS``, too many pixels and extreme shapes
are refused.
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from topwork.errors import DataError

POLICY = 2
"""Raised whenever the same file would give other pixels or another verdict than before."""
BACKGROUND = (255, 255, 255)
MAX_BYTES = 512 * 1024 * 1024
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
}
FORMATS = tuple(_SUFFIXES_OF)
_OPENED = tuple(kind for kind in FORMATS if kind != "MPO")  # Pillow finds MPO by opening a JPEG, and fails if asked
SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES_OF.values() for suffix in suffixes)

_BOX = re.compile(r"#xywh=(\d+),(\d+),(\d+),(\d+)$")  # a spatial fragment, W3C Media Fragments URI 1.0
_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns about broken metadata, which is no reason to worry anybody, and about sizes that are refused below.
# Once, at import: warnings.catch_warnings around a decode would race between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(DataError):
    """A file that cannot be used as an image.

    Args:
        reason: A few words, without the path, the same on every run.
        where: The file.
    """

    def __init__(self, reason: str, where: str = "the image") -> None:
        super().__init__(f"Cannot use {where}: {reason}. Replace it or leave it out.")
        self.reason = reason


def file_of(path: str) -> str:
    """The file that an image lies in: its path without the box of a part of it (``car.jpg#xywh=10,20,300,200``)."""
    return _BOX.sub("", path)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What was seen while an image was decoded.

    Attributes:
        width, height: In pixels, as stored in the file.
        converted: What the pixel policy had to do beyond plain decoding, in words; empty for a plain image.
    """

    width: int
    height: int
    converted: tuple[str, ...] = ()


def load_image(path: Path, least: int = 0) -> Image.Image:
    """The pixels of an image file: mode RGB, uint8, upright.

    Args:
        path: The file.
        least: The sides that are enough, in pixels; a much larger JPEG is decoded smaller. 0: decode it whole.

    Raises:
        UnreadableImage: It cannot be read or decoded whole, or is refused.
    """
    return _decode(read_image_bytes(path), "", str(path), least)[0]


def decode_image(data: bytes, where: str = "the image", least: int = 0, most: int = MAX_PIXELS) -> Image.Image:
    """``load_image`` of bytes that are in memory already.

    Args:
        data: The content of a file.
        where: Names them in the error.
        least: As for ``load_image``.
        most: Pixels that are allowed; more are refused before any is decoded.

    Raises:
        UnreadableImage: As ``load_image``.
    """
    return _decode(data, "", where, least, most)[0]


def upright_rgb(picture: Image.Image) -> Image.Image:
    """The pixel policy for a picture that some other code has opened: mode RGB, uint8, upright, a copy.

    Raises:
        UnreadableImage: As ``load_image``.
    """
    try:
        _refuse_size(*picture.size, MAX_PIXELS)
        turn = _orientation(picture)
        rgb = _to_rgb(picture)[0]
        return rgb.transpose(_TRANSPOSE[turn]) if turn in _TRANSPOSE else rgb
    except UnreadableImage:
        raise
    except Exception as error:  # it may be decoded only now
        raise UnreadableImage(_reason(error)) from error


def inspect_image(path: Path) -> ImageFacts:
    """Decode a file to its last pixel and say what was seen.

    Raises:
        UnreadableImage: As ``load_image``.
    """
    return inspect_bytes(read_image_bytes(path), path.suffix, str(path))


def inspect_bytes(data: bytes, suffix: str = "", where: str = "the image") -> ImageFacts:
    """``inspect_image`` of bytes; ``suffix`` is that of the file name, to tell when it names another format."""
    return _decode(data, suffix, where, least=1)[1]  # at 1/8: every byte is read, and most arithmetic left out


def read_image_bytes(path: Path) -> bytes:
    """The bytes of a regular file of at most ``MAX_BYTES``; nothing else is even opened, since a pipe would block.

    Raises:
        UnreadableImage: It is no regular file, is empty or too big, or cannot be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("not a regular file", str(path))
        if status.st_size > MAX_BYTES:
            raise UnreadableImage(f"larger than {MAX_BYTES // 2**20} MiB", str(path))
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        broken_link = isinstance(error, FileNotFoundError) and os.path.islink(path)
        reason = "link to nothing" if broken_link else getattr(error, "strerror", None) or str(error)
        raise UnreadableImage(reason, str(path)) from error
    if not data:
        raise UnreadableImage("empty file", str(path))
    return data


def _decode(data: bytes, suffix: str, where: str, least: int, most: int = MAX_PIXELS) -> tuple[Image.Image, ImageFacts]:
    """Decode and convert; the one place where whatever Pillow raises becomes ``UnreadableImage``."""
    try:
        with Image.open(io.BytesIO(data), formats=_OPENED) as image:
            width, height = image.size
            _refuse_size(width, height, most)
            turn = _orientation(image) if image.format == "TIFF" else 1  # Pillow turns a TIFF itself, while loading
            if turn >= 5:  # and tells the size that the turned one will have
                width, height = height, width
            if least:
                image.draft(None, (least, least))  # does nothing but to a JPEG
            image.load()
            rest = _orientation(image)
            rgb, converted = _to_rgb(image)
            if rest in _TRANSPOSE:
                rgb = rgb.transpose(_TRANSPOSE[rest])
            if turn in _TRANSPOSE or rest in _TRANSPOSE:
                converted.insert(0, "EXIF orientation applied")
            kind = image.format or ""
        converted += _about_file(data, kind, suffix.lower())
        return rgb, ImageFacts(width, height, tuple(converted))
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, where) from error
    except Exception as error:  # Pillow's plugins raise nearly every built-in exception on broken files
        raise UnreadableImage(_reason(error), where) from error


def _refuse_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise UnreadableImage(f"{width} x {height} pixels, more than {most / 10**6:g} million")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise UnreadableImage(f"{width} x {height} pixels, a side more than {MAX_ASPECT} times the other")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a format that is read ({', '.join(FORMATS)})"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS // 10**6} million pixels"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    text = " ".join(re.sub(r"<[^>]*>|\bat 0x\w+", "", str(error)).split()).rstrip(".")
    return text[:120] or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to lose an image
        return 1


def _to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A loaded image as RGB, and the conversions worth telling."""
    if image.mode.startswith("I;16"):
        return _scaled(image, full_range=True), ["16-bit scaled to 8"]
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # there, Pillow's name for 16 bits
        return _scaled(image, full_range=True), ["16-bit scaled to 8"]
    if image.mode in ("I", "F"):
        kind = "float" if image.mode == "F" else "32-bit"
        return _scaled(image, full_range=False), [f"{kind} scaled by range to 8-bit"]
    if image.mode == "CMYK":
        return image.convert("RGB"), ["CMYK to RGB"]
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() == (255, 255):
            return rgba.convert("RGB"), []
        ground = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB"), ["alpha composited on white"]
    return image.convert("RGB"), []  # a copy even of RGB: the pixels must outlive the file


def _scaled(image: Image.Image, full_range: bool) -> Image.Image:
    """Wide grey to RGB: 0..65535 to 0..255, or the smallest to the largest finite value (all equal: black)."""
    values = np.asarray(image)
    if full_range:
        grey = (values.astype(np.int64).clip(0, 65535) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise UnreadableImage("holds no finite value")
    low, high = values[finite].min(), values[finite].max()
    share = (np.where(finite, values, low) - low) / ((high - low) or 1.0)
    return Image.fromarray(np.rint(share * 255).astype(np.uint8)).convert("RGB")


def _about_file(data: bytes, kind: str, suffix: str) -> list[str]:
    """What is worth telling about the file beyond its pixels."""
    said = []
    if kind in ("GIF", "WEBP", "PNG", "AVIF", "TIFF", "MPO"):
        try:  # asked of a second copy, since asking moves to the next frame
            with Image.open(io.BytesIO(data), formats=_OPENED) as again:
                several = getattr(again, "is_animated", False)
        except Exception:  # a later frame may be broken; the first is what counts, and it was decoded
            several = True
        if several:
            said.append("first of several pictures" if kind in ("TIFF", "MPO") else "first frame of an animation")
    if suffix and kind in _SUFFIXES_OF and suffix not in _SUFFIXES_OF[kind]:
        said.append(f"file is {kind}, named {suffix}")
    return said
