"""Tables with a row per folder of images: a patient and the diagnosis, a clip and what happens in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from topwork.data.file_index import normal
from topwork.data.file_tree import TreeFolder
from topwork.data.sources.label_column import NAME_WORDS, words_of
from topwork.data.split_words import looks_like_id
from topwork.data.tables import Row, Table

_MIN_ROWS = 3
_SHARE = 0.8  # of the rows name a folder
IMAGE = "image in the folder"


def with_images(table: Table, top: TreeFolder) -> Table | None:
    """The table with a row for each image in the folders that its rows name; None if they name none.

    Rows that name classes, each with a name of its own, are none of images.
    """
    if len(table.columns) < 2 or len(table.rows) < _MIN_ROWS or not table.has_header:
        return None
    folders = _folders(top)
    for column in table.columns:
        texts = table.texts(column)
        found = [folders.get(_plain(text)) for text in texts]
        named = {folder.path: folder for folder in found if folder}
        if not all(looks_like_id(folder.name) for folder in named.values()):
            continue  # people, places, species
        if len(named) < _SHARE * len(texts) or 2 * sum(folder.total for folder in named.values()) < top.total:
            continue
        others = {name: set(table.texts(name)) - {""} for name in table.columns if name != column}
        if any(len(own) == len(texts) and NAME_WORDS & set(words_of(name)) for name, own in others.items()):
            return None
        if any(1 < len(own) <= len(texts) / 2 for own in others.values()):
            roles = {"path": IMAGE} | ({"group": column} if any(f.total > 1 for f in named.values()) else {})
            return replace(table, columns=(*table.columns, IMAGE), rows=list(_rows(table, found)), roles=roles)
    return None


def _rows(table: Table, found: list[TreeFolder | None]) -> Iterator[Row]:
    for (line, cells), folder in zip(table.rows, found, strict=True):
        filled = [*cells, *[None] * (len(table.columns) - len(cells))]
        for path in folder.image_paths() if folder else ():
            yield line, [*filled, path]


def _folders(top: TreeFolder) -> Mapping[str, TreeFolder]:
    """Plain name to folder; without names that several folders have."""
    found: dict[str, TreeFolder] = {}
    several = set[str]()
    for folder in top.walk():
        name = _plain(folder.name)
        if folder.path and folder.total and found.setdefault(name, folder) is not folder:
            several.add(name)
    return {name: folder for name, folder in found.items() if name not in several}


def _plain(name: str) -> str:
    """The name of a folder in one spelling, a number without zeros before it."""
    text = normal(name.strip().rstrip("/"))
    return text.lstrip("0") or "0" if text.isdecimal() else text
