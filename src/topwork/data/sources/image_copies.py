"""Images that are in no files of their own (rows of Parquet, arrays): copied into topwork's cache once, read there."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from topwork.core import run_folders, storage
from topwork.core.artifacts import ImageRow
from topwork.core.errors import CorruptFile, StorageError
from topwork.core.image_ref import ImageRef
from topwork.data import optional_formats
from topwork.data.locations import file_stamp
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence

_FORMAT = 1
_FEW_BESIDE = 5  # an image file beside as many images in tables and arrays does not count
_SUFFIXES = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"),
             (b"II*\0", ".tif"), (b"MM\0*", ".tif"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """An image to be copied: its path without a suffix, unique; label, split, and the bytes of an image file."""

    name: str
    label: str
    split: str
    data: bytes


@dataclass(frozen=True)
class Copies:
    """The images of a data set in the cache.

    Attributes:
        root: Their folder.
        rows: One per image; ids are paths in it.
        ignored: As for ``Manifest``.
    """

    root: Path
    rows: tuple[ImageRow, ...]
    ignored: dict[str, str]


def copy_images(data: str, state: object, images: Callable[[dict[str, str]], Iterable[ImageCopy]]) -> Copies:
    """The copies of the images of a data set, which are made if they are not complete.

    Args:
        data: Its path or name.
        state: What determines the images: the stamps of its files, and options.
        images: Lists the images, and adds to a dict what it ignores, with its reason.

    Raises:
        StorageError: They cannot be written.
    """
    key = hashlib.sha256(os.fsencode(f"{_FORMAT} {data} {state}")).hexdigest()[:12]
    root = run_folders.cache_folder() / "datasets" / f"{storage.slug(data)[-40:]}-{key}"
    index = root / "index.json"
    with suppress(OSError, CorruptFile, KeyError, TypeError, ValueError):
        known = storage.read_json(index)
        if all(os.path.getsize(root / file) == size for file, _, _, size in known["rows"]):
            return _copies(root, known)
    rows: list[list[Any]] = []
    ignored: dict[str, str] = {}
    try:
        for image in images(ignored):
            file = image.name + _suffix_of(image.data)
            _write(root / file, image.data)
            rows.append([file, image.label, image.split, len(image.data)])
        known = {"rows": rows, "ignored": ignored}
        storage.write_json(index, known)
    except OSError as error:
        raise StorageError(
            f"The images of {data} cannot be copied to {root}: {error.strerror}. Free some space, or set TOPWORK_CACHE "
            "to another folder."
        ) from error
    return _copies(root, known)


def evidence_of(data: DataArgument, images: int) -> Evidence:
    """How sure it is that a file or folder is a data set of so many images, which are in no files of their own."""
    beside = data.tree.top.total if data.tree else 0
    return Evidence.CERTAIN if _FEW_BESIDE * beside <= images else Evidence.POSSIBLE


def stamps(paths: Iterable[str | os.PathLike[str]]) -> list[list[int]]:
    """The state of the files of a data set."""
    return [file_stamp(os.fspath(path)) for path in paths]


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG file of pixels (H, W) or (H, W, C), uint8 or uint16, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _copies(root: Path, known: dict[str, Any]) -> Copies:
    rows = tuple(
        ImageRow(file, label, split=split, ref=ImageRef(str(root), file)) for file, label, split, _ in known["rows"]
    )
    return Copies(root, rows, dict(known["ignored"]))


def _suffix_of(data: bytes) -> str:
    kind = optional_formats.format_of(data)
    found = optional_formats.SUFFIXES_OF[kind][0] if kind else ""
    return found or next((suffix for start, suffix in _SUFFIXES if data.startswith(start)), ".img")


def _write(path: Path, data: bytes) -> None:
    """Write a file unless it is there; one that a power cut has truncated is noticed by its size."""
    if path.is_file() and path.stat().st_size == len(data):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(data)  # not durable: it is a cache
    new.replace(path)
