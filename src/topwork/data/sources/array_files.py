"""Images as numbers: .npz and .npy arrays, IDX files (MNIST), tables of pixels. Each becomes a PNG in the cache."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from topwork.core.artifacts import SPLITS, Manifest
from topwork.core.errors import DataError
from topwork.data import arrays, pixel_tables
from topwork.data.arrays import NamedArray
from topwork.data.file_tree import join
from topwork.data.labels import UNLABELED, label_text
from topwork.data.sources.base import DataArgument
from topwork.data.sources.image_copies import ImageCopy, copy_images, evidence_of, png_of, stamps
from topwork.data.sources.reading import Reading
from topwork.data.split_words import split_in


@dataclass(frozen=True)
class ArrayPart:
    """Images and labels of one split.

    Attributes:
        where: Their names, for messages.
        split: Empty if no name says it.
        count: Number of images.
        read: Reads images and labels, and splits if the file has them for each.
        files: The files that they are in.
    """

    where: str
    split: str
    count: int
    read: Callable[[], tuple[np.ndarray, np.ndarray, Sequence[str]]]
    files: tuple[str, ...]


@dataclass
class ArrayParts:
    """What a source has found.

    Attributes:
        how: What it is, for ``Reading``.
        parts: One for each split.
        ignored: As for ``Manifest``.
    """

    how: str = ""
    parts: list[ArrayPart] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)


class ArraySource:
    """Arrays of images and labels in files of one format.

    Args:
        name: Of the source.
        find: Finds them in files; paths are absolute or relative to the working folder.
    """

    supported_options = frozenset({"label_column"})

    def __init__(self, name: str, find: Callable[[DataArgument, list[str]], ArrayParts]) -> None:
        self.name, self._find = name, find

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A reading if there are images with labels in files of the format."""
        found = self._find(data, files_of(data))
        if found.parts:
            evidence = evidence_of(data, sum(part.count for part in found.parts))
            arguments = [data.path, *(["--source", self.name] if os.path.isdir(data.path) else [])]
            yield Reading(found.how, evidence, arguments, partial(_list, data, found))


def find_arrays(data: DataArgument, files: list[str]) -> ArrayParts:
    """Arrays in ``.npz`` and ``.npy`` files, by their names."""
    found: list[NamedArray] = []
    for path in files:
        if path.lower().endswith(".npz"):
            found += arrays.npz_arrays(path)
        elif path.lower().endswith(".npy"):
            found.append(arrays.npy_array(path))
    return _pair(data, "arrays", found)


def find_idx(data: DataArgument, files: list[str]) -> ArrayParts:
    """IDX files, by their names; those that are there twice count once."""
    candidates = sorted(
        (path for path in files if "idx" in os.path.basename(path).lower()), key=lambda path: (path.count("/"), path)
    )
    if os.path.isfile(data.path) and candidates and arrays.idx_array(data.path):
        folder = os.path.dirname(data.path) or "."
        candidates = sorted(entry.path for entry in os.scandir(folder) if "idx" in entry.name.lower())
    first: dict[tuple[str, ...], NamedArray] = {}
    ignored = {}
    for path in candidates:
        array = arrays.idx_array(path)
        if array is None:
            continue
        same = first.setdefault(tuple(array.words), array)
        if same is not array:
            if _digest(same.file) != _digest(path):
                raise DataError(f"{same.file} and {path} have one name and differ. Remove one of them.")
            ignored[path] = f"the same as {same.file}"
    found = _pair(data, "IDX files", first.values())
    found.ignored |= ignored
    return found


def find_pixel_tables(data: DataArgument, files: list[str]) -> ArrayParts:
    """Tables with a column per pixel, and a label."""
    found = ArrayParts()
    digests = set()
    for path in sorted(files, key=lambda path: (path.count("/"), path)):
        if not path.lower().endswith((".csv", ".tsv", ".txt")):
            continue
        table = pixel_tables.probe(path, data.config.label_column)
        if table is None:
            continue
        if (digest := _digest(path)) in digests:
            found.ignored[path] = "the same as an earlier table"
        elif not table.label and data.labeled:
            found.ignored[path] = UNLABELED
        else:
            digests.add(digest)
            split = _split_of(os.path.basename(path).partition(".")[0])
            found.parts.append(ArrayPart(path, split, table.count, table.read, (path,)))
            found.how = f"a table with the pixels of images, {table.size}, and labels in column {table.label!r}"
    found.parts = _with_splits(found.parts)
    return found


def _pair(data: DataArgument, how: str, found: Iterable[NamedArray]) -> ArrayParts:
    """The pairs of images and labels, each of a split that its name says."""
    parts = []
    for pair in arrays.pairs_of(found, data.labeled):
        split = _split_of(" ".join(pair.words))
        of_pair = [pair.images, *([pair.labels] if pair.labels else [])]
        names = " and ".join(array.name for array in of_pair)
        where = names if pair.images.file.endswith(pair.images.name) else f"{names} in {pair.images.file}"
        read = partial(_read_pair, pair)
        parts.append(ArrayPart(where, split, pair.images.shape[0], read, tuple(array.file for array in of_pair)))
    return ArrayParts(f"{how} " + ", ".join(part.where for part in parts), _with_splits(parts))


def _read_pair(pair: arrays.Pair) -> tuple[np.ndarray, np.ndarray, list[str]]:
    images = pair.images.read()
    return images, pair.labels.read() if pair.labels else np.full(len(images), ""), []


def _with_splits(parts: list[ArrayPart]) -> list[ArrayPart]:
    """The parts; without splits if they are not all of different ones."""
    splits = [part.split for part in parts]
    if all(splits) and len(splits) > 1 and "train" in splits:
        return parts
    return [ArrayPart(part.where, "", part.count, part.read, part.files) for part in parts]


def _list(data: DataArgument, found: ArrayParts) -> Manifest:
    files = sorted({file for part in found.parts for file in part.files})
    state = [stamps(files), data.labeled, [(part.where, part.split) for part in found.parts]]
    total = sum(part.count for part in found.parts)

    def images(ignored: dict[str, str]) -> Iterator[ImageCopy]:
        numbers: dict[str, int] = defaultdict(int)
        with data.progress.track("images written", total) as step:
            for part in found.parts:
                pixels, labels, splits = part.read()
                values = arrays.label_values(labels, part.where)
                own = splits if "train" in splits and all(split in SPLITS for split in splits) else []
                of_each = own or [part.split] * len(values)
                for image, value, split in zip(arrays.image_pixels(pixels, part.where), values, of_each, strict=True):
                    name = f"{split or 'images'}/{numbers[split]:07d}"
                    numbers[split] += 1
                    label = label_text(value, part.where)
                    if label or not data.labeled:
                        yield ImageCopy(name, label, split, png_of(image))
                    else:
                        ignored[name] = UNLABELED
                    step.advance()

    copies = copy_images(os.path.abspath(data.path), state, images)
    return Manifest(copies.root, copies.rows, Path(data.path).resolve().stem or "data", found.ignored | copies.ignored)


def files_of(data: DataArgument) -> list[str]:
    """The file that the argument names, or all that are no images in its folder."""
    if data.tree is None:
        return [data.path] if os.path.isfile(data.path) else []
    if not os.path.isdir(data.tree.store):
        return []
    return [
        os.path.join(data.path, join(folder.path, name)) for folder in data.tree.top.walk() for name in folder.files
    ]


def _split_of(name: str) -> str:
    return split_in(name) or ("test" if "t10k" in re.split(r"[ _-]", name) else "")  # MNIST


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
