"""Folders that are samples and no classes: each holds the images of one thing, with its label or its masks in files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from topwork.data.file_tree import FileTree, join
from topwork.data.locations import NotReadable, read_bytes
from topwork.data.sources.class_folders import ClassFolder
from topwork.data.split_words import is_annotation, words
from topwork.data.tables import WORKBOOKS, decode

_MIN_FOLDERS = 3
_SHARE = 0.8  # of the folders have such a file
_MIN_SAMPLES = 5
_MAX_PARTS = 20  # images of a sample
_MIN_DIGITS = 4  # in the name of a sample
_MAX_OPENED = 12
_MAX_BYTES = 4096
_MAX_TEXT = 60
_FEW_PARTS = 10
_CLASS_WORDS = frozenset(
    {"n", "c", "class", "label", "category", "type", "grade", "stage", "level", "group", "cluster"}
)


def labels_inside(tree: FileTree, classes: Sequence[ClassFolder]) -> str:
    """What speaks against it that folders are classes: a file of the same name in each, with one of a few texts."""
    counts = Counter(name for row in classes for name in row.folder.files)
    for name in (name for name, count in counts.items() if count >= max(_MIN_FOLDERS, _SHARE * len(classes))):
        paths = [join(row.folder.path, name) for row in classes if name in row.folder.files][:_MAX_OPENED]
        texts = [short_text(tree, path) for path in paths]
        distinct = list(dict.fromkeys(texts))
        if "" not in distinct and 1 < len(distinct) < len(texts):
            return (
                f"Each folder such as {paths[0].rpartition('/')[0]}/ holds a file {name}, with texts such as "
                f"{' and '.join(map(repr, distinct[:2]))}: the folders may be samples, and the file may hold the label "
                "of each. topwork does not read it"
            )
    return ""


def short_text(tree: FileTree, path: str) -> str:
    """The only line of a file; empty if there are several, or it is long or no text."""
    try:
        text = decode(read_bytes(tree.ref(path), _MAX_BYTES))[0].strip()
    except (OSError, NotReadable, ValueError):
        return ""
    return text if len(text) <= _MAX_TEXT and "\n" not in text else ""


def tables_inside(classes: Sequence[ClassFolder]) -> str:
    """What speaks against it that folders are classes: a spreadsheet in each of them."""
    found = [
        join(row.folder.path, name) for row in classes for name in row.folder.files if name.lower().endswith(WORKBOOKS)
    ]
    if len({path.rpartition("/")[0] for path in found}) < len(classes) or len(classes) < 2:
        return ""
    return (
        f"Each folder such as {found[0].rpartition('/')[0]}/ holds a spreadsheet, {found[0]}: the labels may be in it, "
        "which topwork does not read"
    )


def numbered_samples(tree: FileTree, classes: Sequence[ClassFolder]) -> str:
    """What speaks against it that numbered folders are classes: annotations in each, or a spreadsheet beside them."""
    inside = [kid for row in classes for kid in row.folder.folders if kid.files and not kid.total]
    marked = [kid for kid in inside if is_annotation(kid.name)]
    if len(marked) == len(classes):
        return (
            f"Each folder such as {classes[0].folder.path}/ holds annotations in {marked[0].path}/: the folders may be "
            "samples"
        )
    beside = {row.folder.path.rpartition("/")[0] for row in classes}
    books = [
        join(folder.path, name) for folder in tree.top.walk() for name in folder.files
        if folder.path in beside and name.lower().endswith(WORKBOOKS)
    ]  # fmt: skip
    return (
        f"The folders are numbered, and a spreadsheet is beside them, {books[0]}: they may be samples" if books else ""
    )


def parts_inside(classes: Sequence[ClassFolder]) -> str:
    """What speaks against it that folders are classes: a few images in each, which have the same names in all."""
    numbered = are_numbered(classes) or all(map(_has_number, classes))
    if len(classes) < _MIN_SAMPLES or any(row.folder.total > _MAX_PARTS for row in classes):
        return ""
    if numbered and all(row.folder.total == 1 for row in classes):
        return f"Each folder such as {classes[0].folder.path}/ holds one image: the folders may be samples"
    names = [_plain_names(row) for row in classes]
    counts = Counter(name for found in names for name in found)
    common = [name for name, count in counts.items() if count >= _SHARE * len(classes)]
    different = {re.sub(r"\d+", "#", name) for name in common}  # else they are counted in each folder
    same = all(found.keys() == set(common) for found in names) and len(common) <= _FEW_PARTS
    if len(different) < 2 or not (same or (numbered and all(len(found) <= 2 * len(common) for found in names))):
        return ""
    shown = " and ".join(names[0][name] for name in common[:2] if name in names[0])
    return (
        f"Each folder such as {classes[0].folder.path}/ holds a few images that have the same names in all of them, "
        f"such as {shown}: the folders may be samples with several images each"
    )


def _has_number(row: ClassFolder) -> bool:
    return sum(map(str.isdecimal, row.label)) >= _MIN_DIGITS


def _plain_names(row: ClassFolder) -> dict[str, str]:
    """The names of the images without the name of their folder, to the names."""
    paths = (path[len(row.folder.path) + 1 :] for path in row.folder.image_paths())
    return {path.replace(row.label, "").lower(): path for path in paths}


def are_numbered(classes: Sequence[ClassFolder]) -> bool:
    """Whether the folders are called by one word and numbers, and the word does not say that they are classes."""
    worded = {frozenset(words(row.label)) for row in classes}
    digits = all(any(sign.isdigit() for sign in row.label) for row in classes)
    return digits and len(worded) == 1 and not worded.pop() & _CLASS_WORDS and len(classes) >= _MIN_FOLDERS
