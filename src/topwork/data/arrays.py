"""Images and labels as arrays: .npz, .npy and IDX; found by their headers alone."""

from __future__ import annotations

import gzip
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import numpy as np

from topwork.core.errors import DataError

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IDX_NAME = re.compile(r"[-._]idx\d[-._]ubyte(\.gz)?$", re.IGNORECASE)
_IMAGE_WORDS = {"images", "image", "imgs", "img", "x", "data", "features", "pixels"}
_LABEL_WORDS = {"labels", "label", "y", "target", "targets", "class", "classes"}


@dataclass(frozen=True)
class NamedArray:
    """An array that has not been read.

    Attributes:
        name: In its file, or of its file.
        shape: Its shape.
        read: Reads it.
        file: The file that it is in.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]
    file: str

    @property
    def words(self) -> list[str]:
        """The words of its name, in lower case."""
        name = _IDX_NAME.sub("", self.name)
        return [word for word in re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()) if word]


@dataclass(frozen=True)
class Pair:
    """Images and their labels.

    Attributes:
        images, labels: Arrays of the same length; no labels if they are not needed.
        words: What their names have in common, e.g. ``("train",)``.
    """

    images: NamedArray
    labels: NamedArray | None
    words: tuple[str, ...]


def pairs_of(arrays: Iterable[NamedArray], labeled: bool = True) -> list[Pair]:
    """The arrays of images and of labels whose names differ in nothing but these words: ``x_train``, ``y_train``.

    ``labeled=False`` gives all arrays of images.
    """
    images, labels = dict[tuple[str, ...], NamedArray](), dict[tuple[str, ...], NamedArray]()
    for array in arrays:
        words = array.words
        rest = tuple(word for word in words if word not in _IMAGE_WORDS | _LABEL_WORDS)
        if len(array.shape) > 2 and not set(words) & _LABEL_WORDS:
            images.setdefault(rest, array)
        elif len(array.shape) in (1, 2) and set(words) & _LABEL_WORDS:
            labels.setdefault(rest, array)
    if not labeled:
        return [Pair(array, None, words) for words, array in images.items()]
    return [
        Pair(images[words], labels[words], words)
        for words in images
        if words in labels and images[words].shape[0] == labels[words].shape[0]
    ]


def npz_arrays(path: str) -> list[NamedArray]:
    """The arrays in a ``.npz`` file.

    Raises:
        DataError: It is damaged, or has Python objects, which only a pickle can restore.
    """
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as file:
                        found.append(_npy_array(file, member.removesuffix(".npy"), path))
    except (OSError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}. Copy or download it again.") from error
    return found


def npy_array(path: str) -> NamedArray:
    """The array in a ``.npy`` file; errors as of ``npz_arrays``."""
    try:
        with open(path, "rb") as file:
            return _npy_array(file, os.path.basename(path).removesuffix(".npy"), path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}. Copy or download it again.") from error


def _npy_array(file: IO[bytes], name: str, path: str) -> NamedArray:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(file)
    if kind.hasobject:
        raise DataError(
            f"{path} has Python objects in {name!r}. They are stored as a pickle, which can run any code, so topwork "
            "does not open them. Save numbers or texts: numpy.savez('data.npz', x_train=..., y_train=...)."
        )
    return NamedArray(name, tuple(shape), partial(_load, path, "" if path.endswith(".npy") else name), path)


def _load(path: str, name: str) -> np.ndarray:
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        return found[name]


def idx_array(path: str) -> NamedArray | None:
    """The array in an IDX file, compressed by gzip or not; None if it is no such file."""
    with suppress(OSError, EOFError), _open(path) as file:
        start = file.read(4)
        if len(start) == 4 and start[:2] == b"\0\0" and start[2] in _IDX_TYPES and 1 <= start[3] <= 4:
            shape = tuple(int(n) for n in np.frombuffer(file.read(4 * start[3]), ">u4"))
            name = os.path.basename(path)
            return NamedArray(name, shape, partial(_read_idx, path, start[2], shape), path)
    return None


def _read_idx(path: str, kind: int, shape: tuple[int, ...]) -> np.ndarray:
    count = math.prod(shape)
    dtype = np.dtype(_IDX_TYPES[kind])
    with _open(path) as file:
        file.seek(4 + 4 * len(shape))
        data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise DataError(f"{path} is damaged: it ends after {len(data):,} of {count:,} values. Download it again.")
    return np.frombuffer(data, dtype).reshape(shape)


def _open(path: str) -> IO[bytes] | gzip.GzipFile:
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_gzip else open(path, "rb")


def image_pixels(images: np.ndarray, where: str) -> Iterator[np.ndarray]:
    """The pixels of each image: uint8 (H, W) or (H, W, 3 or 4), or uint16 (H, W).

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W); whole numbers from 0 to 255 (gray: to 65535), or 0 to 1.
        where: Their name, for errors.

    Raises:
        DataError: They are not of such a shape or range.
    """
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] not in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (3, 4)):
        size = " x ".join(map(str, images.shape))
        raise DataError(
            f"{where} has the shape {size}; expected N x height x width, or N x height x width x channels with 1, 3 or "
            "4 channels. Save the images in such a shape."
        )
    if not images.size:
        return
    low, high = images.min(), images.max()
    unit = images.dtype.kind in "fb" and high <= 1
    if not (low >= 0 and high <= (65535 if images.ndim == 3 else 255)):
        raise DataError(
            f"{where} has values from {low:g} to {high:g}; expected 0 to 255, or 0 to 1. Scale the values to one of "
            "these."
        )
    kind = np.uint8 if unit or high <= 255 else np.uint16
    for image in images:
        yield np.rint(image * 255.0).astype(kind) if unit else np.rint(image).astype(kind)


def label_values(labels: np.ndarray, where: str) -> list[Any]:
    """A label for each row: numbers or texts (N,) or (N, 1), or a single 1 in each row of (N, K).

    Raises:
        DataError: There are several labels per image.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            ones = int(labels.sum(axis=1).max()) if labels.dtype.kind in "uifb" else labels.shape[1]
            raise DataError(
                f"{where} has several labels per image ({labels.shape[1]} columns, with up to {ones} labels in a row), "
                "which is not supported. Save one number or text per image."
            )
        labels = labels.argmax(axis=1)
    return labels.tolist()
