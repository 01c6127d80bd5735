"""The tree of a folder, a zip or a tar file; the archives in a folder without images are folders of its tree."""

from __future__ import annotations

import os
from dataclasses import replace

from topwork.core.errors import DataError
from topwork.core.image_ref import TAR_SUFFIX, ZIP_SUFFIX, is_url
from topwork.data.archive_index import LABEL_SUFFIXES, Index, open_index
from topwork.data.file_tree import FileTree, TreeFolder, join, read_folder, suffix_of, tree_of_names
from topwork.data.images import SUFFIXES
from topwork.data.locations import file_stamp


def read_tree(path: str) -> FileTree | None:
    """What a folder or an archive holds; None for anything else, and for tar shards.

    Raises:
        DataError: An archive is damaged, or cannot be read in place.
    """
    if os.path.isdir(path):
        tree = read_folder(path)
        return tree if tree.top.total else _with_archives(tree)
    if is_url(path) or not path.lower().endswith((TAR_SUFFIX, ZIP_SUFFIX)) or not os.path.isfile(path):
        return None
    return None if is_shard(path) else _read_archive(os.path.abspath(path))


def is_shard(path: str) -> bool:
    """Whether a tar file has samples as WebDataset defines them: most of its images have a label file of their name.

    One without folders is a shard, too: nothing else could label its images.
    """
    if not path.lower().endswith(TAR_SUFFIX):
        return False
    keys: tuple[set[str], set[str]] = set(), set()
    for name, _, _ in index_of(path).rows():
        suffix = suffix_of(name)
        if suffix in SUFFIXES or suffix in LABEL_SUFFIXES:
            folder, _, base = name.rpartition("/")
            keys[suffix in SUFFIXES].add(f"{folder}/{base.partition('.')[0]}")
    labels, images = keys
    return 2 * len(labels & images) > len(images) or not any(key.partition("/")[0] for key in images)


def index_of(archive: str) -> Index:
    """The index of an archive on this machine or at a URL.

    Raises:
        DataError: It cannot be read, or is damaged.
    """
    path = archive if is_url(archive) else os.path.abspath(archive)
    try:
        return open_index(path, file_stamp(path), check=True)
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror or error}. Check the path.") from error


def _read_archive(path: str) -> FileTree:
    index = index_of(path)
    tree = tree_of_names(path, (name for name, _, _ in index.rows()))
    tree.ignored.update(index.ignored)
    return tree


def _with_archives(tree: FileTree) -> FileTree:
    """The tree of a folder without images, in which the archives are folders."""
    archives = list[str]()
    for folder in list(tree.top.walk()):
        for name in [name for name in folder.files if suffix_of(name) in (ZIP_SUFFIX, TAR_SUFFIX)]:
            path = join(folder.path, name)
            place = os.path.join(tree.store, path)
            if suffix_of(name) == TAR_SUFFIX and is_shard(place):
                return tree
            found = _read_archive(place)
            if found.top.total:
                folder.files.remove(name)
                folder.folders.append(_moved(found.top, path))
                tree.ignored.update({join(path, inner): reason for inner, reason in found.ignored.items()})
                archives.append(path)
    _count(tree.top)
    return replace(tree, archives=frozenset(archives))


def _count(folder: TreeFolder) -> int:
    folder.total = len(folder.images) + sum(map(_count, folder.folders))
    return folder.total


def _moved(folder: TreeFolder, path: str) -> TreeFolder:
    inner = [_moved(below, join(path, below.name)) for below in folder.folders]
    return TreeFolder(path, inner, folder.images, folder.files, folder.total, is_archive=not folder.path)
