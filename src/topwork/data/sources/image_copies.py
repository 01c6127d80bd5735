"""Images that are in no files of their own (rows of Parquet, arrays): copied into topwork's cache once, read there."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from topwork.core import run_folders, storage
from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.errors import CorruptFile, DataError, StorageError
from topwork.core.image_ref import ImageRef
from topwork.core.names import slug
from topwork.data import optional_formats
from topwork.data.labels import label_text
from topwork.data.locations import file_stamp, is_inside
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence

_FORMAT = 2
_FEW_BESIDE = 5  # an image file beside as many images in tables and arrays does not count
_SUFFIXES = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"),
             (b"II*\0", ".tif"), (b"MM\0*", ".tif"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """An image to be copied.

    Attributes:
        where: The file, table or split that it is a row of, as its rows without a label are reported.
        folder: Of its copy; the copies in a folder are numbered.
        label: Empty if it has none.
        split: Empty if the data have none.
        data: The bytes of an image file.
    """

    where: str
    folder: str
    label: str
    split: str
    data: bytes


def copy_images(data: DataArgument, total: int, state: object, images: Iterable[ImageCopy]) -> Manifest:
    """The copies of the images of a data set, which are made if they are not complete.

    Args:
        data: The data set. Rows without a label are ignored and counted, if it is to be listed with labels.
        total: How many images it has, roughly.
        state: What determines the images: the stamps of its files, and options.
        images: Its images; not iterated if they have been copied before.

    Raises:
        StorageError: They cannot be written.
    """
    path = os.path.abspath(data.path) if os.path.exists(data.path) else data.path
    key = hashlib.sha256(os.fsencode(f"{_FORMAT} {path} {data.labeled} {state}")).hexdigest()[:12]
    root = run_folders.cache_folder() / "datasets" / f"{slug(path)[-40:]}-{key}"
    with suppress(OSError, CorruptFile, KeyError, TypeError, ValueError):
        known = storage.read_json(root / "index.json")
        if all(os.path.getsize(root / file) == size for file, _, _, size in known["rows"]):
            return _manifest(data, root, known)
    rows: list[tuple[str, str, str, int]] = []
    read, unlabeled, number = Counter[str](), Counter[str](), Counter[str]()
    try:
        with data.progress.track("images copied", total) as step:
            for image in images:
                file = f"{image.folder}/{number[image.folder]:07d}{_suffix_of(image.data)}"
                number[image.folder] += 1
                read[image.where] += 1
                if image.label or not data.labeled:
                    _write(root / file, image.data)
                    rows.append((file, image.label, image.split, len(image.data)))
                else:
                    unlabeled[image.where] += 1
                step.advance()
        ignored = {where: f"{count:,} of {read[where]:,} rows without a label" for where, count in unlabeled.items()}
        known = {"rows": rows, "ignored": ignored}
        storage.write_json(root / "index.json", known)
    except OSError as error:
        raise StorageError(
            f"The images of {path} cannot be copied to {root}: {error.strerror}. Free some space, or set TOPWORK_CACHE "
            "to another folder."
        ) from error
    return _manifest(data, root, known)


def stored_image(value: Any, folders: Sequence[str], where: str) -> bytes:
    """The bytes of an image of a row: bytes, or a struct of bytes and a path.

    Args:
        value: Of the row.
        folders: Of the data set. A path is relative to the first; a file outside of all is not read, since data that
            somebody shares must not be able to show what else is on this machine.
        where: The row, for the error.

    Raises:
        DataError: A path leads out of the folders.
    """
    if not isinstance(value, dict):
        return value or b""
    if value.get("bytes") is not None:
        return value["bytes"]
    path = Path(folders[0], value.get("path") or "")
    if not path.is_file():
        return b""
    if not any(is_inside(path, folder) for folder in folders):
        raise DataError(
            f"{where} names the file {path}, which is not in {folders[0]}. A data set may only name files in its own "
            "folder. If the images are yours, copy them there, or write a table with the columns path and label."
        )
    return path.read_bytes()


def stored_label(value: Any, names: Sequence[str], where: str) -> str:
    """The label of a row, which is the number of a class if these have names; empty if it has none.

    Raises:
        DataError: There is no such class, or there are several labels.
    """
    if not names or not isinstance(value, int):
        return label_text(value, where)
    if value == -1:
        return ""
    if not 0 <= value < len(names):
        raise DataError(
            f"{where}: the label is {value}, but the data set names {len(names)} classes, from 0. Correct the label."
        )
    return names[value]


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


def _manifest(data: DataArgument, root: Path, known: dict[str, Any]) -> Manifest:
    rows = tuple(
        ImageRow(file, label, split=split, ref=ImageRef(str(root), file)) for file, label, split, _ in known["rows"]
    )
    return Manifest(root, rows, Path(data.path).resolve().stem or "data", dict(known["ignored"]))


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
