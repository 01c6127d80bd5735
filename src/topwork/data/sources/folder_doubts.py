"""Folders beside class folders that may be no classes: copies, previews, what programs write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from topwork.data.file_tree import TreeFolder, stem_of, suffix_of
from topwork.data.split_words import is_annotation, is_images, is_output, split_of

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
            return f"{kid.path}/ seems to be a copy of {original}/, by its name"
    left_out = [folder for folder in beside if is_annotation(folder.name) and folder not in kids]
    images = [kid for kid in kids if is_images(kid.name)]
    if left_out and images and len(images) < len(kids) and not any(kid.filled for kid in kids):
        return (
            f"{left_out[0].path}/ seems to hold annotations of {images[0].path}/, by its name, but there are other "
            "folders too"
        )
    outputs = [kid for kid in kids if is_output(kid.name) and not kid.filled]
    classes = [kid for kid in kids if kid not in outputs]
    for kid in outputs if len(classes) > 1 else ():
        if _looks_written(kid, classes):
            return f"{kid.path}/ seems to hold the output of a program, by its name and its files"
    for kid in kids:
        inside = [folder.name for folder in kid.filled]
        if len(inside) > 1 and len(split_of(inside)) == len(inside) and not any(o.filled for o in kids if o is not kid):
            return f"{kid.path}/ is divided into {' and '.join(inside)}, but none of the folders beside it is"
    copy = copy_of_all(kids)
    return (
        f"{copy.path}/ seems to be a copy: its files have the same names as those of all other folders" if copy else ""
    )


def _looks_written(folder: TreeFolder, classes: Sequence[TreeFolder]) -> bool:
    """Whether it has far fewer images than each class, another format, or images made from those of the classes."""
    names = [path.rpartition("/")[2] for kid in classes for path in kid.image_paths()]
    if 2 * folder.total < min(kid.total for kid in classes):
        return True
    if {suffix_of(name) for name in folder.images}.isdisjoint(map(suffix_of, names)):
        return True
    stems = set(map(stem_of, names))  # numbers that begin again in each folder say nothing
    return len(stems) == len(names) and 2 * sum(stem_of(name) in stems for name in folder.images) > folder.total


def copy_of_all(kids: Sequence[TreeFolder]) -> TreeFolder | None:
    """The folder with the file names of all others together, as previews have."""
    total = sum(kid.total for kid in kids)
    for kid in kids:
        if len(kids) < 3 or kid.filled or abs(2 * kid.total - total) > (1 - _SAME) * total:
            continue
        own = set(map(stem_of, kid.images))
        others = [
            {stem_of(path.rpartition("/")[2]) for path in other.image_paths()} for other in kids if other is not kid
        ]
        union = set[str]().union(*others)
        distinct = len(union) == sum(map(len, others))  # numbers that begin again in each folder say nothing
        if distinct and len(own & union) >= _SAME * max(len(own), len(union)) > max(map(len, others)):
            return kid
    return None
