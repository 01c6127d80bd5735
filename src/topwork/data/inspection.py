"""What is found out about the bytes of one image in the first look at it; everything later stages ask is asked here.

As a program, ``python -m topwork.data.inspection``, it answers requests, one JSON value a line, until there are none: a
decoder that hangs or dies then takes down this process and nothing else. ``lookers`` is the other end.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from topwork.data import child_process
from topwork.data.fingerprints import fingerprint
from topwork.data.images import Box, UnreadableImage, decode, read_image_bytes

ENOUGH = 1024  # sides in pixels: of a JPEG at least twice as large, a smaller decoding is looked at


@dataclass(frozen=True, slots=True)
class Verdict:
    """What decoding a content said.

    Attributes:
        width, height: In pixels, as stored.
        reason: Why it cannot be used, or what was converted; may be empty.
        usable: Whether it can.
        kind, mode: Format and stored pixels.
        pixels: Hash of size and RGB pixels, 32 hexadecimal digits.
        fingerprint: See ``fingerprints``; empty for a flat picture.
    """

    width: int = 0
    height: int = 0
    reason: str = ""
    usable: bool = True
    kind: str = ""
    mode: str = ""
    pixels: str = ""
    fingerprint: str = ""


def refused(reason: str) -> Verdict:
    """The verdict on an image that is set aside."""
    return Verdict(reason=reason, usable=False)


def judge(data: bytes, suffix: str, box: Box | None = None) -> Verdict:
    """Decode an image to its last pixel and say everything about it."""
    try:
        rgb, facts = decode(data, suffix, least=ENOUGH, box=box)
    except UnreadableImage as error:
        return refused(error.reason)
    said = "; ".join(facts.converted)
    return Verdict(facts.width, facts.height, said, True, facts.kind, facts.mode, pixel_hash(rgb), fingerprint(rgb))


def pixel_hash(image: Image.Image) -> str:
    """A hash of the size and the pixels of an RGB picture, whatever file they came from."""
    digest = hashlib.blake2b(f"{image.width} {image.height}".encode(), digest_size=16)
    rows = max(1, (1 << 22) // image.width)
    for top in range(0, image.height, rows):
        digest.update(image.crop((0, top, image.width, min(image.height, top + rows))).tobytes())
    return digest.hexdigest()


def content_of(data: bytes, box: Box | None) -> str:
    """SHA-256 of a file's bytes, or of these and the box that is the image."""
    sha = hashlib.sha256(data).hexdigest()
    return hashlib.sha256(f"{sha} {box}".encode()).hexdigest() if box else sha


def look_at(path: str, suffix: str, box: Box | None, known: str) -> tuple[str, Verdict | None]:
    """The content of a file and the verdict on it; no verdict if the content is the one that is known.

    Both see the same bytes, should the file change meanwhile.
    """
    try:
        data = read_image_bytes(Path(path))
    except UnreadableImage as error:
        return "", refused(error.reason)
    sha = content_of(data, box)
    return sha, None if sha == known else judge(data, suffix, box)


def _answer(request: list[Any]) -> list[Any]:
    path, suffix, box, known = request
    sha, verdict = look_at(path, suffix, tuple(box) if box else None, known)
    return [sha, list(astuple(verdict)) if verdict else None]


def main() -> None:
    """Answer requests until there are none; nothing but answers is written to standard output."""
    answers = io.TextIOWrapper(child_process.begin(), encoding="ascii", line_buffering=True)
    print("ready", file=answers)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
