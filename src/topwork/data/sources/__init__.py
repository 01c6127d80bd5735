"""The kinds of data sets that images are listed from. A new one is one file here and one line in ``SOURCES``."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, MissingDependency, UnknownName, UsageError
from topwork.core.image_ref import ImageRef
from topwork.core.progress import Progress
from topwork.data.class_names import name_classes
from topwork.data.labels import unify_labels
from topwork.data.sources.array_files import ArraySource, find_arrays, find_idx, find_pixel_tables
from topwork.data.sources.base import SILENT, DataArgument, Source, require_folder
from topwork.data.sources.elpv import ElpvSource
from topwork.data.sources.file_names import FileNamesSource
from topwork.data.sources.folder import FolderSource
from topwork.data.sources.hugging_face import HuggingFaceSource
from topwork.data.sources.parquet import ParquetSource
from topwork.data.sources.reading import Reading, Refused, choose, describe
from topwork.data.sources.stanford_cars import StanfordCarsSource
from topwork.data.sources.table import TableSource
from topwork.data.sources.unreadable import UnreadableSource
from topwork.data.sources.webdataset import WebDatasetSource

__all__ = ["SOURCES", "Source", "images_without_files", "list_images"]

ARRAYS = (
    ArraySource("arrays", find_arrays),
    ArraySource("idx", find_idx),
    ArraySource("pixel-table", find_pixel_tables),
)
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        ElpvSource(),
        StanfordCarsSource(),
        TableSource(),
        WebDatasetSource(),
        HuggingFaceSource(),
        ParquetSource(),
        *ARRAYS,
        UnreadableSource(),
        FolderSource(),
        FileNamesSource(),
    )
}


def list_images(config: DataConfig, progress: Progress = SILENT) -> Manifest:
    """All images of a configuration, before any is opened.

    Raises:
        UnknownName: No such kind of source.
        UsageError: There is no such data, they can be read in several ways or in none, the source does not support an
            option, or a pattern or a file is not valid.
        DataError: The data are damaged.
        MissingDependency: They need an optional package.
    """
    data = DataArgument(config, progress)
    source, reading = _find_reading(data)
    listed = name_classes(reading.manifest, config, search=source.name in ("folder", "table"))
    manifest = unify_labels(_apply_options(listed, config), config)
    return replace(manifest, source=source.name, reading=describe(reading, manifest, data.tree))


def images_without_files(path: str) -> tuple[ImageRef, ...]:
    """The images in Parquet, arrays and tables of pixels, labeled or not; none if the path is nothing of that kind.

    Raises:
        UsageError: The images are in a form that topwork does not open; the message is that of ``list_images``.
    """
    data = DataArgument(DataConfig(path=path), labeled=False)
    found = [reading for source in (ParquetSource(), *ARRAYS, UnreadableSource()) for reading in source.readings(data)]
    if reading := next((reading for reading in found if isinstance(reading, Reading)), None):
        return tuple(row.ref for row in reading.manifest.rows)
    for refused in found:
        if isinstance(refused, Refused):
            raise UsageError(refused.message)
    return ()


def _find_reading(data: DataArgument) -> tuple[Source, Reading]:
    """The reading with the most evidence, and its source."""
    kind = data.config.source
    if kind not in ("auto", *SOURCES):
        raise UnknownName("source", kind, ["auto", *SOURCES])
    sources = SOURCES.values() if kind == "auto" else [SOURCES[kind]]
    found: list[tuple[Source, Reading | Refused]] = []
    for source in sources:
        try:
            found += [(source, reading) for reading in source.readings(data)]
        except (DataError, MissingDependency):
            if kind != "auto" or data.tree is None or not data.tree.top.total:
                raise  # else it is about a file beside the images
    if not found:
        require_folder(Path(data.path))
        raise UsageError(
            f"{data.path} cannot be read with --source {kind}. Omit --source, so that topwork detects the format."
        )
    given = {
        option for source in SOURCES.values() for option in source.supported_options if getattr(data.config, option)
    }
    fitting = [(source, reading) for source, reading in found if given <= source.supported_options]
    if not fitting:
        nearest = max((source for source, _ in found), key=lambda source: len(given & source.supported_options))
        option = min(given - nearest.supported_options)
        able = ", ".join(source.name for source in SOURCES.values() if option in source.supported_options)
        flag = f"--{option.replace('_', '-')}"
        raise UsageError(
            f"{flag} is not supported for {data.path} (source {nearest.name}), only for: {able}. Omit {flag}, or "
            "choose one of these with --source."
        )
    chosen = choose(data.config, [reading for _, reading in fitting])
    return next(source for source, reading in fitting if reading is chosen), chosen


def _apply_options(manifest: Manifest, config: DataConfig) -> Manifest:
    """The manifest with ``exclude``, ``splits`` and, if the source has made no groups, ``group_by`` applied."""
    rows, ignored = manifest.rows, manifest.ignored
    if config.exclude:
        excluded = _read_ids(Path(config.exclude))
        ignored = ignored | {row.id: "excluded" for row in rows if row.id in excluded}
        rows = tuple(row for row in rows if row.id not in excluded)
    if config.splits == "new":
        rows = tuple(replace(row, split="") for row in rows)
    if config.group_by and not any(row.group for row in rows):
        rows = _group(rows, config.group_by)
    return replace(manifest, rows=rows, ignored=ignored)


_GROUP_HINT = (
    r"Pass a regular expression such as '(patient\d+)', the word folder, or the name of a column of the table."
)


def _group(rows: tuple[ImageRow, ...], pattern: str) -> tuple[ImageRow, ...]:
    group_of = (lambda image: str(PurePosixPath(image).parent)) if pattern == "folder" else _search(pattern)
    grouped = tuple(replace(row, group=group_of(row.id)) for row in rows)
    if rows and not any(row.group for row in grouped):
        raise UsageError(
            f"--group-by {pattern!r} matches none of the paths; the first path is {rows[0].id!r}. {_GROUP_HINT}"
        )
    return grouped


def _search(pattern: str) -> Callable[[str], str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-by {pattern!r} is not a regular expression: {error}. {_GROUP_HINT}") from error

    def find(image: str) -> str:
        match = compiled.search(image)
        return (match.group(1) or "") if match and compiled.groups else match.group() if match else ""

    return find


def _read_ids(path: Path) -> set[str]:
    """Image ids in the first column of a CSV file with a header, or one per line."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0]]
    except (OSError, csv.Error) as error:
        raise UsageError(
            f"--exclude {path} cannot be read: {error}. Pass a file that the command check has written with "
            "--write-exclude."
        ) from error
    return {row[0] for row in rows} - {"image"}
