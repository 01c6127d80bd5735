"""Tables as people write them: any separator and encoding, with or without a header, lists, JSON and JSON Lines."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from topwork.core.errors import DataError
from topwork.data.file_tree import suffix_of
from topwork.data.images import SUFFIXES

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".json", ".lst", ".tab", ".psv", ".manifest")
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
WINDOWS = "Windows-1252"
"""The encoding of Excel's CSV, taken for what is neither UTF-8 nor UTF-16."""
_ENCODINGS = {"utf-8": "", "utf-8-sig": "", "cp1252": WINDOWS}
_LINES = (".jsonl", ".ndjson", ".manifest")
_SEPARATORS = ",;\t|"
_HEAD = 200  # lines from which separator and form are found out
_WORD = re.compile(r"[a-z]+")
_HEADS = {
    "path", "image", "images", "file", "filename", "filepath", "img", "label", "labels", "class", "category", "target",
    "id", "name", "split",
}  # fmt: skip

IsImage = Callable[[str], bool]
Row = tuple[int, Sequence[Any]]
"""Number of the line, and its cells, of which the last may be missing."""


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes:
        name: The file, as messages name it.
        columns: Names, unique; 1, 2, ... if there is no header.
        rows: Those that are not empty.
        has_header: Whether the file names its columns.
        encoding: If it is not UTF-8.
        roles: What a column holds, where the format defines it: ``{"label": "category"}``.
        answers: Columns that people have filled in who label images, so that each may be the label.
        is_detection: Whether its boxes say where things are, rather than which part of an image counts.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    has_header: bool = True
    encoding: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    is_detection: bool = False

    def values(self, column: str, limit: int | None = None) -> list[Any]:
        """The cells of a column, None where they are missing."""
        place = self.columns.index(column)
        rows = self.rows if limit is None else self.rows[:limit]
        return [cells[place] if place < len(cells) else None for _, cells in rows]

    def texts(self, column: str) -> Sequence[str]:
        """The cells of a column as text, empty where they are missing."""
        if column not in self._texts:
            cells = self.values(column)
            self._texts[column] = [cell.strip() if type(cell) is str else cell_text(cell) for cell in cells]
        return self._texts[column]

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        return {}


def cell_text(cell: Any) -> str:
    """A cell as text; whole numbers of JSON as people write them."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def has_image_suffix(text: str) -> bool:
    """Whether this ends like the name of an image, apart from a box."""
    return suffix_of(text.strip().partition("#xywh=")[0]) in SUFFIXES


def read_table(data: bytes, name: str, is_image: IsImage = has_image_suffix) -> Table:
    """The table in the bytes of a file.

    Args:
        data: All bytes.
        name: Of the file; its suffix counts for JSON and for tabs.
        is_image: Whether a cell names an image: so a first row that does is no header.

    Raises:
        DataError: They are no table.
    """
    try:
        text, encoding = decode(data)
        suffix = os.path.splitext(name)[1].lower()
        if suffix in _LINES:
            lines = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
            return table_of_objects(name, ((number, _object(number, line)) for number, line in lines), encoding)
        if suffix == ".json":
            return _from_json(json.loads(text), name, is_image)
        return _from_text(text, name, encoding, is_image)
    except (csv.Error, ValueError, RecursionError) as error:
        raise DataError(f"{name} cannot be read: {error}. Pass a CSV, TSV or JSON Lines file.") from error


def decode(data: bytes) -> tuple[str, str]:
    """The text of a file and its encoding as people call it, which is empty for UTF-8."""
    codec = codec_of(data)
    return data.decode(codec, "backslashreplace" if codec == "cp1252" else "strict"), _ENCODINGS.get(codec, "UTF-16")


def is_western(text: str) -> bool:
    """Whether text that was decoded as Windows-1252 may be in it: at least half of it is ASCII."""
    signs = [sign for sign in text if not sign.isspace()]
    foreign = [sign for sign in signs if not sign.isascii()]
    return 2 * len(foreign) <= len(signs)


def codec_of(data: bytes, is_whole: bool = True) -> str:
    """The name of the codec that decodes the bytes of a file, or those of its head.

    Raises:
        ValueError: They are not text.
    """
    for mark, codec in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return codec
    zeros = data[:2000].count(0)
    if zeros > len(data[:2000]) // 4:
        return "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    if zeros:
        raise ValueError("it is not text")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, is_whole)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def table_of_objects(name: str, objects: Iterable[tuple[int, Mapping[str, Any]]], encoding: str = "") -> Table:
    """A table of JSON objects; the columns are the keys of all of them, in order of appearance."""
    found = list(objects)
    if not any(short in ("label", "class", "category") for _, cells in found for short in map(str.lower, cells)):
        found = [(number, _flat(cells)) for number, cells in found]
    columns = list(dict.fromkeys(str(key).strip() for _, cells in found for key in cells))
    rows = []
    for number, cells in found:
        named = {str(key).strip(): value for key, value in cells.items()}
        rows.append((number, [named.get(column) for column in columns]))
    return Table(name, tuple(columns), rows, encoding=encoding)


def _flat(cells: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of objects in objects, by names such as ``annotation.label``."""
    flat: dict[str, Any] = {}
    for key, value in cells.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) and value else {before + str(key): value}
    return flat


def _object(number: int, line: str) -> Mapping[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError(f"line {number} is not a JSON object")
    return value


def _from_json(value: Any, name: str, is_image: IsImage) -> Table:
    """A table from what people keep in one JSON value: objects, columns, image to label, or label to images."""
    if isinstance(value, dict):
        inner = [part for part in value.values() if isinstance(part, list) and part and isinstance(part[0], dict)]
        if len(inner) == 1:
            value = inner[0]
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return table_of_objects(name, enumerate(value, 1))
    if isinstance(value, list) and value and all(isinstance(part, list) for part in value):
        return _with_header(name, [(number, part) for number, part in enumerate(value, 1)], "", is_image)
    if isinstance(value, dict) and value:
        parts = list(value.values())
        if all(isinstance(part, dict) for part in parts):
            if all(is_image(str(key)) for key in list(value)[:5]):  # an object per image
                return table_of_objects(name, enumerate(({"image": key} | part for key, part in value.items()), 1))
            keys = dict.fromkeys(key for part in parts for key in part)  # columns, as pandas writes them
            rows = ({column: part.get(key) for column, part in value.items()} for key in keys)
            return table_of_objects(name, enumerate(rows, 1))
        if all(isinstance(part, list) and part for part in parts):
            images = [is_image(str(part[0])) for part in parts]
            if any(images) and not all(images):
                cells = zip(*parts, strict=False)
                return table_of_objects(name, enumerate((dict(zip(value, row, strict=True)) for row in cells), 1))
            pairs = [(item, label) for label, part in value.items() for item in part]
            if not all(isinstance(item, str | int) for item, _ in pairs):
                raise ValueError("it holds no list of images with labels")
        else:
            pairs = list(value.items())
        return Table(name, ("image", "label"), list(enumerate(pairs, 1)))
    raise ValueError("it holds no list of images with labels")


def _from_text(text: str, name: str, encoding: str, is_image: IsImage) -> Table:
    first, _, rest = text.partition("\n")
    separator = ""
    if first.strip().strip('"').lower().startswith("sep=") and len(first.strip().strip('"')) <= 5:  # Excel's own
        separator, text = first.strip().strip('"')[4:] or "\t", "\n" + rest
    text = _without_comments(text)
    separator = separator or _separator(text, os.path.splitext(name)[1].lower())
    if separator:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        rows: list[Row] = [(reader.line_num, cells) for cells in reader if "".join(cells).strip()]
        rows = rows[1:] if _is_title(rows) else rows
    else:
        lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
        found = [(number, line) for number, line in lines if line and not line.startswith("#")]
        if found and found[0][1].isdecimal() and len(found) - int(found[0][1]) in (1, 2):  # the count of the rows
            found = found[1:]
        rows = _split_at_blanks(found, is_image)
    return _with_header(name, rows, encoding, is_image)


def _without_comments(text: str) -> str:
    """Text without the comments above the header, which may itself begin with #; the numbers of lines stay."""
    lines = text.split("\n", _HEAD)
    count = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    if count and _HEADS.isdisjoint(_WORD.findall(lines[count].lower())):
        cells = [[line.count(mark) for mark in _SEPARATORS] for line in lines[count - 1 : count + 1]]
        count -= cells[0] == cells[1]
    return "\n".join([*[""] * count, *lines[count:]])


def _separator(text: str, suffix: str) -> str:
    """The separator that gives the most lines of the head the same number of cells; empty if none is in them."""
    head = list(io.StringIO(text, newline=""))[:_HEAD]
    best, most = "", (False, 0.0, 0)
    for mark in "\t" + _SEPARATORS if suffix in (".tsv", ".tab") else _SEPARATORS:
        rows = [len(cells) for cells in csv.reader(head, delimiter=mark) if any(cells)]
        wide = Counter(width for width in rows if width > 1)
        if wide:
            width = max(wide, key=lambda width: (wide[width], width))
            found = (rows[0] == width, round(wide[width] / len(rows), 1), width)
            if found > most and found[1] > 0.3:
                best, most = mark, found
    return best


def _is_title(rows: list[Row]) -> bool:
    """Whether only the first cell of the first row is filled, and the next row names columns."""
    if len(rows) < 3:
        return False
    first, second = ([str(cell).strip() for cell in cells] for _, cells in rows[:2])
    heads = [word for cell in second for word in _WORD.findall(cell.lower()) if not has_image_suffix(cell)]
    return bool(first[0]) and not any(first[1:]) and sum(map(bool, second)) > 1 and not _HEADS.isdisjoint(heads)


def _split_at_blanks(lines: list[tuple[int, str]], is_image: IsImage) -> list[Row]:
    """The cells of lines without separators: words, or a name with blanks before or after the label."""
    head = [line for _, line in lines[:_HEAD]]

    def share(images: Iterable[str]) -> float:
        return sum(map(is_image, images)) / max(len(head), 1)

    words = [line.split() for line in head]
    widths = Counter(map(len, words))
    columns = max(widths, default=1)
    same = widths and widths.most_common(1)[0][1] >= len(head) - 1
    numbered = same and columns > 1 and len(words) > 1 and all(row[0].isdecimal() for row in words[1:])
    if share(head) > 0.5 and not (numbered and share(row[-1] for row in words) > 0.5):
        return [(number, [line]) for number, line in lines]
    if same and any(share(row[place] for row in words if place < len(row)) > 0.5 for place in range(columns)):
        return [(number, line.split()) for number, line in lines]
    cuts = (lambda line: line.split(None, 1), lambda line: line.rsplit(None, 1))
    ways = [(share(cut(line)[place] for line in head), cut) for cut in cuts for place in (0, -1)] if columns > 1 else []
    if ways and (best := max(ways, key=lambda way: way[0]))[0] > 0.5:
        return [(number, best[1](line)) for number, line in lines]
    return [(number, line.split() if same else line.split(None, 1)) for number, line in lines]


def _with_header(name: str, rows: list[Row], encoding: str, is_image: IsImage) -> Table:
    """The table of rows, of which the first may name the columns."""
    first = [str(cell).strip() for cell in rows[0][1]] if rows else []
    named = any(word in _HEADS for cell in first for word in _WORD.findall(cell.lower()) if not has_image_suffix(cell))
    if any(has_image_suffix(cell) for cell in first) or (not named and any(map(is_image, first))):
        width = max(len(cells) for _, cells in rows)
        return Table(name, tuple(map(str, range(1, width + 1))), rows, False, encoding)
    if len(rows) > 2 and all(len(cells) == len(first) + 1 and is_image(str(cells[0])) for _, cells in rows[1:3]):
        first = ["image", *first]  # the names of the images have none, as R writes it
    columns = dict[str, None]()
    for number, cell in enumerate(first, 1):
        column = cell or ("" if number == 1 else f"column {number}")
        columns[column if column not in columns else f"{column} ({number})"] = None
    return Table(name, tuple(columns), rows[1:], True, encoding)
