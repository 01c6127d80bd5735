"""Folders beside class folders that may be no classes: copies, previews, what programs write."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from topwork.data.file_tree import TreeFolder
from topwork.data.split_words import is_annotation, is_images, is_output

_COPY = re.compile(
    r"(?:(.+?)(?: - | |_|-)(?:copy|kopie|copie|copia)(?: ?\(?\d+\)?)?|(.+) \(\d+\)|copy of (.+))", re.IGNORECASE
)
_SAME = 0.9  # of the names


def doubt(beside: Iterable[TreeFolder], kids: Sequence[TreeFolder]) -> str:
    """What speaks against it that each of the folders is a class; empty if nothing does.

    Args:
        beside: All folders there.
        kids: Those that are taken as classes.
    """
    names = {kid.name for kid in kids}
    for kid in kids:
        found = _COPY.fullmatch(kid.name)
        if found and (original := found[1] or found[2] or found[3]) in names:
            return f"{kid.path}/ is called like a copy of {original}/ beside it"
    left_out = [folder for folder in beside if folder not in kids and is_annotation(folder.name)]
    images = [kid for kid in kids if is_images(kid.name)]
    if left_out and images and len(images) < len(kids) and not any(kid.filled for kid in kids):
        return f"{left_out[0].path}/ is called like what belongs to {images[0].path}/, but there are other folders too"
    outputs = [kid for kid in kids if is_output(kid.name)]
    if outputs and len(kids) - len(outputs) > 1 and not any(kid.filled for kid in outputs):
        return f"{outputs[0].path}/ is called like what programs write, not like a class"
    copy = copy_of_all(kids)
    return f"{copy.path}/ holds files of the same names as all folders beside it together" if copy else ""


def copy_of_all(kids: Sequence[TreeFolder]) -> TreeFolder | None:
    """The folder whose files are called like those of all others together, as previews are."""
    total = sum(kid.total for kid in kids)
    for kid in kids:
        if len(kids) < 3 or kid.filled or abs(2 * kid.total - total) > (1 - _SAME) * total:
            continue
        own = set(map(_stem, kid.images))
        others = [
            {_stem(path.rpartition("/")[2]) for path in other.image_paths()} for other in kids if other is not kid
        ]
        union = set[str]().union(*others)
        distinct = len(union) == sum(map(len, others))  # numbers that begin again in each folder say nothing
        if distinct and len(own & union) >= _SAME * max(len(own), len(union)) > max(map(len, others)):
            return kid
    return None


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()
