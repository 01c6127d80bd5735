"""Tar shards as WebDataset (Aizman et al. 2019) defines them: the files of a sample share their name up to a dot.

A shard is not unpacked: its index (``data/tarindex.py``) says where each image lies in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topwork.core.errors import DataError, UsageError
from topwork.data import locations, remote
from topwork.data.images import SUFFIXES
from topwork.data.shard_patterns import SUFFIX, is_pattern, shards_of
from topwork.data.sources.base import FoundImage, Listing, Reading
from topwork.data.tar_index import KEPT, Index, open_index

LABELS = tuple(suffix.removeprefix(".") for suffix in KEPT)  # in the order in which they are looked for
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
          "test": "test"}  # fmt: skip
_KEYS = ("label", "class", "class_name", "category", "cls", "target")  # of a .json, if none is asked for


def is_shards(data: str) -> bool:
    """Whether this names shards: a pattern or a folder of them, one of them, or an address that is not of an image."""
    if remote.is_address(data) or is_pattern(data):
        return os.path.splitext(data)[1].lower() not in SUFFIXES
    if data.lower().endswith(SUFFIX):
        return os.path.isfile(data)
    return os.path.isdir(data) and _holds_shards(data)


def shard_images(data: str) -> Iterator[str]:
    """The names of all images in shards, with or without labels, in the order in which they lie there.

    Raises:
        UsageError: There is no such shard.
        DataError: A shard is damaged or compressed.
    """
    for shard in shards_of(data)[1]:
        for name, _, _ in _index_of(shard).rows():
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield f"{shard}/{name}"


class WebDatasetSource:
    """A shard, a folder of shards, a pattern such as ``train-{000000..000099}.tar``, or any of them at an address.

    The id of an image is the shard's path, then its name there: ``train-000007.tar/ant/12.jpg``. Parts are read from
    the names of folders or shards (``train-...``, ``val-...``).
    """

    name = "webdataset"
    knows = frozenset({"label_key", "class_names"})

    def recognises(self, path: Path) -> bool:
        """An address, a pattern of shards, a shard, or a folder that holds shards and no other folders."""
        return is_shards(str(path))

    def list(self, path: Path, reading: Reading) -> Listing:
        """All images in the shards, whose headers are read if they were not before.

        Raises:
            UsageError: There is no such shard.
            DataError: A shard is damaged or compressed; no sample has a label.
            MissingExtra: The address needs a package.
        """
        folder, shards = shards_of(str(path))
        root = Path(folder) if remote.is_address(folder) else Path(os.path.abspath(folder or "."))
        wish = _Wish(reading)
        images: list[FoundImage] = []
        ignored: dict[str, str] = {}
        splits = _parts(folder, shards)
        for number, shard in enumerate(shards):
            index = _index_of(shard)
            short = _relative(shard, folder)
            ignored |= {f"{short}/{name}": reason for name, reason in index.facts["passed"]}
            if index.facts["more"]:
                ignored[short] = f"{index.facts['more']:,} more members passed over"
            images += _images(index, short, root, splits[number], wish, ignored)
            if reading.tell:
                reading.tell(number + 1, len(shards))
        if not images and any(reason == _UNLABELLED for reason in ignored.values()):
            raise DataError(f"No sample in {path} has a label. {wish.advice}")
        return Listing(root, _name(folder, shards), tuple(images), ignored)


_UNLABELLED = "no label in its sample"


def _holds_shards(folder: str) -> bool:
    """Whether shards lie right in a folder beside no other folder, or in all of its folders, which are parts."""
    with os.scandir(folder) as scan:
        entries = [entry for entry in scan if not entry.name.startswith(".")]
    inside = [entry for entry in entries if entry.is_dir()]
    if any(entry.name.lower() not in _SPLITS for entry in inside):
        return False
    shards = any(entry.name.lower().endswith(SUFFIX) for entry in entries if entry.is_file())
    return shards or (bool(inside) and all(_holds_shards(entry.path) for entry in inside))


def _index_of(shard: str) -> Index:
    place = shard if remote.is_address(shard) else os.path.abspath(shard)
    stamp = locations.stamp_of(place)
    try:
        return open_index(place, stamp or [0], check=True)
    except OSError as error:
        raise DataError(
            f"{shard} cannot be read: {error.strerror or error}. Name the shards that are there."
        ) from error


def _relative(shard: str, folder: str) -> str:
    if remote.is_address(shard):
        return shard.removeprefix(folder).lstrip("/")
    return Path(os.path.relpath(shard, folder or ".")).as_posix()


def _name(folder: str, shards: Sequence[str]) -> str:
    name = folder.rstrip("/").rpartition("/")[2] if remote.is_address(folder) else Path(folder).resolve().name
    return (Path(shards[0]).stem if len(shards) == 1 else name) or "shards"


def _parts(folder: str, shards: Sequence[str]) -> list[str]:
    """The part that each shard's path names; none if one names none, or none of them is train."""
    found = []
    for shard in shards:
        words = re.split(r"[^a-z]+", _relative(shard, folder).lower())
        found.append(next((_SPLITS[word] for word in words if word in _SPLITS), ""))
    return found if "train" in found and len(set(found)) > 1 and all(found) else [""] * len(shards)


@dataclass
class _Sample:
    """The files of one key."""

    images: list[tuple[int, int, str]] = field(default_factory=list)  # dots in the extension, order, name
    labels: dict[str, bytes] = field(default_factory=dict)


def _samples(rows: Iterable[tuple[str, int, bytes | None]], ignored: dict[str, str], short: str) -> dict[str, _Sample]:
    """The files of a shard by key: all of the path up to the first dot in the last part of it."""
    samples: dict[str, _Sample] = {}
    for name, offset, kept in rows:
        folder, slash, base = name.rpartition("/")
        stem, dot, extension = base.partition(".")
        if not stem or not dot:
            ignored[f"{short}/{name}"] = "hidden" if dot else "a name without a dot"
            continue
        sample = samples.setdefault(folder + slash + stem, _Sample())
        extension = extension.lower()
        if "." + extension.rpartition(".")[2] in SUFFIXES:
            sample.images.append((extension.count("."), offset, name))
        elif kept is not None and extension in LABELS:
            sample.labels[extension] = kept
    return samples


def _images(
    index: Index, short: str, root: Path, split: str, wish: _Wish, ignored: dict[str, str]
) -> Iterator[FoundImage]:
    for key, sample in _samples(index.rows(), ignored, short).items():
        if not sample.images:
            ignored[f"{short}/{key}"] = "a sample without an image"
            continue
        (_, _, name), *others = sorted(sample.images)
        for _, _, other in others:
            ignored[f"{short}/{other}"] = "another image of its sample"
        place = f"{short}/{name}"
        label = wish.label(sample.labels, place)
        if not label:
            ignored[place] = _UNLABELLED
            continue
        yield FoundImage(place, root / place, label, split, label)


class _Wish:
    """Where labels are, and what they are called."""

    def __init__(self, reading: Reading) -> None:
        kind, _, self._key = reading.label_key.partition(":")
        if kind not in ("", *LABELS) or (self._key and kind != "json"):
            raise UsageError(
                f"--label-key {reading.label_key!r} is unknown; allowed are {', '.join(LABELS)} and json:KEY."
            )
        self._kinds = (kind,) if kind else LABELS
        self._names = _class_names(reading.class_names)
        self._file = reading.class_names
        self.advice = (
            f"Labels are looked for in files .{', .'.join(self._kinds)}; --label-key names one, e.g. json:species."
        )

    def label(self, found: dict[str, bytes], place: str) -> str:
        """The class name of a sample; empty if it has no label."""
        kind = next((kind for kind in self._kinds if kind in found), None)
        if kind is None:
            return ""
        text = found[kind].decode("utf-8", "replace").strip()
        word = self._of_json(text, place) if kind == "json" else text
        if not self._names or not word:
            return " ".join(word.split())
        if word in self._names:
            return word
        try:
            return self._names[_number(word, len(self._names))]
        except ValueError as error:
            raise DataError(f"{place} has the label {word!r}, which {self._file} does not know ({error}).") from error

    def _of_json(self, text: str, place: str) -> str:
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"The .json of {place} cannot be read: {error}. Use another --label-key.") from error
        if isinstance(value, dict):
            keys = self._key.split(".") if self._key else [next((key for key in _KEYS if key in value), "")]
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
        elif self._key:
            value = None
        if value is None or isinstance(value, dict | list | float):
            return ""
        return str(value)


def _number(word: str, classes: int) -> int:
    number = int(word) if word.isascii() and word.isdigit() else -1
    if not 0 <= number < classes:
        raise ValueError(f"it names 0 to {classes - 1}")
    return number


def _class_names(path: str) -> list[str]:
    """A name a line, the first for label 0; or a JSON list."""
    if not path:
        return []
    try:
        text = Path(path).read_text("utf-8-sig")
        names = json.loads(text) if path.lower().endswith(".json") else text.splitlines()
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("not a list of names")
    except (OSError, ValueError) as error:
        raise UsageError(f"--class-names {path} cannot be read: {error}. Give a file with a name a line.") from error
    while names and not names[-1].strip():
        names.pop()
    return [name.strip() for name in names]
