"""Files of annotation tools as tables: COCO, FiftyOne, Label Studio, CVAT, VGG; any other file is read as a table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from topwork.core.errors import DataError
from topwork.data.table_forms import as_usual
from topwork.data.tables import IsImage, Row, Table, decode, has_image_suffix, read_table, table_of_objects
from topwork.data.via import is_via, via_rows

_ROLES = {"path": "image", "label": "label"}


def read_labels(data: bytes, name: str, is_image: IsImage = has_image_suffix) -> Table:
    """The table in the bytes of a file; annotations of several boxes or labels per image have several rows.

    Raises:
        DataError: They are nothing of the kind.
    """
    suffix = os.path.splitext(name)[1].lower()
    try:
        if suffix == ".xml":
            return _table(name, _cvat(ElementTree.fromstring(data)))
        if suffix == ".json":
            value = json.loads(decode(data)[0])
            if questions := _questions(value):
                return replace(questions, name=name)
            for read in (_coco, _fiftyone, _label_studio):
                rows = read(value)
                if rows is not None:
                    return _table(name, rows)
    except (ValueError, ElementTree.ParseError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{name} cannot be read: {error}. Pass a CSV, TSV or JSON Lines file.") from error
    table = read_table(data, name, is_image)
    if is_via(table):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            return _table(name, via_rows(table))
    return _localized(as_usual(table, is_image))


def _localized(table: Table) -> Table:
    """Of ImageNet's and Kaggle's PredictionString, a class and four numbers for each box, the classes."""
    if "PredictionString" not in table.columns:
        return table
    place, rows = table.columns.index("PredictionString"), []
    for number, cells in table.rows:
        words = str(cells[place]).split() if place < len(cells) else []
        classes = list(dict.fromkeys(words[::5] if len(words) % 5 == 0 else words[:1]))
        label = classes[0] if len(classes) == 1 else classes or None
        rows.append((number, [*cells[:place], label, *cells[place + 1 :]]))
    return replace(table, rows=rows, roles={"label": "PredictionString"})


def _table(name: str, found: Iterable[tuple[str, Any, Any]]) -> Table:
    """Of image, label and box (left, top, width, height, or None)."""
    rows: list[Row] = [(number, cells) for number, cells in enumerate(found, 1)]
    if any(box for _, (_, _, box) in rows):
        return Table(name, ("image", "label", "box"), rows, roles=_ROLES | {"box": "box"}, is_detection=True)
    return Table(name, ("image", "label"), [(number, cells[:2]) for number, cells in rows], roles=_ROLES)


def _coco(value: Any) -> list[tuple[str, Any, Any]] | None:
    """COCO: images, annotations and categories by number."""
    if not isinstance(value, dict) or not {"images", "annotations"} <= value.keys():
        return None
    if not any("category_id" in annotation for annotation in value["annotations"]):
        raise ValueError("it has no categories")
    names = {category["id"]: category["name"] for category in value.get("categories", ())}
    files = {image["id"]: image.get("file_name") or image["path"] for image in value["images"]}
    found = [
        (files[a["image_id"]], names.get(a.get("category_id"), a.get("category_id")), a.get("bbox") or None)
        for a in value["annotations"]
        if a["image_id"] in files
    ]
    labeled = {image for image, _, _ in found}
    return found + [(file, None, None) for file in files.values() if file not in labeled]


def _fiftyone(value: Any) -> list[tuple[str, Any, Any]] | None:
    """FiftyOne's image classification: stem to label, or to its number among the classes."""
    if not isinstance(value, dict) or not isinstance(value.get("labels"), dict):
        return None
    classes = value.get("classes") or []

    def label(found: Any) -> Any:
        if isinstance(found, dict):
            found = found.get("label")
        return classes[found] if isinstance(found, int) and 0 <= found < len(classes) else found

    return [(image, label(found), None) for image, found in value["labels"].items()]


def _label_studio(value: Any) -> list[tuple[str, Any, Any]] | None:
    """Label Studio's JSON: tasks with annotations; those that were cancelled do not count."""
    if not (isinstance(value, list) and value and isinstance(value[0], dict) and "data" in value[0]):
        return None
    return [row for task in value for row in _task(task)]


def _questions(value: Any) -> Table | None:
    """A column for each of several questions with choices in Label Studio's JSON; None for anything else."""
    if _label_studio(value) is None:
        return None
    rows, names = list[dict[str, Any]](), dict[str, None]()
    for task in value:
        answers = {
            result.get("from_name", ""): result["value"]["choices"]
            for result in _results(task)
            if "choices" in result.get("value", {})
        }
        names |= dict.fromkeys(answers)
        rows.append({"image": _image(task)} | {name: found[0] if len(found) == 1 else found
                                               for name, found in answers.items()})  # fmt: skip
    if len(names) < 2:
        return None
    return replace(table_of_objects("", enumerate(rows, 1)), roles={"path": "image"}, answers=tuple(names))


def _image(task: Mapping[str, Any]) -> str:
    data = task["data"]
    image = next((data[key] for key in ("image", "img", "url", "file") if key in data), None)
    return image or next(text for text in data.values() if isinstance(text, str))


def _results(task: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Those of the first annotation that was not cancelled."""
    marks = task.get("annotations") or task.get("completions") or ()
    return next((mark.get("result", []) for mark in marks if not mark.get("was_cancelled")), [])


def _task(task: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    image = _image(task)
    found: list[tuple[str, Any, Any]] = []
    for result in _results(task):
        inner = result.get("value", {})
        if "choices" in inner:
            labels = inner["choices"]
            found.append((image, labels[0] if len(labels) == 1 else labels, None))
        elif "rectanglelabels" in inner:
            width, height = result["original_width"] / 100, result["original_height"] / 100
            box = [inner["x"] * width, inner["y"] * height, inner["width"] * width, inner["height"] * height]
            found.append((image, inner["rectanglelabels"][0], box))
    yield from found or [(image, None, None)]


def _cvat(root: ElementTree.Element) -> list[tuple[str, Any, Any]]:
    """CVAT for images 1.1: tags and boxes."""
    if root.tag != "annotations" or root.find("image") is None:
        raise ValueError("it is not in the format CVAT for images")
    found: list[tuple[str, Any, Any]] = []
    for image in root.iter("image"):
        name, before = image.attrib["name"], len(found)
        found += [(name, tag.attrib["label"], None) for tag in image.iter("tag")]
        for box in image.iter("box"):
            left, top, right, bottom = (float(box.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
            found.append((name, box.attrib["label"], [left, top, right - left, bottom - top]))
        if len(found) == before:
            found.append((name, None, None))
    return found
