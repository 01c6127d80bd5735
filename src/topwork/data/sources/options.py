"""Options that every source supports: groups by path, splits that are ignored, images to exclude."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import UsageError

FOLDER = "folder"


def apply_options(manifest: Manifest, config: DataConfig) -> Manifest:
    """The manifest with ``exclude``, ``splits`` and, if the source has made no groups, ``group_by`` applied.

    Raises:
        UsageError: A pattern or a file that is not valid; the message names it.
    """
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
    group_of = (lambda image: str(PurePosixPath(image).parent)) if pattern == FOLDER else _search(pattern)
    grouped = tuple(replace(row, group=group_of(row.id)) for row in rows)
    if rows and not any(row.group for row in grouped):
        raise UsageError(
            f"--group-by {pattern!r} matches none of the paths, of which the first is {rows[0].id!r}. Pass a regular "
            f"expression such as '(patient\\d+)', {FOLDER!r}, or a column of a table."
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
            f"{path} cannot be read: {error}. Pass a list as `topwork check --write-exclude` writes it."
        ) from error
    return {row[0] for row in rows} - {"image"}
