"""Class folders, with or without folders of splits above them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.commands import unpack
from topwork.core.errors import UsageError
from topwork.core.image_ref import ImageRef
from topwork.data.archive_tree import read_tree
from topwork.data.file_tree import FileTree, join, reason_ignored
from topwork.data.sources.base import DataArgument
from topwork.data.sources.class_folders import NO_CLASSES, ClassFolder, Layout
from topwork.data.sources.folder_layouts import find_layouts
from topwork.data.sources.folder_samples import (
    are_numbered,
    labels_inside,
    numbered_samples,
    parts_inside,
    tables_inside,
)
from topwork.data.sources.layout_option import layout_of
from topwork.data.sources.mask_names import annotations_inside, masks_beside
from topwork.data.sources.other_tasks import TABLE_OF_FOLDERS, labels_in_files, masks_of, unlabeled, workbooks
from topwork.data.sources.reading import Evidence, Reading, Refused
from topwork.data.split_words import is_annotation

EMPTY_CLASS = "class folder without images"
_OUTSIDE = "image outside the class folders"


class FolderSource:
    """A folder of class folders; ids are paths in it, the label is the class folder's name."""

    name = "folder"
    supported_options = frozenset({"labels_from_path", "layout"})

    def readings(self, data: DataArgument) -> Iterator[Reading | Refused]:
        """All files with an image's suffix in the class folders, at any depth."""
        tree = data.tree
        if tree is None:
            return
        config = data.config
        if config.layout:
            try:
                layouts = [layout_of(tree.top, config.layout)]
            except ValueError as error:
                raise UsageError(
                    f"--layout {config.layout} does not fit {data.path}: {error}. Pass the levels of folders below "
                    "DATA, such as class, split/class or '*/class'."
                ) from error
        else:
            layouts = find_layouts(tree.top, config.labels_from_path)
            layouts = _with_samples(tree, layouts)
        for layout in layouts:
            path = os.path.join(data.path, *layout.data.split("/")) if layout.data else data.path
            by_path = config.labels_from_path or layout.by_path
            list_rows = partial(_list, tree, layout, by_path)
            reading = Reading(layout.how, layout.evidence, [path, *layout.options], list_rows)
            if layout.data and not os.path.isdir(data.path):
                problem = (
                    f"{data.path} holds several data sets, one of them in {layout.data}/. Unpack it, then choose one: "
                    f"{unpack(data.path)}"
                )
                yield Refused(problem, layout.evidence)
            elif layout.problem:
                others = labels_in_files(data, tree, layout.alone)
                yield Refused(f"{layout.problem}: {reading.command(config)}{others}", layout.evidence)
            else:
                yield reading
        if not layouts and tree.top.total:
            yield unlabeled(data, tree)
        if not layouts and not tree.top.total:
            yield Reading("class folders", Evidence.POSSIBLE, [data.path], partial(_list, tree, Layout("", []), False))


def _with_samples(tree: FileTree, layouts: list[Layout]) -> list[Layout]:
    """The layouts, or one with a problem if its folders are samples rather than classes."""
    first = next(iter(layouts), None)
    if first is None or first.by_path or not first.options:
        return layouts
    problem = labels_inside(tree, first.classes) or tables_inside(first.classes)
    if not problem and len(layouts) == 1 and are_numbered(first.classes):
        problem = masks_of(tree) or numbered_samples(tree, first.classes)
    problem = problem or parts_inside(first.classes)
    if not problem:
        return layouts
    return [
        replace(
            first, problem=f"{problem}. {TABLE_OF_FOLDERS}.{workbooks(tree)} If each of the folders is a class, run"
        )
    ]


def images_below(path: str) -> Iterator[ImageRef]:
    """All images in a folder or an archive and below, without labels: the files of a folder, then its folders."""
    tree = read_tree(path)
    stack = [tree.top] if tree else []
    while tree and stack:
        inner = stack.pop()
        for name in inner.images:
            ref = tree.ref(join(inner.path, name))
            store = path if ref.store == tree.store else os.path.join(path, os.path.relpath(ref.store, tree.store))
            yield ImageRef(store, ref.name)
        stack.extend(reversed(inner.folders))


def _list(tree: FileTree, layout: Layout, by_path: bool) -> Manifest:
    """The images in class folders; everything else is ignored with its reason."""
    classes = {row.folder.path: row for row in layout.classes}
    above = {""} | {path[:end] for path in classes for end, sign in enumerate(path) if sign == "/"}
    class_level = {path.rpartition("/")[0] for path in classes} or {""}
    ignored: dict[str, str] = {}
    rows: list[ImageRow] = []
    stack = [tree.top]
    while stack:
        folder = stack.pop()
        if folder.path in classes:
            rows += _rows(tree, classes[folder.path], by_path, ignored)
            continue
        reason = layout.reasons.get(folder.path)
        if folder.path not in above or reason not in (None, NO_CLASSES):
            is_class = folder.path.rpartition("/")[0] in class_level and not is_annotation(folder.name)
            empty = EMPTY_CLASS if is_class else "folder without images"
            ignored[folder.path] = reason or ("folder beside the class folders" if folder.total else empty)
            if reason != NO_CLASSES:
                continue
        ignored |= {join(folder.path, name): _OUTSIDE for name in folder.images}
        ignored |= {join(folder.path, name): reason_ignored(name) for name in folder.files}
        if reason != NO_CLASSES:
            stack.extend(reversed(folder.folders))
    ignored |= {path: reason for path, reason in tree.ignored.items() if not _is_below(path, ignored)}
    root = Path(tree.store)
    return Manifest(root, tuple(rows), root.resolve().name or "data", ignored)


def _rows(tree: FileTree, of_class: ClassFolder, by_path: bool, ignored: dict[str, str]) -> Iterator[ImageRow]:
    if not of_class.folder.total:
        ignored[of_class.folder.path] = EMPTY_CLASS
    depth = len(of_class.folder.path)
    beside = set() if by_path else annotations_inside(of_class.folder)
    ignored |= dict.fromkeys(beside, "masks or annotations, by its name")
    for folder in of_class.folder.walk():
        if folder.path in beside or _is_below(folder.path, beside):
            continue
        label = of_class.label + (folder.path[depth:] if by_path else "")
        masks = masks_beside(folder.images)
        for name in folder.images:
            path = join(folder.path, name)
            if name in masks:
                ignored[path] = f"mask of {masks[name]}"
            else:
                yield ImageRow(path, label, split=of_class.split, ref=tree.ref(path))
        for name in folder.files:
            ignored[join(folder.path, name)] = reason_ignored(name)


def _is_below(path: str, folders: Container[str]) -> bool:
    """Whether a path is in a folder that is ignored as a whole."""
    return any(path[:end] in folders for end, sign in enumerate(path) if sign == "/")
