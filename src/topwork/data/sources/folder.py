"""Class folders, with or without train / val / test folders above them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.image_ref import ImageRef
from topwork.data.archive_tree import read_tree
from topwork.data.file_tree import FileTree, TreeFolder, join, reason_ignored
from topwork.data.sources.base import SPLIT_NAMES, DataArgument
from topwork.data.sources.reading import Evidence, Reading

EMPTY_CLASS = "class folder without images"


@dataclass(frozen=True)
class _ClassFolder:
    folder: TreeFolder
    label: str
    split: str = ""


class FolderSource:
    """A folder of class folders; ids are paths in it, the label is the class folder's name."""

    name = "folder"
    supported_options = frozenset({"labels_from_path"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """All files with an image's suffix in the class folders, at any depth."""
        if data.tree is None:
            return
        classes, ignored = _class_folders(data.tree)
        list_rows = partial(_list, data, data.tree, classes, ignored)
        if any(folder.split for folder in classes):
            evidence, splits = Evidence.LIKELY, {f.folder.path.split("/")[0]: f.split for f in classes}
            how = "class folders under " + " and ".join(f"{name}/ ({split})" for name, split in splits.items())
        else:
            evidence, how = Evidence.POSSIBLE, "class folders"
        yield Reading(how, evidence, [data.path], list_rows)


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


def _list(data: DataArgument, tree: FileTree, classes: list[_ClassFolder], ignored: dict[str, str]) -> Manifest:
    """The images in class folders; everything else is ignored with its reason."""
    ignored = ignored | tree.ignored
    rows: list[ImageRow] = []
    for of_class in classes:
        if not of_class.folder.total:
            ignored.setdefault(of_class.folder.path, EMPTY_CLASS)
        depth = len(of_class.folder.path)
        for folder in of_class.folder.walk():
            label = of_class.label + (folder.path[depth:] if data.config.labels_from_path else "")
            for name in folder.images:
                path = join(folder.path, name)
                rows.append(ImageRow(path, label, split=of_class.split, ref=tree.ref(path)))
            for name in folder.files:
                ignored[join(folder.path, name)] = reason_ignored(name)
    root = Path(tree.store)
    return Manifest(root, tuple(rows), root.resolve().name or "data", ignored)


def _class_folders(tree: FileTree) -> tuple[list[_ClassFolder], dict[str, str]]:
    """The folders that are classes, those of the top or those inside train / val / test; and what else is ignored."""
    folders = tree.top.folders
    ignored = _loose(tree.top)
    split_of = {
        folder.path: SPLIT_NAMES[folder.path.lower()] for folder in folders if folder.path.lower() in SPLIT_NAMES
    }
    training = [folder for folder in folders if split_of.get(folder.path) == "train"]
    is_split = bool(training) and (len(set(split_of.values())) > 1 or len(folders) == 1)
    classes = [_ClassFolder(folder, folder.name) for folder in folders]
    if not is_split or not any(folder.folders for folder in training):
        return classes, ignored
    inside: list[_ClassFolder] = []
    for folder in folders:
        if folder.path not in split_of:
            ignored[folder.path] = "folder beside train, val and test"
            continue
        ignored |= _loose(folder)
        if not folder.folders:
            ignored.setdefault(folder.path, "has no class folders")
        inside += [_ClassFolder(inner, inner.name, split_of[folder.path]) for inner in folder.folders]
    return inside, ignored


def _loose(folder: TreeFolder) -> dict[str, str]:
    """The files directly in a folder that is no class."""
    ignored = {join(folder.path, name): "image outside the class folders" for name in folder.images}
    return ignored | {join(folder.path, name): reason_ignored(name) for name in folder.files}
