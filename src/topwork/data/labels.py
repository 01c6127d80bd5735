"""Labels as text, and labels that are not what they seem: one thing written twice, or several things in one."""

from __future__ import annotations

import ast
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, SettingNeeded
from topwork.data.split_units import list_first

UNLABELED = "no label"
"""The reason for which a source ignores an image without a label."""
_NAMES = ("name", "label", "tagName", "title", "class")  # of an object that is a label
_WHOLE = re.compile(r"([+-]?\d+)\.0*")  # a whole number written as a decimal
_SEPARATORS = re.compile(r"\s*[,;|+&/]\s*|\s+")


def label_text(value: Any, where: str) -> str:
    """A label of a table or a JSON file as text, empty if there is none.

    Args:
        value: As it was read; whole numbers are written as people do.
        where: The place, for the error.

    Raises:
        DataError: It is an object without a name or a list, or the text of one, and has more or less than one label.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not isinstance(value, list | dict) and text[:1] in "[{(" and text[-1:] in "]})":
        value = _collection(text)
    if isinstance(value, list | tuple) and len(value) == 1:
        return label_text(value[0], where)
    if isinstance(value, dict) and (name := next((value[key] for key in _NAMES if key in value), None)):
        return label_text(name, where)
    if isinstance(value, list | dict | set | tuple):
        raise DataError(
            f"{where}: the label is {text[:80]}. Several labels per image are not supported; give each image one name "
            "or number."
        )
    return text


def readable(text: str) -> str:
    """Text of which what is not UTF-8, and stands as surrogates, is read as Windows-1252, the encoding of Excel.

    >>> readable("Gr\\udcf6\\udcdfe")
    'Größe'
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        with suppress(UnicodeEncodeError):
            return text.encode("utf-8", "surrogateescape").decode("cp1252", "backslashreplace")
        return text.encode("utf-8", "backslashreplace").decode()


def _collection(text: str) -> Any:
    """The list or object that a text writes; the text itself if it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def unify_labels(manifest: Manifest, config: DataConfig) -> Manifest:
    """The manifest with readable labels in composed form without blanks around them, and merged if so configured."""
    labels = dict.fromkeys(row.label for row in manifest.rows)
    written = {label: unicodedata.normalize("NFC", readable(label)).strip() for label in labels}
    decoded = sorted({new for old, new in written.items() if old != readable(old)})
    remarks = [f"Labels that are not UTF-8 are read as Windows-1252: {list_first(decoded)}."] if decoded else []
    remarks += [
        f"Class {label!r} is written in {count} ways that look the same (Unicode forms, spaces); they are one class."
        for label, count in Counter(written.values()).items()
        if count > 1
    ]
    manifest = _relabeled(manifest, written)
    if config.similar_labels == "merge":
        for counts in similar_labels(manifest.rows):
            label = max(counts, key=lambda label: (counts[label], -len(label), label))
            manifest = _relabeled(manifest, dict.fromkeys(counts, label))
            remarks.append(f"{_listed(counts)} are one class, {label!r} (--similar-labels merge).")
    return replace(manifest, remarks=(*manifest.remarks, *remarks))


def _relabeled(manifest: Manifest, labels: dict[str, str]) -> Manifest:
    changed = {old: new for old, new in labels.items() if old != new}
    rows = (replace(row, label=changed[row.label]) if row.label in changed else row for row in manifest.rows)
    return replace(manifest, rows=tuple(rows)) if changed else manifest


def similar_labels(rows: Iterable[ImageRow]) -> list[dict[str, int]]:
    """Labels that differ only in case, in blanks or as 1 and 1.0 do, those of one thing together, with their counts."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for label, count in sorted(Counter(row.label for row in rows).items()):
        text = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        number = _WHOLE.fullmatch(text)
        found[number[1] if number else text][label] = count
    return [counts for counts in found.values() if len(counts) > 1]


def refuse_similar_labels(manifest: Manifest) -> None:
    """Raise a SettingNeeded if one class seems to be written in several ways."""
    for counts in similar_labels(manifest.rows):
        raise SettingNeeded(
            f"{_listed(counts)} seem to be one class, written in {len(counts)} ways. Keep them apart with "
            "--similar-labels keep, or merge them into one class",
            "similar_labels",
            "merge",
        )


def describe_similar(counts: dict[str, int]) -> str:
    """A line about labels of one thing."""
    return (
        f"{_listed(counts)} seem to be one class. Merge them with --similar-labels merge, or keep them apart with "
        "--similar-labels keep"
    )


def _listed(counts: dict[str, int]) -> str:
    return " and ".join(f"{label!r} ({count:,})" for label, count in counts.items())


class Labeled(Protocol):
    """An image and its label."""

    @property
    def id(self) -> str:
        """Of the image."""
        ...

    @property
    def label(self) -> str:
        """Its class."""
        ...


def joined_labels(rows: Collection[Labeled]) -> dict[str, list[str]]:
    """Labels that consist of others, such as ``cat,dog`` beside ``cat`` and ``dog``, each with its images."""
    labels = {row.label for row in rows}
    joined = {label for label in labels if labels.issuperset(parts := _SEPARATORS.split(label)) and len(parts) > 1}
    return {label: [row.id for row in rows if row.label == label] for label in sorted(joined)}


def sets_of_labels(labels: Collection[str], are_tags: bool = False) -> list[str]:
    """Labels that list several things: numbers, of which some are in several labels; or words of tags, in any place.

    >>> sets_of_labels(["147 616", "616 813", "5"]), sets_of_labels(["5", "6"])
    (['147 616', '616 813'], [])
    """
    parts = {label: words for label in labels if len(words := label.split()) > 1}
    counts = Counter(part for label in labels for part in label.split())
    if parts and all(label.replace(" ", "").isdecimal() for label in labels):
        return [label for label, words in parts.items() if any(counts[word] > 1 for word in words)]
    first, last = defaultdict[str, set[int]](set), defaultdict[str, set[int]](set)
    for words in parts.values():
        for place, word in enumerate(words):
            first[word].add(place)
            last[word].add(len(words) - place)
    return [*parts] if are_tags and any(len(first[word]) > 1 < len(last[word]) for word in first) else []
