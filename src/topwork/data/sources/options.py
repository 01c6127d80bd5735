"""What can be asked of every source: groups by path, parts that do not count, images to leave out."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from topwork.core.errors import UsageError
from topwork.data.sources.base import FoundImage, Listing, Reading

FOLDER = "folder"


def adjust(listing: Listing, reading: Reading) -> Listing:
    """The listing as it was asked for.

    Raises:
        UsageError: A pattern or a file that does not fit; the message names it.
    """
    images, ignored = list(listing.images), listing.ignored
    if reading.exclude:
        out = _read_list(Path(reading.exclude))
        ignored = ignored | {image.id: "left out" for image in images if image.id in out}
        images = [image for image in images if image.id not in out]
    if reading.splits == "new":
        images = [replace(image, split="") for image in images]
    if reading.group_by and not listing.grouped:
        images = _grouped(images, reading.group_by)
    return replace(listing, images=tuple(images), ignored=ignored)


def _grouped(images: list[FoundImage], pattern: str) -> list[FoundImage]:
    find = _folder_of if pattern == FOLDER else _searched(pattern)
    grouped = [replace(image, group=find(image.id)) for image in images]
    if images and not any(image.group for image in grouped):
        raise UsageError(
            f"--group-by {pattern!r} matches none of the paths, of which the first is {images[0].id!r}. Give a regular "
            f"expression such as '(patient\\d+)', {FOLDER!r}, or a column of a table."
        )
    return grouped


def _folder_of(image: str) -> str:
    return str(PurePosixPath(image).parent)


def _searched(pattern: str) -> Callable[[str], str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-by {pattern!r} is no regular expression: {error}.") from error

    def find(image: str) -> str:
        match = compiled.search(image)
        return (match.group(1) or "") if match and compiled.groups else match.group() if match else ""

    return find


def _read_list(path: Path) -> set[str]:
    """Image ids in the first column of a CSV file with a header, or one a line."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0]]
    except (OSError, csv.Error) as error:
        raise UsageError(
            f"{path} cannot be read: {error}. Give a list as `topwork check --write-exclude` writes it."
        ) from error
    return {row[0] for row in rows} - {"image"}
