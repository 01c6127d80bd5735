"""The one pixel policy: how the bytes of a file become RGB. Training, prediction, export and serving all decode here.

docs/pixels.md says each rule: EXIF orientation applied, wide greys scaled by range, alpha on white, first frames, a
JPEG much larger than wanted decoded smaller; truncated files, formats outside ``FORMATS``, too many pixels and extreme
shapes refused. An image may be a box within a file: ``car.jpg#xywh=39,116,530,257``.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, UnidentifiedImageError, features

from topwork.core.errors import DataError
from topwork.data import locations
from topwork.data.convert import TRANSPOSE, NoPixels, orientation, to_rgb

POLICY = 3
"""Raised whenever the same file would give other pixels or another verdict than before."""
MAX_BYTES = 256 * 1024 * 1024  # as many as uncompressed pixels of the largest image
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

_BOX = re.compile(r"#xywh=(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})$")

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


Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What was seen while an image was decoded.

    Attributes:
        width, height: In pixels, as stored in the file; of an image that is a box, those of the box.
        converted: What the pixel policy had to do beyond plain decoding, in words; empty for a plain image.
        kind: Format, e.g. ``"JPEG"``.
        mode: Pillow's name of the stored pixels, e.g. ``"L"``.
    """

    width: int
    height: int
    converted: tuple[str, ...] = ()
    kind: str = ""
    mode: str = ""


def split_box(path: str) -> tuple[str, Box | None]:
    """An image's path as the file that it lies in and its box (left, top, width, height), or None for all of it.

    A box is written as a spatial fragment of W3C Media Fragments URI 1.0: ``car.jpg#xywh=39,116,530,257``.
    """
    found = _BOX.search(path)
    if not found:
        return path, None
    left, top, width, height = map(int, found.groups())
    return path[: found.start()], (left, top, width, height)


def file_of(path: str) -> str:
    """The file that an image lies in: its path without the box."""
    return split_box(path)[0]


def load_image(path: Path, least: int = 0) -> Image.Image:
    """The pixels of an image file: mode RGB, uint8, upright.

    Args:
        path: The file, or a box within one.
        least: The sides that are enough, in pixels; a much larger JPEG is decoded smaller. 0: decode it whole.

    Raises:
        UnreadableImage: It cannot be read or decoded whole, or is refused.
    """
    file, box = split_box(str(path))
    return decode(read_image_bytes(Path(file)), where=str(path), least=least, box=box)[0]


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
    return decode(data, where=where, least=least, most=most)[0]


def upright_rgb(picture: Image.Image) -> Image.Image:
    """The pixel policy for a picture that some other code has opened: mode RGB, uint8, upright, a copy.

    Raises:
        UnreadableImage: As ``load_image``.
    """
    try:
        refuse_size(*picture.size)
        turn = orientation(picture)
        rgb = to_rgb(picture)[0]
        return rgb.transpose(TRANSPOSE[turn]) if turn in TRANSPOSE else rgb
    except UnreadableImage:
        raise
    except Exception as error:  # it may be decoded only now
        raise UnreadableImage(_reason(error)) from error


def inspect_image(path: Path) -> ImageFacts:
    """Decode a file to its last pixel and say what was seen.

    Raises:
        UnreadableImage: As ``load_image``.
    """
    file, box = split_box(str(path))
    return decode(read_image_bytes(Path(file)), Path(file).suffix, str(path), box=box)[1]


def read_image_bytes(path: Path) -> bytes:
    """The bytes of a regular file or a member of a shard, at most ``MAX_BYTES``; ``locations`` says what is read.

    Raises:
        UnreadableImage: It is no regular file, is empty or too big, or cannot be read.
    """
    try:
        data = locations.read(str(path), MAX_BYTES)
    except (OSError, ValueError) as error:
        broken_link = isinstance(error, FileNotFoundError) and os.path.islink(path)
        reason = "link to nothing" if broken_link else getattr(error, "strerror", None) or str(error)
        raise UnreadableImage(reason, str(path)) from error
    if not data:
        raise UnreadableImage("empty file", str(path))
    return data


def decode(
    data: bytes,
    suffix: str = "",
    where: str = "the image",
    least: int = 0,
    box: Box | None = None,
    most: int = MAX_PIXELS,
) -> tuple[Image.Image, ImageFacts]:
    """Decode and convert; the one place where whatever Pillow raises becomes ``UnreadableImage``.

    Args:
        data: The file's bytes.
        suffix: Of the file name, to tell when it names another format.
        where: Names the file in the error.
        least: As for ``load_image``.
        box: The part that is the image (left, top, width, height), in pixels of the upright picture.
        most: Pixels that are allowed.
    """
    if not data:
        raise UnreadableImage("empty file", where)
    try:
        rgb, facts = _decode(data, least, box, most)
        said = _about_file(data, facts.kind, suffix.lower())
        return rgb, replace(facts, converted=(*facts.converted, *said))
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, where) from error
    except Exception as error:  # Pillow's plugins raise nearly every built-in exception on broken files
        raise UnreadableImage(_reason(error), where) from error


def _decode(data: bytes, least: int, box: Box | None, most: int) -> tuple[Image.Image, ImageFacts]:
    with Image.open(io.BytesIO(data), formats=_OPENED) as image:
        width, height = image.size
        refuse_size(width, height, most)
        turn = orientation(image) if image.format == "TIFF" else 1  # Pillow turns a TIFF itself, while loading
        if turn >= 5:  # and tells the size that the turned one will have
            width, height = height, width
        if least:
            _draft(image, least, box)
        mode, kind, wide = image.mode, image.format or "", _is_wide(image)
        image.load()
        rest = orientation(image)
        rgb, converted = to_rgb(image)
    if wide and not converted:
        converted.append("16-bit scaled to 8")
    if rest in TRANSPOSE:
        rgb = rgb.transpose(TRANSPOSE[rest])
    if turn in TRANSPOSE or rest in TRANSPOSE:
        converted.insert(0, "EXIF orientation applied")
    if box:
        upright = (height, width) if max(turn, rest) >= 5 else (width, height)
        rgb, (width, height) = _cut(rgb, box, upright)
        refuse_size(width, height)
    return rgb, ImageFacts(width, height, tuple(converted), kind, mode)


def _draft(image: Image.Image, least: int, box: Box | None) -> None:
    """Decode a JPEG smaller, if what is wanted of it still has sides of ``least``; does nothing to another format."""
    if box is None:
        image.draft(None, (least, least))
    elif min(box[2:]) > 0:
        factor = least / min(box[2:])
        image.draft(None, (math.ceil(image.width * factor), math.ceil(image.height * factor)))


def _is_wide(image: Image.Image) -> bool:
    """Whether 16 bits a channel are stored, of which Pillow keeps the upper 8."""
    return any("16" in str(word) for tile in getattr(image, "tile", ()) for word in tile[3:])


def _cut(rgb: Image.Image, box: Box, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
    """The part of a picture in a box, which is in pixels of ``size``, and the size of that part there."""
    left, top = min(box[0], size[0]), min(box[1], size[1])
    right, bottom = min(box[0] + box[2], size[0]), min(box[1] + box[3], size[1])
    if right - left < 1 or bottom - top < 1:
        raise UnreadableImage(f"the box {','.join(map(str, box))} holds nothing of {size[0]} x {size[1]} pixels")
    across, down = rgb.width / size[0], rgb.height / size[1]
    edges = (math.floor(left * across), math.floor(top * down), math.ceil(right * across), math.ceil(bottom * down))
    return rgb.crop(edges), (right - left, bottom - top)


def refuse_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Refuse what a file declares before any pixel of it is decoded.

    Raises:
        UnreadableImage: More than ``most`` pixels, or a side more than ``MAX_ASPECT`` times the other.
    """
    if width * height > most:
        raise UnreadableImage(f"{width} x {height} pixels, more than {most / 10**6:g} million")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise UnreadableImage(f"{width} x {height} pixels, a side more than {MAX_ASPECT} times the other")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a format that is read ({', '.join(FORMATS)})"
    if isinstance(error, NoPixels):
        return str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS // 10**6} million pixels"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    text = " ".join(re.sub(r"<[^>]*>|\bat 0x\w+", "", str(error)).split()).rstrip(".")
    return text[:120] or type(error).__name__


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
