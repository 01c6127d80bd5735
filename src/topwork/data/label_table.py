"""A listing as one plain table of paths and labels, which is read again to the same images, labels and splits."""

from __future__ import annotations

import os
from pathlib import Path

from topwork.core import storage
from topwork.core.artifacts import Manifest
from topwork.core.image_ref import ImageRef, box_suffix, is_url


def write_table(listing: Manifest, path: Path) -> None:
    """Write a CSV file with a row per image: path, label, and split, group and weight if any image has one.

    Paths are relative to the table's folder where they are in it, else absolute; an archive's member is
    ``x.zip/a/b.jpg``, and a box in a file follows its path (``car.jpg#xywh=39,116,530,257``).
    """
    rows = listing.rows
    usual = {"split": "", "group": "", "weight": 1.0}
    columns = [name for name, value in usual.items() if any(getattr(row, name) != value for row in rows)]
    folder = os.path.abspath(path.parent)
    cells = [[_path(row.ref, folder), row.label, *(getattr(row, name) for name in columns)] for row in rows]
    storage.write_csv(path, ["path", "label", *columns], cells)


def _path(ref: ImageRef, folder: str) -> str:
    if is_url(ref.path):
        return str(ref)
    path = os.path.abspath(ref.path)
    if path.startswith(os.path.join(folder, "")):
        path = os.path.relpath(path, folder)
        path = path if path == path.strip() else os.path.join(".", path)  # cells are read without blanks around them
    return path.replace(os.sep, "/") + box_suffix(ref.box)
