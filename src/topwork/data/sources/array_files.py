"""Images as numbers: .npz and .npy arrays, IDX files (MNIST), tables of pixels. Each becomes a PNG in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import numpy as np

from topwork.core.artifacts import Manifest
from topwork.core.commands import command, data_command, write_arrays
from topwork.core.errors import DataError
from topwork.data import arrays, pixel_tables
from topwork.data.arrays import NamedArray, npz_arrays
from topwork.data.file_tree import join
from topwork.data.labels import UNLABELED, label_text
from topwork.data.sources.base import DataArgument
from topwork.data.sources.image_copies import ImageCopy, copy_images, evidence_of, png_of, stamps
from topwork.data.sources.reading import Evidence, Reading, Refused
from topwork.data.split_units import list_first
from topwork.data.split_words import are_parts, common_splits, split_in, split_of, words


@dataclass(frozen=True)
class ArrayPart:
    """Images and labels of one split.

    Attributes:
        where: Their names, for messages.
        split: Empty if no name says it.
        name: What else the names say; parts of one data set have the same.
        count: Number of images.
        read: Reads images and labels, and splits if the file has them for each.
        files: The files that they are in.
        arrays: Their names in an ``.npz`` file.
    """

    where: str
    split: str
    name: str
    count: int
    read: Callable[[], tuple[np.ndarray, np.ndarray, Sequence[str]]]
    files: tuple[str, ...]
    arrays: tuple[str, ...] = ()


@dataclass
class ArrayParts:
    """What a source has found.

    Attributes:
        how: What it is, for ``Reading``.
        parts: One for each split.
        ignored: As for ``Manifest``.
        others: Arrays that are no images with labels, by their names.
    """

    how: str = ""
    parts: list[ArrayPart] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    others: list[NamedArray] = field(default_factory=list)


class ArraySource:
    """Arrays of images and labels in files of one format.

    Args:
        name: Of the source.
        find: Finds them in files; paths are absolute or relative to the working folder.
    """

    supported_options = frozenset({"label_column"})

    def __init__(self, name: str, find: Callable[[DataArgument, list[str]], ArrayParts]) -> None:
        self.name, self._find = name, find

    def readings(self, data: DataArgument) -> Iterator[Reading | Refused]:
        """A reading if there are images with labels in files of the format."""
        found = self._find(data, files_of(data))
        if not found.parts:
            if found.others and not (data.tree and data.tree.top.total):
                yield _unpaired(data, found.others)
            return
        evidence = evidence_of(data, sum(part.count for part in found.parts))
        names = sorted({part.name for part in found.parts})
        if data.labeled and len(names) > 1:
            ways = dict.fromkeys(_way(data, [part for part in found.parts if part.name == name]) for name in names)
            yield Refused(
                f"{data.path} has images and labels of {len(names)} data sets, by their names: "
                f"{list_first([name or 'no name' for name in names])}. Run the command for the right one:"
                + "".join(f"\n  {way}" for way in sorted(ways)),
                evidence,
            )
        else:
            arguments = [data.path, *(["--source", self.name] if os.path.isdir(data.path) else [])]
            yield Reading(found.how, evidence, arguments, partial(_list, data, found))


def _way(data: DataArgument, parts: Sequence[ArrayPart]) -> str:
    """The command that reads one of several data sets: it passes its file, or writes a file of its own."""
    (first, *_), arrays = parts, [name for part in parts for name in part.arrays]
    file = first.files[0]
    if len(set(first.files)) > 1 and file.lower().endswith((".npy", ".npz")):
        return _join(parts)
    if not arrays or len(arrays) == len(npz_arrays(file)):
        return data_command(data.config, file, [])
    target = os.path.join(os.path.dirname(file), f"{first.name.replace(' ', '_') or 'images'}.npz")
    if os.path.exists(target):
        target = f"{os.path.splitext(target)[0]}_arrays.npz"
    source, written, names = (json.dumps(value, ensure_ascii=False) for value in (file, target, arrays))
    chosen = f"**{{n: a[n] for n in {names}}}"
    return write_arrays(f"import numpy; a = numpy.load({source}); numpy.savez({written}, {chosen})", target)


def _join(parts: Sequence[ArrayPart]) -> str:
    """The command that writes images and labels, which are in files of their own, into one file, and reads it."""
    name = parts[0].name.replace(" ", "_") or "images"
    target = os.path.join(os.path.dirname(parts[0].files[0]), f"{name}_arrays.npz")
    loaded = ", ".join(
        f"{kind}_{part.split or 'all'}={_load_code(file)}"
        for part in parts
        for kind, file in zip("xy", part.files, strict=True)
    )
    written = json.dumps(target, ensure_ascii=False)
    return write_arrays(f"import numpy; numpy.savez({written}, {loaded})", target)


def _load_code(file: str) -> str:
    inside = f'["{npz_arrays(file)[0].name}"]' if file.lower().endswith(".npz") else ""
    return f"numpy.load({json.dumps(file, ensure_ascii=False)}){inside}"


def _unpaired(data: DataArgument, others: Sequence[NamedArray]) -> Refused:
    shown = list_first([f"{array.name} ({' x '.join(map(str, array.shape))}) in {array.file}" for array in others])
    return Refused(
        f"{data.path} has arrays, but no two of the same length that are called images and labels, or x and y: "
        f"{shown}. Save images (N x height x width) and labels (N numbers or names) in one file with "
        f"numpy.savez('data.npz', x_train=..., y_train=...), and run: {command('check', 'data.npz')}",
        Evidence.LIKELY,
    )


def find_arrays(data: DataArgument, files: list[str]) -> ArrayParts:
    """Arrays in ``.npz`` and ``.npy`` files, by their names; those of one ``.npz`` file belong together."""
    parts: list[ArrayPart] = []
    others: list[NamedArray] = []
    archives = [path for path in files if path.lower().endswith(".npz")]
    for path in archives:
        inside = arrays.npz_arrays(path)
        stem = os.path.splitext(os.path.basename(path))[0] if len(archives) > 1 else ""
        of_file = _pair(data, inside, stem)
        parts += of_file
        if len(inside) == 1 and inside[0].name == "arr_0":  # as numpy calls it; the name of the file says more
            inside = [replace(inside[0], name=os.path.splitext(os.path.basename(path))[0])]
        others += [] if of_file else inside
    others += [arrays.npy_array(path) for path in files if path.lower().endswith(".npy")]
    return replace(_found("arrays", [*parts, *_pair(data, others)]), others=others)


def find_idx(data: DataArgument, files: list[str]) -> ArrayParts:
    """IDX files, by their names; those that are there twice count once."""
    candidates = sorted(
        (path for path in files if "idx" in os.path.basename(path).lower()), key=lambda path: (path.count("/"), path)
    )
    chosen = arrays.idx_array(data.path) if os.path.isfile(data.path) and candidates else None
    if chosen:
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
                raise DataError(f"{same.file} and {path} have the same name, but differ. Remove one of them.")
            ignored[path] = f"the same as {same.file}"
    parts = _pair(data, first.values())
    if chosen:
        parts = [part for part in parts if part.name in {same.name for same in parts if chosen.file in same.files}]
    found = _found("IDX files", parts)
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
            split, name = _split_and_rest(os.path.basename(path).partition(".")[0])
            found.parts.append(ArrayPart(path, split, name, table.count, table.read, (path,)))
            found.how = f"a table of pixels ({table.size}) with labels in column {table.label!r}"
    found.parts = _with_splits(found.parts)
    return found


def _found(how: str, parts: list[ArrayPart]) -> ArrayParts:
    return ArrayParts(f"{how} " + ", ".join(part.where for part in parts), _with_splits(parts))


def _pair(data: DataArgument, found: Iterable[NamedArray], file: str = "") -> list[ArrayPart]:
    """The pairs of images and labels, each of a split that its name says, or else that of their file."""
    parts = []
    for pair in arrays.pairs_of(found, data.labeled):
        of_pair = [pair.images, *([pair.labels] if pair.labels else [])]
        names = " and ".join(array.name for array in of_pair)
        where = names if pair.images.file.endswith(pair.images.name) else f"{names} in {pair.images.file}"
        text = " ".join(pair.words)
        split, name = _split_and_rest(f"{file} {text}")
        if file and split_in(text):  # a file with splits is a data set, and one of another number another
            name = file
        files = tuple(array.file for array in of_pair)
        members = tuple(array.name for array in of_pair if array.file.lower().endswith(".npz"))
        parts.append(ArrayPart(where, split, name, pair.images.shape[0], partial(_read_pair, pair), files, members))
    return parts


def _read_pair(pair: arrays.Pair) -> tuple[np.ndarray, np.ndarray, list[str]]:
    images = pair.images.read()
    return images, pair.labels.read() if pair.labels else np.full(len(images), ""), []


def _with_splits(parts: list[ArrayPart]) -> list[ArrayPart]:
    """The parts; without splits if they are not all of different ones."""
    splits = common_splits(part.split for part in parts)
    return [replace(part, split=split) for part, split in zip(parts, splits, strict=True)]


def _list(data: DataArgument, found: ArrayParts) -> Manifest:
    files = sorted({file for part in found.parts for file in part.files})
    state = [stamps(files), [(part.where, part.split) for part in found.parts]]
    total = sum(part.count for part in found.parts)
    listed = copy_images(data, total, state, chain.from_iterable(map(_images, found.parts)))
    return replace(listed, ignored=found.ignored | listed.ignored)


def _images(part: ArrayPart) -> Iterator[ImageCopy]:
    pixels, labels, splits = part.read()
    values = arrays.label_values(labels, part.where)
    named = split_of(set(splits))
    own = common_splits(named.get(split, "") for split in splits)
    for n, (image, value) in enumerate(zip(arrays.image_pixels(pixels, part.where), values, strict=True)):
        split = (own[n] if own else "") or part.split
        yield ImageCopy(part.where, split or "images", label_text(value, part.where), split, png_of(image))


def files_of(data: DataArgument) -> list[str]:
    """The file that the argument names, or all that are no images in its folder."""
    if data.tree is None:
        return [data.path] if os.path.isfile(data.path) else []
    if not os.path.isdir(data.tree.store):
        return []
    return [
        os.path.join(data.path, join(folder.path, name)) for folder in data.tree.top.walk() for name in folder.files
    ]


def _split_and_rest(name: str) -> tuple[str, str]:
    """The split that a name says, and what else it says: no numbers, and not that it is a part."""
    name = name.replace("t10k", "test")  # MNIST
    return split_in(name), " ".join(word for word in words(name) if not are_parts([word]) and not split_in(word))


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
