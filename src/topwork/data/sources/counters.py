"""Names of folders that count cases and also say what they are: ``001_benign``, ``study2_negative``, ``cat-3``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from topwork.data.sources.class_folders import ClassFolder, Layout

_TWO_LETTERS = r"[^\W\d_]{2}"
_BEFORE = re.compile(rf"(?P<word>[^\d]*)\d+(?P<gap>[ ._-]*)(?P<text>{_TWO_LETTERS}.*)")
_AFTER = re.compile(rf"(?P<text>.*{_TWO_LETTERS})(?P<gap>[ ._-]*\(?)\d+(?P<end>\)?)")
_MAX_SHARE = 2 / 3  # texts per name; where each name has its own text, the number belongs to it


def texts_of(names: Iterable[str]) -> dict[str, str]:
    """Name to what it says without its counter; empty unless all have one and several say the same.

    >>> texts_of(["001_benign", "002_malignant", "003_benign"])
    {'001_benign': 'benign', '002_malignant': 'malignant', '003_benign': 'benign'}
    >>> texts_of(["001.Albatross", "002.Cuckoo"]), texts_of(["class1", "class2", "class3"])
    ({}, {})
    """
    return {name: found["text"] for name, found in _matches(names).items()}


def _matches(names: Iterable[str]) -> dict[str, re.Match[str]]:
    distinct = list(dict.fromkeys(names))
    for pattern in (_BEFORE, _AFTER):
        found = [match for name in distinct if (match := pattern.fullmatch(name))]
        if len(found) < len(distinct) or len({match.groupdict().get("word") for match in found}) > 1:
            continue
        texts = {match["text"] for match in found}
        if 1 < len(texts) <= _MAX_SHARE * len(distinct):
            return dict(zip(distinct, found, strict=True))
    return {}


def without_counters(layout: Layout) -> list[Layout]:
    """The layout, and before it one with the texts as labels if the names of its folders have counters."""
    names = [row.label for row in layout.classes]
    if layout.by_path or layout.data or layout.problem or not (found := _matches(names)):
        return [layout]
    rows = [replace(row, label=found[row.label]["text"]) for row in layout.classes]
    pattern = _pattern(rows, list(found.values()))
    how = f"the classes are the words in the folder names, without the numbers, as in {rows[0].folder.path}/"
    return [replace(layout, how=how, classes=rows, options=("--label-from", pattern)), layout] if pattern else [layout]


def _pattern(rows: Sequence[ClassFolder], found: Sequence[re.Match[str]]) -> str:
    """The shortest of some expressions that reads the labels from the paths of their folders; empty if none does."""
    gaps = {match["gap"] for match in found}
    gap = re.escape(gaps.pop()).replace(r"\ ", " ").replace(r"\-", "-") if len(gaps) == 1 else "[ ._-]*"
    if found[0].re is _BEFORE:
        word = re.escape(found[0]["word"]).replace(r"\ ", " ").replace(r"\-", "-")
        core = rf"{word}\d+{gap}([^/]+)/"
    else:
        text = r"([^/]+)" if gap else r"([^/\d]+)"
        core = rf"{text}{gap}\d+{'[)]?' if found[0]['end'] else ''}/"
    above = "[^/]+/" * rows[0].folder.path.count("/")
    for pattern in (core, f"^{above}{core}"):
        compiled = re.compile(pattern)
        if all((match := compiled.search(f"{row.folder.path}/")) and match[1] == row.label for row in rows):
            return pattern
    return ""
