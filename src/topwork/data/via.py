"""The CSV files of VGG Image Annotator: regions of an image, or attributes of the whole of it, as JSON in cells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from topwork.data.tables import Table, cell_text

_SHAPES, _REGION, _FILE = "region_shape_attributes", "region_attributes", "file_attributes"


def is_via(table: Table) -> bool:
    """Whether a table has the columns that the program writes."""
    return {"filename", _SHAPES, _REGION, _FILE} <= set(table.columns)


def via_rows(table: Table) -> Iterator[tuple[str, Any, Any]]:
    """Image, label and box of each row; of the whole image where there are no regions."""
    columns = (table.texts(name) for name in ("filename", _SHAPES, _REGION, _FILE))
    for name, *cells in zip(*columns, strict=True):
        shape, region, whole = (json.loads(cell or "{}") for cell in cells)
        found = _label(region if shape else whole)
        yield name, found, _box(shape) if shape else None


def _label(attributes: dict[str, Any]) -> Any:
    """The value if there is one; of a checkbox, what is marked."""
    values = [
        [key for key, marked in value.items() if marked] if isinstance(value, dict) else cell_text(value)
        for value in attributes.values()
    ]
    values = list(filter(None, values))
    return values[0] if len(values) == 1 else values or None


def _box(shape: dict[str, Any]) -> list[float]:
    """Left, top, width and height of a rectangle, a circle, an ellipse, a polygon or a point."""
    if "width" in shape:
        return [shape["x"], shape["y"], shape["width"], shape["height"]]
    if "all_points_x" in shape:
        across, down = shape["all_points_x"], shape["all_points_y"]
        return [min(across), min(down), max(across) - min(across), max(down) - min(down)]
    wide, high = shape.get("rx", shape.get("r", 0.5)), shape.get("ry", shape.get("r", 0.5))
    return [shape["cx"] - wide, shape["cy"] - high, 2 * wide, 2 * high]
