"""A process that decodes for the server: bytes in, pixels out, until its input ends; ``decoding`` is the other end.

A frame is a byte that says what it is, four bytes of length (big endian) and the content. Run as
``python -m topwork.serving.decoder SPEC`` with an input spec and ``most`` (pixels) as JSON.
"""

from __future__ import annotations

import io
import json
import struct
import sys
from typing import Any, BinaryIO

from PIL import Image

from topwork.core.artifacts import InputSpec
from topwork.data import child_process
from topwork.data.images import UnreadableImage, decode_image
from topwork.data.resize import network_view

HEAD = struct.Struct(">BI")
VIEW, SMALL = 0, 1  # asked: what the network sees, as pixels; a small picture, as a JPEG
GOOD, BAD, READY = 0, 1, 2  # answered: what was asked; the reason; the process has started
SIDE = 240  # of a small picture


def answer(kind: int, data: bytes, spec: InputSpec, most: int) -> bytes:
    """What is asked about the bytes of a file: uint8 (S, S, 3), or a JPEG of at most ``SIDE`` pixels.

    Raises:
        UnreadableImage: They are no image that can be used.
    """
    if not data:
        raise UnreadableImage("empty file")
    if kind == VIEW:
        return network_view(decode_image(data, least=spec.resize_size, most=most), spec).tobytes()
    picture = decode_image(data, least=SIDE, most=most)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def write_frame(file: BinaryIO, kind: int, data: bytes) -> None:
    """Send a frame."""
    file.write(HEAD.pack(kind, len(data)))
    file.write(data)
    file.flush()


def main(words: str) -> None:
    """Answer until there is nothing more to answer."""
    answers = child_process.begin()
    given: dict[str, Any] = json.loads(words)
    most = given.pop("most")
    spec = InputSpec(**given)
    Image.init()  # all formats now: later, nothing but what is sent is looked at
    write_frame(answers, READY, b"")
    while head := sys.stdin.buffer.read(HEAD.size):
        kind, length = HEAD.unpack(head)
        data = sys.stdin.buffer.read(length)
        try:
            write_frame(answers, GOOD, answer(kind, data, spec, most))
        except UnreadableImage as error:
            write_frame(answers, BAD, error.reason.encode("utf-8", "replace"))


if __name__ == "__main__":
    main(sys.argv[1])
