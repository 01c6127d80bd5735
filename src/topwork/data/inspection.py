"""Inspection: an image is decoded to its last pixel once, and everything that later stages need to know is recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from PIL import Image

from topwork.core.artifacts import DEFAULT_RULES, PixelRules
from topwork.core.image_ref import Box, ImageRef
from topwork.data.convert import row_chunks
from topwork.data.fingerprints import fingerprint
from topwork.data.images import UnreadableImage, decode, read_image_bytes

MIN_SIDE = 1024  # pixels; a JPEG at least twice as large is decoded at a reduced size of at least this


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known about the content of an image.

    Attributes:
        width, height: In pixels, as stored.
        reason: Why it is not usable, or what was converted; may be empty.
        usable: Whether it can be decoded.
        kind, mode: Format, e.g. ``"JPEG"``, and Pillow's name of the stored pixels, e.g. ``"L"``.
        pixels: Hash of the size and the RGB pixels, 32 hexadecimal digits.
        fingerprint: See ``fingerprints``; empty for an image of one color.
        peak: Largest value stored in 16 bits; 0 for other images.
        visible_on: Names of the backgrounds on which an image with transparent pixels is of more than one color;
            ``"none"``; empty for other images.
        taken, camera: Time of exposure and a hash of the camera, see ``exif``; empty if they are not known.
    """

    width: int = 0
    height: int = 0
    reason: str = ""
    usable: bool = True
    kind: str = ""
    mode: str = ""
    pixels: str = ""
    fingerprint: str = ""
    peak: int = 0
    visible_on: str = ""
    taken: str = ""
    camera: str = ""


def rejected(reason: str) -> Inspection:
    """The inspection of an image that cannot be used."""
    return Inspection(reason=reason, usable=False)


def inspect_bytes(data: bytes, suffix: str, box: Box | None = None, rules: PixelRules = DEFAULT_RULES) -> Inspection:
    """Inspect the content of an image file."""
    try:
        rgb, facts = decode(data, suffix, min_side=MIN_SIDE, box=box, rules=rules, survey=True)
    except UnreadableImage as error:
        return rejected(error.reason)
    notes = "; ".join(facts.conversions)
    return Inspection(
        facts.width, facts.height, notes, True, facts.format, facts.mode, pixel_hash(rgb), fingerprint(rgb),
        facts.peak, facts.visible_on, facts.taken, facts.camera,
    )  # fmt: skip


def pixel_hash(image: Image.Image) -> str:
    """A hash of the size and the pixels of an RGB image, independent of its file format."""
    digest = hashlib.blake2b(f"{image.width} {image.height}".encode(), digest_size=16)
    for _, chunk in row_chunks(image):
        digest.update(chunk.tobytes())
    return digest.hexdigest()


def content_hash(data: bytes, box: Box | None) -> str:
    """SHA-256 of the bytes of a file; of an image that is a box in it, of both."""
    content = hashlib.sha256(data).hexdigest()
    return hashlib.sha256(f"{content} {box}".encode()).hexdigest() if box else content


def inspect_file(ref: ImageRef, known: str = "", rules: PixelRules = DEFAULT_RULES) -> tuple[str, Inspection | None]:
    """Inspect an image file.

    Args:
        ref: The image.
        known: Hash of the content that needs no inspection.
        rules: How to decode.

    Returns:
        SHA-256 of the bytes and the box, if any, and the inspection; None if the content is the known one.
    """
    try:
        data = read_image_bytes(ref)
    except UnreadableImage as error:
        return "", rejected(error.reason)
    content = content_hash(data, ref.box)
    return content, None if content == known else inspect_bytes(data, ref.suffix, ref.box, rules)
