"""Tar shards as WebDataset (Aizman et al. 2019) defines them: the files of a sample share their name up to a dot.

A shard is not unpacked: its index (``data/archive_index.py``) knows where each image is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.core.image_ref import TAR_SUFFIX, ImageRef, is_url
from topwork.core.progress import Progress
from topwork.data.archive_index import LABEL_SUFFIXES, Index
from topwork.data.archive_tree import index_of, is_shard
from topwork.data.images import SUFFIXES
from topwork.data.labels import UNLABELED, label_text
from topwork.data.shard_patterns import is_pattern, shards_of
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence, Reading
from topwork.data.split_words import common_splits, split_in, split_of

LABELS = tuple(suffix.removeprefix(".") for suffix in LABEL_SUFFIXES)  # in order of preference
_KEYS = ("label", "class", "class_name", "category", "cls", "target")  # of a .json, in order of preference


def is_shards(data: str) -> bool:
    """Whether this names shards: a pattern or a folder of them, one of them, or a URL that is not of an image."""
    if is_url(data) or is_pattern(data):
        return os.path.splitext(data)[1].lower() not in SUFFIXES
    if data.lower().endswith(TAR_SUFFIX):
        return os.path.isfile(data) and is_shard(data)
    return os.path.isdir(data) and _holds_shards(data) and is_shard(shards_of(data)[1][0])


def images_in_shards(data: str) -> Iterator[ImageRef]:
    """All images in shards, with or without labels, in the order of the shards."""
    for shard in shards_of(data)[1]:
        for name, _, _ in index_of(shard).rows():
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield ImageRef(shard, name)


class WebDatasetSource:
    """A shard, a folder of shards, a pattern such as ``train-{000000..000099}.tar``, or any of them at a URL.

    The id of an image is the shard's path, then its name there: ``train-000007.tar/ant/12.jpg``. Splits are read from
    the names of folders or shards (``train-...``, ``val-...``).
    """

    name = "webdataset"
    supported_options = frozenset({"label_key"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A URL, a pattern of shards, a shard, or a folder that holds shards and no other folders."""
        if data.is_explicit(self.name) or is_shards(data.path):
            how = "tar shards with a label beside each image"
            yield Reading(how, Evidence.CERTAIN, [data.path], partial(self._list, data.config, data.progress))

    def _list(self, config: DataConfig, progress: Progress) -> Manifest:
        """All images in the shards, whose headers are read if they have no index yet."""
        folder, shards = shards_of(config.path)
        root = folder if is_url(folder) else os.path.abspath(folder or ".")
        labels = _LabelReader(config)
        splits = common_splits(split_in(_relative(shard, folder)) for shard in shards)
        rows: list[ImageRow] = []
        ignored: dict[str, str] = {}
        with progress.track("shards listed", len(shards), "shards") as step:
            for shard, split in zip(shards, splits, strict=True):
                index = index_of(shard)
                short = _relative(shard, folder)
                store = f"{root}/{short}" if is_url(root) else os.path.join(root, short)
                ignored |= {f"{short}/{name}": reason for name, reason in index.ignored}
                if index.more_ignored:
                    ignored[short] = f"{index.more_ignored:,} more members ignored"
                for name, label in _labeled(index, short, labels, ignored):
                    rows.append(ImageRow(f"{short}/{name}", label, split=split, ref=ImageRef(store, name)))
                step.advance()
        if not rows and UNLABELED in ignored.values():
            raise DataError(f"No sample in {config.path} has a label. {labels.hint}")
        return Manifest(Path(root), tuple(rows), _name(folder, shards), ignored)


def _holds_shards(folder: str) -> bool:
    """Whether shards are directly in a folder beside no other folder, or in all of its folders, which are splits."""
    with os.scandir(folder) as scan:
        entries = [entry for entry in scan if not entry.name.startswith(".")]
    inside = [entry for entry in entries if entry.is_dir()]
    if len(split_of(entry.name for entry in inside)) < len(inside):
        return False
    shards = any(entry.name.lower().endswith(TAR_SUFFIX) for entry in entries if entry.is_file())
    return shards or (bool(inside) and all(_holds_shards(entry.path) for entry in inside))


def _relative(shard: str, folder: str) -> str:
    if is_url(shard):
        return shard.removeprefix(folder).lstrip("/")
    return Path(os.path.relpath(shard, folder or ".")).as_posix()


def _name(folder: str, shards: Sequence[str]) -> str:
    name = folder.rstrip("/").rpartition("/")[2] if is_url(folder) else Path(folder).resolve().name
    return (Path(shards[0]).stem if len(shards) == 1 else name) or "shards"


@dataclass
class _Sample:
    """The files of one key."""

    images: list[tuple[int, int, str]] = field(default_factory=list)  # dots in the extension, order, name
    labels: dict[str, bytes] = field(default_factory=dict)


def _samples(rows: Iterable[tuple[str, int, bytes | None]], ignored: dict[str, str], short: str) -> dict[str, _Sample]:
    """The files of a shard by key: all of the path up to the first dot in the last component."""
    samples: dict[str, _Sample] = {}
    for name, offset, text in rows:
        folder, slash, base = name.rpartition("/")
        stem, dot, extension = base.partition(".")
        if not stem or not dot:
            ignored[f"{short}/{name}"] = "hidden" if dot else "a name without a dot"
            continue
        sample = samples.setdefault(folder + slash + stem, _Sample())
        extension = extension.lower()
        if "." + extension.rpartition(".")[2] in SUFFIXES:
            sample.images.append((extension.count("."), offset, name))
        elif text is not None and extension in LABELS:
            sample.labels[extension] = text
    return samples


def _labeled(index: Index, short: str, labels: _LabelReader, ignored: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Name and label of the image of each sample."""
    for key, sample in _samples(index.rows(), ignored, short).items():
        if not sample.images:
            ignored[f"{short}/{key}"] = "a sample without an image"
            continue
        (_, _, name), *others = sorted(sample.images)
        for _, _, other in others:
            ignored[f"{short}/{other}"] = "another image of its sample"
        label = labels.read(sample.labels, f"{short}/{name}")
        if label:
            yield name, label
        else:
            ignored[f"{short}/{name}"] = UNLABELED


class _LabelReader:
    """Where labels are stored, and what they are called."""

    def __init__(self, config: DataConfig) -> None:
        kind, _, self._key = config.label_key.partition(":")
        if kind not in ("", *LABELS) or (self._key and kind != "json"):
            raise UsageError(
                f"--label-key {config.label_key!r} is not known. Pass {', '.join(LABELS)} or json:KEY, such as "
                "json:species."
            )
        self._kinds = (kind,) if kind else LABELS
        self.hint = (
            f"Labels are read from a file beside each image (.{', .'.join(self._kinds)}). Choose another one with "
            "--label-key, such as --label-key json:species."
        )

    def read(self, texts: dict[str, bytes], image: str) -> str:
        """The class name of a sample; empty if it has no label."""
        kind = next((kind for kind in self._kinds if kind in texts), None)
        if kind is None:
            return ""
        text = texts[kind].decode("utf-8", "replace").strip()
        label = self._label_from_json(text, image) if kind == "json" else label_text(text, image)
        return " ".join(label.split())

    def _label_from_json(self, text: str, image: str) -> str:
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"The .json file of {image} cannot be read: {error}. Choose another label file with --label-key."
            ) from error
        if isinstance(value, dict):
            keys = self._key.split(".") if self._key else [next((key for key in _KEYS if key in value), "")]
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
        elif self._key:
            value = None
        return label_text(value, image)
