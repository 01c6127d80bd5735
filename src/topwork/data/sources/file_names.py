"""Labels in file names, read by a regular expression: ``cat.12.jpg``, ``great_pyrenees_173.jpg``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.errors import UsageError
from topwork.data.file_tree import FileTree, join, reason_ignored
from topwork.data.sources.base import DataArgument
from topwork.data.sources.class_folders import unwrap
from topwork.data.sources.mask_names import masks_beside
from topwork.data.sources.reading import Evidence, Reading
from topwork.data.split_words import split_of

_HINT = r"Pass an expression with one group in parentheses, such as '([^/]+)_\d+\.jpg$'."


class FileNamesSource:
    """A folder of images with the label in each path; for ``--label-from``."""

    name = "file-names"
    supported_options = frozenset({"label_from"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """All images whose path the regular expression of ``--label-from`` matches."""
        pattern = data.config.label_from
        if pattern and data.tree is not None:
            how, words = f"labels from file names, by the expression {pattern}", [data.path, "--label-from", pattern]
            yield Reading(how, Evidence.CERTAIN, words, partial(_list, data.tree, _compile(pattern)))


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--label-from {pattern!r} is not a regular expression: {error}. {_HINT}") from error
    if compiled.groups != 1:
        raise UsageError(f"--label-from {pattern!r} has {compiled.groups} groups, expected 1. {_HINT}")
    return compiled


def _list(tree: FileTree, pattern: re.Pattern[str]) -> Manifest:
    base = unwrap(tree.top)
    splits = split_of(folder.name for folder in base.filled)
    split_by_path = {f.path: splits[f.name] for f in base.filled if f.name in splits}
    ignored, rows = dict(tree.ignored), list[ImageRow]()
    depth = len(base.path) + bool(base.path)
    for folder in tree.top.walk():
        split = split_by_path.get(folder.path[: depth + len(folder.path[depth:].partition("/")[0])], "")
        masks = masks_beside(folder.images)
        for name in folder.images:
            path = join(folder.path, name)
            if name in masks:
                ignored[path] = f"mask of {masks[name]}"
                continue
            label = _label(pattern, path)
            if label:
                rows.append(ImageRow(path, label, split=split, ref=tree.ref(path)))
            else:
                ignored[path] = "--label-from does not match"
        for name in folder.files:
            ignored[join(folder.path, name)] = reason_ignored(name)
    root = Path(tree.store)
    if not rows:
        first = next(tree.top.image_paths(), None)
        if not first:
            raise UsageError(
                f"--label-from {pattern.pattern!r} matches nothing: {root} holds no image. Check the path."
            )
        raise UsageError(
            f"--label-from {pattern.pattern!r} matches none of the paths; the first path is {first!r}. {_HINT}"
        )
    if "train" not in {row.split for row in rows}:
        rows = [ImageRow(row.id, row.label, ref=row.ref) for row in rows]
    return Manifest(root, tuple(rows), root.resolve().name or "data", ignored)


def _label(pattern: re.Pattern[str], path: str) -> str:
    match = pattern.search(path)
    return (match[1] or "").strip() if match else ""
