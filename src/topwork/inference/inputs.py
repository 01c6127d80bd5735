"""Which images are meant: files, folders, patterns, lists in a CSV or on stdin; listed lazily, in a stable order."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from topwork.core.errors import DataError, UsageError
from topwork.data.images import SUFFIXES
from topwork.data.sources.webdataset import is_shards, shard_images

COLUMNS = ("image", "path", "file", "filename", "file_name", "filepath", "name")


def list_images(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The names of the images, one after the other; a file that is named need not exist: that is found out later.

    Args:
        paths: A file is taken as it is. Of a folder all images in it and below, in order of name; hidden files and
            folders, and what has no image's suffix, are passed over. Of tar shards (one, a pattern, a folder of them,
            an address) all images in them, each named by its shard and its name there. A pattern with ``*``, ``?`` or
            ``[`` (``**`` for any depth) gives its matches in order of name. A ``.csv`` gives the names in its column
            ``image``, ``path``, ``file`` or the like, else its first; they are relative to the CSV's folder. ``-``
            reads names from stdin, one a line.

    Raises:
        UsageError: A pattern that matches nothing.
        DataError: A folder without images, or a CSV that cannot be read.
    """
    for path in (os.fspath(path) for path in paths):
        if path == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        elif is_shards(path):
            yield from _some(shard_images(path), f"There is no image in {path}. Name other shards.")
        elif os.path.isdir(path):
            yield from _some(_folder(path), f"There is no image in {path}. Name another folder, or the files.")
        elif path.lower().endswith(".csv"):
            yield from _table(Path(path))
        elif not os.path.lexists(path) and glob.has_magic(path):
            matches = sorted(glob.iglob(path, recursive=True))  # a folder that matches brings its images
            if not matches:
                raise UsageError(f"No file matches {path}. Quote a pattern, so that the shell leaves it alone.")
            for match in matches:
                yield from _folder(match) if os.path.isdir(match) else [match]
        else:
            yield path


def _some(names: Iterator[str], otherwise: str) -> Iterator[str]:
    first = next(names, None)
    if first is None:
        raise DataError(otherwise)
    yield first
    yield from names


def _folder(root: str) -> Iterator[str]:
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.join(folder, name)


def _table(path: Path) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, None)
            if not header:
                raise DataError(f"{path} is empty. It needs a header line with a column `image`.")
            known = [name.strip().lower() for name in header]
            column = next((known.index(name) for name in COLUMNS if name in known), 0)
            for row in rows:
                if len(row) > column and row[column].strip():
                    yield os.path.join(path.parent, row[column].strip())
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}). Give a CSV file with a column `image`.") from error
