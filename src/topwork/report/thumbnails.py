"""Thumbnails of the images that a report shows: in one file of a run folder, so that the report needs no other file."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from topwork.core import storage
from topwork.core.errors import TopworkError

FILE = "thumbnails.json"
SIDE = 160  # pixels of the longer side
QUALITY = 75
MAX_BYTES = 4_000_000  # of all JPEGs in a page
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Thumbnails:
    """The content of ``thumbnails.json``.

    Attributes:
        images: JPEGs by image id.
        inputs: What a network gets of one image: caption and JPEG.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    inputs: tuple[tuple[str, bytes], ...] = ()


def write_thumbnails(
    folder: Path,
    ids: Iterable[str],
    load: Callable[[str], Image.Image],
    inputs: Sequence[tuple[str, Image.Image]] = (),
    known: Mapping[str, bytes] | None = None,
) -> None:
    """Write ``thumbnails.json``.

    Args:
        folder: Of a run or a comparison.
        ids: Of images.
        load: Loads an image by its id. An image that cannot be loaded gets no thumbnail.
        inputs: Caption and image.
        known: JPEGs by image id that need not be made again.

    Raises:
        StorageError: The folder cannot be written.
    """
    images = {}
    for image in ids:
        try:
            images[image] = _text((known or {}).get(image) or encode_thumbnail(load(image)))
        except (OSError, ValueError, TopworkError):
            continue
    value = {"images": images, "inputs": [[caption, _text(encode_thumbnail(image))] for caption, image in inputs]}
    storage.write_json(folder / FILE, value)


def read_thumbnails(folder: Path) -> Thumbnails:
    """The thumbnails of a folder, none without a file. What is no JPEG is left out: the folder may be a stranger's."""
    path = folder / FILE
    value = storage.read_json(path) if path.is_file() else {}
    stored = value.get("images") if isinstance(value, dict) else None
    inputs = value.get("inputs") if isinstance(value, dict) else None
    images = {
        image: jpeg for image, text in (stored if isinstance(stored, dict) else {}).items() if (jpeg := _jpeg(text))
    }
    pairs = [pair for pair in (inputs if isinstance(inputs, list) else []) if isinstance(pair, list) and len(pair) == 2]
    return Thumbnails(images, tuple((str(caption), jpeg) for caption, text in pairs if (jpeg := _jpeg(text))))


def data_url(jpeg: bytes) -> str:
    """A JPEG as a ``data:`` URL."""
    return f"data:image/jpeg;base64,{_text(jpeg)}"


def encode_thumbnail(image: Image.Image, side: int = SIDE) -> bytes:
    """A JPEG whose longer side has at most ``side`` pixels."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _jpeg(text: object) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""
    return data if data.startswith(_JPEG) else b""
