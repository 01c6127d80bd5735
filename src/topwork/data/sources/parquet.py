"""Parquet files with the bytes of images, as data sets of the hub are stored. Needs an extra."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from topwork.core.artifacts import Manifest
from topwork.core.commands import data_command
from topwork.core.errors import DataError, MissingDependency
from topwork.data.file_tree import join
from topwork.data.sources.base import DataArgument
from topwork.data.sources.image_copies import (
    ImageCopy,
    copy_images,
    evidence_of,
    stamps,
    stored_image,
    stored_label,
)
from topwork.data.sources.label_column import LABEL_COLUMNS
from topwork.data.sources.reading import Reading, Refused
from topwork.data.split_words import common_splits, split_in

_SUFFIX = ".parquet"
_IMAGE_COLUMNS = ("image", "img", "picture", "photo", "pixel_values", "jpg", "jpeg", "png", "bytes", "image_bytes")
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class _Column:
    """A column of images or labels.

    Attributes:
        name: Its name.
        names: Of the classes, by number; empty if labels are text.
    """

    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Files:
    """The Parquet files of a data set.

    Attributes:
        files: Their paths.
        splits: Of each file, or empty.
    """

    files: list[str]
    splits: list[str] = field(default_factory=list)

    @cached_property
    def schema(self) -> Any:
        """Of the first file."""
        return _open(self.files[0]).schema_arrow

    @cached_property
    def features(self) -> dict[str, Any]:
        """What the library datasets says about the columns."""
        try:
            return json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"]
        except (KeyError, ValueError, TypeError):
            return {}

    @property
    def image_column(self) -> str:
        """The first column of images; empty if there is none."""
        known = [name for name, about in self.features.items() if _kind(about) == "Image"]
        by_type = [field.name for field in self.schema if _holds_bytes(field.type)]
        named = [name for name in by_type if name.lower() in _IMAGE_COLUMNS]
        return next(iter([*known, *named, *(by_type if len(by_type) == 1 else [])]), "")

    def label_columns(self, requested: str) -> list[_Column]:
        """The columns that may be the labels: the configured one, those with class names, or one with a usual name."""
        names = [field.name for field in self.schema]
        known = [name for name, about in self.features.items() if _kind(about) == "ClassLabel"]
        by_name = {name.lower(): name for name in names}
        usual = [by_name[name] for name in LABEL_COLUMNS if name in by_name and by_name[name] != self.image_column]
        found = [name for name in names if name == requested] if requested else known or usual[:1]
        return [_Column(name, tuple(self.features.get(name, {}).get("names") or ())) for name in found]


class ParquetSource:
    """A Parquet file or a folder of them: bytes of image files, and labels, in columns.

    The bytes of the images are copied unchanged into topwork's cache, once, and read from there.
    """

    name = "parquet"
    supported_options = frozenset({"label_column"})

    def readings(self, data: DataArgument) -> Iterator[Reading | Refused]:
        """One reading for each column that may be the labels."""
        folders = _find_files(data)
        if not folders:
            return
        if importlib.util.find_spec("pyarrow") is None:
            raise MissingDependency(f"{next(iter(folders.values())).files[0]}, a Parquet file,", "parquet")
        for folder, found in folders.items():
            if not found.image_column:
                continue
            rows = sum(_open(file).metadata.num_rows for file in found.files)
            evidence = evidence_of(data, rows)
            where = folder if len(folders) > 1 else data.path
            columns = found.label_columns(data.config.label_column) if data.labeled else [_Column("")]
            if not columns:
                names = ", ".join(field.name for field in found.schema)
                yield Refused(
                    f"{found.files[0]} has images in column {found.image_column!r}, but it is not clear which column "
                    f"has the labels. Its columns are {names}. Pass one as NAME: "
                    f"{data_command(data.config, where, ['--label-column', 'NAME'])}",
                    evidence,
                )
            for column in columns:
                arguments = [where, *(["--label-column", column.name] if len(columns) > 1 else [])]
                how = f"Parquet: images from column {found.image_column!r}, labels from column {column.name!r}"
                yield Reading(how, evidence, arguments, partial(_list, data, found, rows, column))


def _find_files(data: DataArgument) -> dict[str, _Files]:
    """The Parquet files by the folder that they are a data set of."""
    if data.path.lower().endswith(_SUFFIX) and os.path.isfile(data.path):
        return {data.path: _Files([data.path], [""])}
    if data.tree is None:
        return {}
    sets: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for folder in data.tree.top.walk():
        for name in folder.files:
            if name.lower().endswith(_SUFFIX):
                words = [split_in(part) for part in join(folder.path, name).split("/")]
                above = [part for part in folder.path.split("/") if part not in ("", "data") and not split_in(part)]
                sets["/".join(above)].append((join(folder.path, name), next(filter(None, reversed(words)), "")))
    found = {}
    for folder, files in sets.items():
        splits = common_splits(split for _, split in files)
        found[os.path.join(data.path, folder)] = _Files([os.path.join(data.path, name) for name, _ in files], splits)
    return found


def _list(data: DataArgument, found: _Files, total: int, column: _Column) -> Manifest:
    """All rows with a label."""
    return copy_images(data, total, [stamps(found.files), found.splits, column.name], _images(found, column))


def _images(found: _Files, column: _Column) -> Iterator[ImageCopy]:
    columns = [name for name in (found.image_column, column.name) if name]
    for file, split in zip(found.files, found.splits, strict=True):
        for row, (image, *label) in enumerate(_rows(file, columns)):
            text = stored_label(label[0], column.names, f"{file}, row {row}") if label else ""
            content = stored_image(image, [os.path.dirname(os.path.abspath(file))], f"{file}, row {row}")
            yield ImageCopy(os.path.basename(file), split or "images", text, split, content)


def _rows(file: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    import pyarrow

    try:
        for batch in _open(file).iter_batches(_ROWS_AT_ONCE, columns=columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    except pyarrow.ArrowException as error:
        raise DataError(f"{file} is damaged: {error}. Copy or download it again.") from error


def _open(file: str) -> Any:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file} is damaged: {error}. Copy or download it again.") from error


def _kind(about: Any) -> str:
    return about.get("_type", "") if isinstance(about, dict) else ""


def _holds_bytes(kind: Any) -> bool:
    """Whether a column has bytes, or a struct with a field of that name."""
    if re.match(r"(large_|fixed_size_)?binary", str(kind)):
        return True
    return str(kind).startswith("struct") and any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
