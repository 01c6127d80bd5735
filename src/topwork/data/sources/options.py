"""Options that every source supports: groups by path, splits that are ignored, images to exclude."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from topwork.core.errors import UsageError
from topwork.data.sources.base import ImageListing, ListedImage, SourceOptions

FOLDER = "folder"


def apply_options(listing: ImageListing, options: SourceOptions) -> ImageListing:
    """The listing with ``exclude``, ``splits`` and ``group_by`` applied.

    Raises:
        UsageError: A pattern or a file that is not valid; the message names it.
    """
    images, ignored = list(listing.images), listing.ignored
    if options.exclude:
        excluded = _read_ids(Path(options.exclude))
        ignored = ignored | {image.id: "excluded" for image in images if image.id in excluded}
        images = [image for image in images if image.id not in excluded]
    if options.splits == "new":
        images = [replace(image, split="") for image in images]
    if options.group_by and not listing.has_groups:
        images = _group(images, options.group_by)
    return replace(listing, images=tuple(images), ignored=ignored)


def _group(images: list[ListedImage], pattern: str) -> list[ListedImage]:
    group_of = _folder_of if pattern == FOLDER else _search(pattern)
    grouped = [replace(image, group=group_of(image.id)) for image in images]
    if images and not any(image.group for image in grouped):
        raise UsageError(
            f"--group-by {pattern!r} matches none of the paths, of which the first is {images[0].id!r}. Pass a regular "
            f"expression such as '(patient\\d+)', {FOLDER!r}, or a column of a table."
        )
    return grouped


def _folder_of(image: str) -> str:
    return str(PurePosixPath(image).parent)


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
