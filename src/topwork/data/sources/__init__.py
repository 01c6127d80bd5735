"""The kinds of data sets that images are listed from. A new one is one file here and one line in ``SOURCES``."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import UnknownName, UsageError
from topwork.core.progress import Progress
from topwork.data.labels import unify_labels
from topwork.data.sources.base import SILENT, Source, require_folder
from topwork.data.sources.elpv import ElpvSource
from topwork.data.sources.folder import FolderSource
from topwork.data.sources.hugging_face import HuggingFaceSource
from topwork.data.sources.stanford_cars import StanfordCarsSource
from topwork.data.sources.table import TableSource
from topwork.data.sources.webdataset import WebDatasetSource

__all__ = ["SOURCES", "Source", "find_source", "list_images"]

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        ElpvSource(),
        StanfordCarsSource(),
        TableSource(),
        WebDatasetSource(),  # before those that would take a URL for a name
        HuggingFaceSource(),
        FolderSource(),  # last: it matches every folder
    )
}


def find_source(kind: str, data: str) -> Source:
    """The source for a data argument.

    Args:
        kind: A key of ``SOURCES``, or ``"auto"`` for the first one that matches the data.
        data: A path, a URL, or the name of a data set that a package contains.

    Raises:
        UnknownName: No such kind.
        UsageError: No source matches: there is no such folder.
    """
    if kind != "auto":
        if kind not in SOURCES:
            raise UnknownName("source", kind, ["auto", *SOURCES])
        return SOURCES[kind]
    for source in SOURCES.values():
        if source.matches(data):
            return source
    require_folder(Path(data))
    return SOURCES["folder"]


def list_images(config: DataConfig, progress: Progress = SILENT) -> Manifest:
    """All images of a configuration, before any is opened.

    Raises:
        UnknownName: No such kind of source.
        UsageError: The source does not support an option, or a pattern or a file is not valid.
        TopworkError: As ``Source.list``.
    """
    source = find_source(config.source, config.path)
    for option in ("labels_from_path", "crop_to_box", "label_key", "class_names"):
        if getattr(config, option) and option not in source.supported_options:
            able = ", ".join(other.name for other in SOURCES.values() if option in other.supported_options)
            flag = option.replace("_", "-")
            raise UsageError(f"--{flag} is not supported for {config.path} (source {source.name}), only for: {able}.")
    return unify_labels(_apply_options(source.list(config, progress), config), config)


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


def _group(rows: tuple[ImageRow, ...], pattern: str) -> tuple[ImageRow, ...]:
    group_of = (lambda image: str(PurePosixPath(image).parent)) if pattern == "folder" else _search(pattern)
    grouped = tuple(replace(row, group=group_of(row.id)) for row in rows)
    if rows and not any(row.group for row in grouped):
        raise UsageError(
            f"--group-by {pattern!r} matches none of the paths, of which the first is {rows[0].id!r}. Pass a regular "
            f"expression such as '(patient\\d+)', 'folder', or a column of a table."
        )
    return grouped


def _search(pattern: str) -> Callable[[str], str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-by {pattern!r} is not a regular expression: {error}.") from error

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
            f"{path} cannot be read: {error}. Pass a list that the option --write-exclude of check has written."
        ) from error
    return {row[0] for row in rows} - {"image"}
