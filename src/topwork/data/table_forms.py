"""Tables in another form than a row per image and its label: objects in a row, a column per class, questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from topwork.data.split_words import is_annotation, is_images, words
from topwork.data.tables import IsImage, Row, Table, cell_text

_BOXES = frozenset({"bbox", "bboxes", "box", "boxes", "coordinates"})
_NAMES = ("category", "categories", "label", "labels", "class", "classes", "name", "category_id")
_PROGRAM = frozenset({"annotation_id", "annotator", "created_at", "updated_at", "lead_time"})  # Label Studio's columns
_VIEWS = frozenset({
    "left", "right", "front", "back", "side", "top", "bottom", "view", "file", "filename", "path", "first", "second",
    "third", "last", "mask", "depth", "source", "target", "input", "output", "before", "after", "reference", "original",
    "crop",
})  # fmt: skip


def as_usual(table: Table, is_image: IsImage) -> Table:
    """The table with a row per image and label, or per object in an image, whatever form it has."""
    if set(table.columns) >= _PROGRAM:
        answers = (name for name in table.columns if name not in {*_PROGRAM, "id"})
        return replace(table, answers=tuple(answers))
    return _of_objects(table) or _of_columns(table, is_image) or table


def _of_objects(table: Table) -> Table | None:
    """A row for each object in a list of them, as image folders of the library datasets have them; else None."""
    for name in table.columns:
        before, dot, last = name.rpartition(".")
        label = next((f"{before}.{key}" for key in _NAMES if f"{before}.{key}" in table.columns), "") if dot else ""
        if last in _BOXES and label:
            pairs = zip(table.values(name), table.values(label), strict=True)
            objects = [list(zip(names or (), boxes or (), strict=False)) for boxes, names in pairs]
            return _exploded(table, {name, label}, objects)
        if not dot and (objects := _lists(table.values(name))):
            return _exploded(table, {name}, objects)
    return None


def _lists(cells: Sequence[Any]) -> list[list[tuple[Any, Any]]]:
    """Class and box of the objects in each cell; empty if these are no lists of objects."""
    if not any(isinstance(cell, list) and cell for cell in cells):
        return []
    found = []
    for cell in cells:
        if not isinstance(cell, list) or not all(isinstance(part, Mapping) for part in cell):
            return []
        inner = [({key for key in _BOXES if key in part}, [key for key in _NAMES if key in part]) for part in cell]
        if not all(boxes and names for boxes, names in inner):
            return []
        parts = zip(cell, inner, strict=True)
        found.append([(part[names[0]], _sides(part[min(boxes)])) for part, (boxes, names) in parts])
    return found


def _sides(box: Any) -> Any:
    """Left, top, width and height of a box, which Create ML describes by its center."""
    if not isinstance(box, Mapping) or not {"x", "y", "width", "height"} <= box.keys():
        return box
    width, height = float(box["width"]), float(box["height"])
    return [float(box["x"]) - width / 2, float(box["y"]) - height / 2, width, height]


def _exploded(table: Table, columns: set[str], objects: Sequence[Sequence[tuple[Any, Any]]]) -> Table:
    kept = [place for place, name in enumerate(table.columns) if name not in columns]
    rows: list[Row] = []
    for (line, cells), inside in zip(table.rows, objects, strict=True):
        own = [cells[place] if place < len(cells) else None for place in kept]
        rows += [(line, [*own, label, box]) for label, box in inside or [(None, None)]]
    names = (*(table.columns[place] for place in kept), "class of the object", "box of the object")
    roles = {"label": "class of the object", "box": "box of the object"}
    return replace(table, columns=names, rows=rows, roles=roles, is_detection=True)


def _of_columns(table: Table, is_image: IsImage) -> Table | None:
    """A row for each cell of a table with a column per class; None if rows are pairs of images, or anything else.

    The columns are classes if their names are in those of the images, or if they are lists of different lengths.
    """
    if not table.has_header or not 1 < len(table.columns) < len(table.rows) + 2 or any(map(_is_view, table.columns)):
        return None
    columns = {name: table.texts(name) for name in table.columns}
    filled = {name: [text for text in texts if text] for name, texts in columns.items()}
    if not all(texts and all(map(is_image, texts)) for texts in filled.values()):
        return None
    if len({text for texts in filled.values() for text in texts}) < sum(map(len, filled.values())):
        return None
    named = all(name.lower() in text.lower() for name, texts in filled.items() for text in texts)
    lists = all(columns[name][: len(texts)] == texts for name, texts in filled.items())
    if not named and not (lists and len(set(map(len, filled.values()))) > 1):
        return None
    return Table(table.name, ("image", "label"), list(_cells(table)), roles={"path": "image", "label": "label"},
                 encoding=table.encoding)  # fmt: skip


def _is_view(name: str) -> bool:
    own = {word.rstrip("s") for word in words(name)}
    return not own or bool(own & _VIEWS) or is_images(name) or is_annotation(name)


def _cells(table: Table) -> Iterator[Row]:
    for line, cells in table.rows:
        for name, cell in zip(table.columns, cells, strict=False):
            if text := cell_text(cell):
                yield line, (text, name)
