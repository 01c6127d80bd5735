"""The images that arguments name: files, folders, shards, patterns, tables, stdin; listed lazily, in a stable order."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator

from topwork.core.errors import DataError, UsageError
from topwork.core.image_ref import ImageRef
from topwork.data.images import SUFFIXES
from topwork.data.shard_patterns import find_matches, split_pattern
from topwork.data.sources import images_without_files
from topwork.data.sources.folder import images_below
from topwork.data.sources.table import TABLES, images_in_table
from topwork.data.sources.webdataset import images_in_shards, is_shards


def list_images(paths: Iterable[str | os.PathLike[str]], crop_to_box: bool = False) -> Iterator[ImageRef]:
    """The images, one after the other, found by the rules of the training sources.

    Args:
        paths: A file is listed without a check that it exists. Of a folder or a zip or tar file all images in it and
            below, in order of name; hidden files and folders, and what has no image's suffix, are ignored. Of tar
            shards (one, a pattern, a folder of them, a URL) all images in them; so of Parquet files, arrays and tables
            of pixels. A pattern with ``*``, ``?`` or ``[`` (``**`` for any depth) gives its matches in order of name. A
            table (``.csv``, ``.tsv``, ``.jsonl``) gives the names in its column of images; they are relative to the
            table's folder.
            ``-`` reads names from stdin, one per line.
        crop_to_box: Whether an image of a table is its box, if the table has a column for it.

    Raises:
        UsageError: A pattern that matches nothing.
        DataError: A folder without images, or a table that cannot be read.
    """
    for path in (os.fspath(path) for path in paths):
        if path == "-":
            yield from (ImageRef.parse(line.rstrip("\r\n")) for line in sys.stdin if line.strip())
        elif is_shards(path):
            yield from _require_some(images_in_shards(path), path)
        elif os.path.isdir(path) or ImageRef(path, "").in_archive:
            yield from _require_some(_images_inside(path), path)
        elif found := () if ImageRef.parse(path).suffix in SUFFIXES else images_without_files(path):
            yield from found
        elif path.lower().endswith(TABLES):
            yield from images_in_table(path, crop_to_box)
        elif glob.has_magic(split_pattern(path)[1]):
            matches = find_matches(path)
            if not matches:
                raise UsageError(f"No file matches {path}. Quote a pattern, so that the shell does not expand it.")
            for match in matches:  # a folder that matches brings its images
                yield from images_below(match) if os.path.isdir(match) else [ImageRef.parse(match)]
        else:
            yield ImageRef.parse(path)


def _images_inside(path: str) -> Iterator[ImageRef]:
    """The images in a folder or an archive, else those that its files have as rows or arrays."""
    images = images_below(path)
    first = next(images, None)
    if first is None:
        yield from images_without_files(path)
    else:
        yield first
        yield from images


def _require_some(images: Iterator[ImageRef], path: str) -> Iterator[ImageRef]:
    first = next(images, None)
    if first is None:
        raise DataError(f"No images found in {path}. Pass a folder, shards or files with images.")
    yield first
    yield from images
