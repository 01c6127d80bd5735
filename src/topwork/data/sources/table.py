"""A table of images: one that is given, or those that lie in a folder and name its images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from topwork.core.artifacts import Manifest
from topwork.core.commands import as_argument, command
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, TopworkError, UsageError
from topwork.core.image_ref import ImageRef, is_url, names_member
from topwork.data.annotations import read_labels
from topwork.data.archive_tree import read_tree
from topwork.data.file_index import FileIndex
from topwork.data.file_tree import FileTree, read_folder
from topwork.data.locations import NotReadable, read_bytes
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence, Reading, Refused
from topwork.data.sources.table_columns import box_columns, find_path_column
from topwork.data.sources.table_places import Places
from topwork.data.sources.table_readings import readings_of_tree
from topwork.data.sources.table_rows import Listing, RowReader, list_rows
from topwork.data.split_words import split_in
from topwork.data.tables import TABLES, WORKBOOKS, Table, cell_text, has_image_suffix

__all__ = ["TABLES", "TableSource", "images_in_table"]

MAX_BYTES = 2**31
_NOTES = frozenset({
    "labels", "label", "annotations", "annotation", "meta", "metadata", "splits", "split", "lists", "csv", "tables",
    "imagesets", "docs", "info",
})  # fmt: skip
_HEAD = 50  # rows whose files are looked for before the folder is listed


class TableSource:
    """A file with a row per image; paths are relative to its folder, or are searched in and below it.

    Columns: path and label; optionally split, group, weight, and box (left, top, width, height).
    """

    name = "table"
    supported_options = frozenset({"crop_to_box", "path_column", "label_column", "table"})

    def readings(self, data: DataArgument) -> Iterator[Reading | Refused]:
        """The table that the data argument or ``--table`` names, else the tables in a folder."""
        path = data.path
        if data.config.table and not _inside(data.config.table, data.tree):
            yield _reading(data.config.table, data.config, data.tree)
        elif data.tree is not None:
            yield from readings_of_tree(data, data.tree)
        elif os.path.isfile(path) and path.lower().endswith(WORKBOOKS):
            raise UsageError(_workbook(path))
        elif os.path.isfile(path) and (path.lower().endswith((*TABLES, ".xml")) or data.is_explicit(self.name)):
            yield _reading(path, data.config, None)
        elif data.is_explicit(self.name):
            raise UsageError(f"{path} does not exist or is not a file. Pass a table with the columns path and label.")


def images_in_table(path: str, crop_to_box: bool = False) -> Iterator[ImageRef]:
    """The images of a table, as ``TableSource`` finds them; those that do not exist by their names.

    Args:
        path: Of the table.
        crop_to_box: Whether a row with a box is that part of its image.

    Raises:
        DataError: It cannot be read, or has no rows.
    """
    config = DataConfig(path=path, crop_to_box=crop_to_box)
    table = _read(path)
    places = _places(table, path, None, config)
    column = find_path_column(table, places.find, config)
    reader = RowReader(table, box_columns(table, {"path": column}), places, config)
    for number, name in enumerate(table.texts(column)):
        if is_url(name) and not places.find(name).paths:
            yield ImageRef.parse(name)
        elif name:
            yield places.row(reader.read(number)).ref


def _inside(table: str, tree: FileTree | None) -> bool:
    return tree is not None and os.path.abspath(table).startswith(os.path.join(tree.store, ""))


def _workbook(path: str) -> str:
    name = os.path.splitext(path)[0] + ".csv"
    check = command("check", as_argument(name))
    return f"{path} is a spreadsheet. Open it in the spreadsheet program, save it as CSV, and run: {check}"


def _reading(path: str, config: DataConfig, tree: FileTree | None) -> Reading:
    """The reading of a table that is named; it may raise only when its images are listed."""
    words = [config.path, *(["--table", path] if path != config.path else [])]

    def fail(error: TopworkError) -> Callable[[], Manifest]:
        def list_nothing() -> Manifest:
            raise error

        return list_nothing

    evidence = Evidence.POSSIBLE
    try:
        table = _read(path)
        places = _places(table, path, tree, config)
        find_path_column(table, places.find, config)
        evidence = Evidence.CERTAIN
        listing = list_rows(table, places, config)
    except TopworkError as error:
        return Reading(f"table {path}", evidence, words, fail(error))
    return Reading(listing.describe(), evidence, words, lambda: _manifest(listing, path, places))


def _read(path: str) -> Table:
    try:
        data = read_bytes(ImageRef("", os.path.abspath(path)), MAX_BYTES)
    except (OSError, NotReadable) as error:
        raise DataError(f"{path} cannot be read: {error}. Pass a CSV, TSV or JSON Lines file.") from error
    folder = os.path.dirname(path)

    def is_image(text: str) -> bool:
        return has_image_suffix(text) or (
            "\0" not in text and 0 < len(text) < 4096 and os.path.isfile(os.path.join(folder, text))
        )

    table = read_labels(data, path, is_image)
    if not table.rows:
        raise DataError(f"{path} has no rows. It needs a header and one row per image.")
    return table


def _places(table: Table, path: str, tree: FileTree | None, config: DataConfig) -> Places:
    """Where its images are: as it says, or in the folder of the table, or in the one above."""
    folder = Path(path).absolute().parent
    direct = Places(folder)
    if tree is not None:
        return Places(Path(tree.store), "", tree, FileIndex(tree.top.image_paths()), split_of=split_in)
    for column in table.columns:
        texts = [text for text in map(cell_text, table.values(column, _HEAD)) if text]
        if texts and all(direct.find(text).paths or names_member(text) for text in texts):
            return direct
    found = read_tree(str(folder)) or read_folder(folder)
    if found.top.total or folder.name.lower() not in _NOTES:
        return Places(folder, "", found, FileIndex(found.top.image_paths()), split_of=split_in)
    above = read_tree(str(folder.parent)) or read_folder(folder.parent)  # data/labels/train.csv and data/images/
    return Places(folder.parent, folder.name, above, FileIndex(above.top.image_paths()), split_of=split_in)


def _manifest(listing: Listing, path: str, places: Places) -> Manifest:
    name, ignored = os.path.basename(path), listing.ignored
    ignored = {name + key.removeprefix(listing.table.name): reason for key, reason in ignored.items()}
    rows = tuple(map(places.row, listing.rows.values()))
    return Manifest(places.root, rows, Path(path).stem, ignored, remarks=tuple(listing.remarks))
