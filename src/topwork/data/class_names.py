"""Names for labels that are numbers or codes, from ``--class-names`` or from a file of the data set."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.data.file_tree import suffix_of
from topwork.data.tables import decode

_KEY = re.compile(r"(?=\D*\d)\S+")
_KEYED = re.compile(r"([^\s,;:]+)([\s,;:]+)(.+)")
_NAME_COLUMN = re.compile(r"((class|label|category|species|breed)[ _-]?)?names?", re.IGNORECASE)
_MAX_BYTES = 2**22
_LISTS = re.compile(r"class|label|name|categor|wnid|synset|species|breed", re.IGNORECASE)
_SUFFIXES = (".txt", ".json", ".names", ".csv", ".tsv")


def name_classes(manifest: Manifest, config: DataConfig, search: bool) -> Manifest:
    """The manifest with names for its labels.

    Those of ``--class-names``, in which each label must be; else, if ``search``, those of the one file in the data
    folder whose keys are exactly the labels.

    Raises:
        UsageError: The file cannot be read.
        DataError: A label has no name in it.
    """
    if config.class_names:
        return _named(manifest, read_class_names(config.class_names), config.class_names)
    labels = {row.label for row in manifest.rows}
    if not search or len(labels) < 2:
        return manifest
    found: dict[str, dict[str, str]] = {}
    for path in _files(Path(manifest.root)):
        try:
            names = _names(decode(path.read_bytes())[0], path.name, _LISTS.search(path.stem) is not None)
        except (OSError, ValueError):
            continue
        expected = {label: names[key] for label in labels for key in (label, _number(label)) if key in names}
        used = set(expected.values())
        if expected.keys() == labels and len(used) == len(labels) == len(names) and not all(map(str.isdecimal, used)):
            found.setdefault(str(sorted(expected.items())), {}).update({path.name: ""} | expected)
    if len(found) != 1:
        return manifest
    names = next(iter(found.values()))
    file = next(key for key, value in names.items() if not value)
    rows = tuple(replace(row, label=names[row.label]) for row in manifest.rows)
    remark = f"Class names are taken from {file}; --class-names selects another file."
    return replace(manifest, rows=rows, remarks=(*manifest.remarks, remark))


def read_class_names(path: str) -> dict[str, str]:
    """Label to name: a JSON object or list, one name per line for 0, 1, ..., or a label and a name on each line."""
    try:
        names = _names(decode(Path(path).read_bytes())[0], path)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--class-names {path} cannot be read: {error}. Pass one name per line, a label and a name per line, or "
            "a JSON object."
        ) from error
    return names


def _named(manifest: Manifest, names: Mapping[str, str], file: str) -> Manifest:
    known = set(names.values())
    rows = []
    for row in manifest.rows:
        name = names.get(row.label) or names.get(_number(row.label)) or (row.label if row.label in known else None)
        if name is None:
            raise DataError(
                f"{row.id} has the label {row.label!r}, which is not in {file} ({_range(names)}). Add a name for it "
                "there."
            )
        rows.append(replace(row, label=name))
    return replace(manifest, rows=tuple(rows))


def _range(names: Mapping[str, str]) -> str:
    keys = list(names)
    return f"it has the classes {keys[0]} to {keys[-1]}" if keys else "it is empty"


def _number(label: str) -> str:
    """``7`` for ``7.0`` and ``007``."""
    head = label.partition(".")
    return str(int(head[0])) if head[0].isdecimal() and not head[2].strip("0") else label


def _names(text: str, path: str, lists: bool = True) -> dict[str, str]:
    """Label to name in a file; ``lists``: also where only the order of the names gives the label."""
    if path.lower().endswith(".json"):
        value = json.loads(text)
        if isinstance(value, list) and lists:
            value = {str(number): name for number, name in enumerate(value)}
        if not isinstance(value, dict) or not all(isinstance(name, str | int) for name in value.values()):
            raise ValueError("not a list of names")
        if value and all(isinstance(name, int) for name in value.values()):  # name to number
            value = {str(number): name for name, number in value.items()}
        if not all(isinstance(name, str) for name in value.values()):
            raise ValueError("not a list of names")
        return {key.strip(): name.strip() for key, name in value.items()}
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return _keyed(lines) or ({str(number): name for number, name in enumerate(lines)} if lists else {})


def _keyed(lines: Sequence[str]) -> dict[str, str]:
    """Label and name on each line, if all are so: a number or a code without blanks, then a separator."""
    rows = next((rows for mark in "\t;," if (rows := _cells(lines, mark))), [])
    if any(any(map(_is_key, row)) for row in rows):
        return _keyed_by_column(rows)
    names: dict[str, str] = {}
    for place, line in enumerate(lines):
        found = _KEYED.fullmatch(line)
        if not found:
            return {}
        key, mark, name = found.groups()
        if place == 0 and re.fullmatch(r"[A-Za-z_]+", key) and mark.strip(" "):  # a header
            continue
        if not _is_key(key) or key in names:
            return {}
        names[key] = name.strip().strip("\"'")
    middle = {name.partition(" ")[0] for name in names.values()}
    if len(middle) == len(names) and all(
        re.fullmatch(r"\d+ \S+", name) for name in names.values()
    ):  # n01440764 1 tench
        return {key: name.partition(" ")[2] for key, name in names.items()}
    return names


def _cells(lines: Sequence[str], mark: str) -> list[list[str]]:
    """The cells of a table; none if its lines have not all the same number of them, at least two."""
    if not lines or mark not in lines[0]:
        return []
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark, skipinitialspace=True)]
    return rows if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 else []


def _keyed_by_column(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Label to name in a table: the first column of different codes, and the one of names.

    Raises:
        ValueError: No column has names, or several may be meant.
    """
    header = rows[0] if not any(map(_is_key, rows[0])) else None
    columns = list(zip(*rows[1 if header else 0 :], strict=True))
    different = [n for n, column in enumerate(columns) if len(set(column)) == len(column)]
    if len(different) < 2:
        different = []  # a label and its name are two
    key = next((n for n in different if all(map(_is_key, columns[n]))), None)
    texts = [n for n in different if n != key and not all(re.fullmatch(r"[\d.]*", cell) for cell in columns[n])]
    if header and len(texts) > 1:
        texts = [n for n in texts if _NAME_COLUMN.fullmatch(header[n])]
    if key is None or len(texts) != 1:
        raise ValueError(f"expected one column of labels and one of names among its {len(columns)} columns")
    return dict(zip(columns[key], columns[texts[0]], strict=True))


def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def _files(root: Path) -> list[Path]:
    """Files that may hold names, directly in the data folder or in one of its folders."""
    try:
        with os.scandir(root) as scan:
            folders = sorted(entry.path for entry in scan if entry.is_dir() and not entry.name.startswith("."))
        listed = ((place, os.listdir(place)) for place in (root, *folders[:20]))
        files = [Path(place, name) for place, names in listed for name in sorted(names) if suffix_of(name) in _SUFFIXES]
        return [path for path in files[:200] if path.is_file() and path.stat().st_size <= _MAX_BYTES]
    except OSError:
        return []
