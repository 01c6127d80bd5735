"""Where the images of a table may be, and what is known of each before it is listed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from topwork.core.artifacts import ImageRow
from topwork.core.image_ref import ImageRef
from topwork.data.file_index import FileIndex, Found
from topwork.data.file_tree import FileTree
from topwork.data.locations import is_inside

_MASKS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "trimaps",
    "groundtruth", "ground_truth", "thumbnails", "depth", "heatmaps",
})  # fmt: skip
_NO_CLASS = _MASKS | {
    "", "images", "image", "img", "imgs", "jpegimages", "data", "pictures", "photos", "jpg", "jpeg", "png",
}  # fmt: skip


class Entry(NamedTuple):
    """An image of a table. Most are only looked at: an ``ImageRow`` takes ten times as long to make.

    Attributes:
        id: Of the image.
        name: Of its file: path in the tree or below the root, or an absolute path.
        label: Empty if it is none of the table's.
        split: Empty if the table names none.
        group: As of ``ImageRow``.
        weight: As of ``ImageRow``.
        ref: Where it is, unless that is the whole file of its name.
    """

    id: str
    name: str
    label: str
    split: str = ""
    group: str = ""
    weight: float = 1.0
    ref: ImageRef | None = None


@dataclass(frozen=True)
class Places:
    """Where the images of a table may be.

    Attributes:
        root: Folder that ids are relative to.
        base: Folder of the table in it, empty for itself.
        tree: Its content; None if all paths of the table exist as they are written.
        index: The images of the tree.
        split: The split whose folders count where a name is in several ones; may be empty.
        split_of: A folder's name to the split that it names, or empty.
        outside: Whether the table may name files that are not in the root: one that the user passes, but none that
            lies in the data, which others may have made.
    """

    root: Path
    base: str = ""
    tree: FileTree | None = None
    index: FileIndex = field(default_factory=lambda: FileIndex(()))
    split: str = ""
    split_of: Callable[[str], str] = lambda name: ""
    outside: bool = True

    def allows(self, name: str) -> bool:
        """Whether the table may name this file."""
        return self.outside or is_inside(os.path.join(self.root, self.base, name), self.root)

    def names_other_file(self, text: str) -> bool:
        """Whether a text is the path of a file that exists and that the table may not name."""
        if self.outside or "://" in text or "\0" in text or len(text) > 4096 or not text.strip():
            return False
        return os.path.isfile(os.path.join(self.root, self.base, text)) and not self.allows(text)

    def find(self, text: str, split: str = "", label: str = "") -> Found:
        """The images that a text may mean, fewer if the folders of a split, a class or of masks decide."""
        found = self.index.find(text, self.base) if self.tree else Found()
        if not found.paths and (place := self._on_disk(text)):
            return Found((place,))
        if len(found.paths) < 2:
            return found
        paths = [path for path in found.paths if not _MASKS & set(path.lower().split("/")[:-1])] or list(found.paths)
        expected = split or self.split
        if expected:
            paths = [path for path in paths if expected in map(self.split_of, path.split("/")[:-1])] or paths
        if self.base and len(paths) > 1:
            paths = [path for path in paths if path.startswith(self.base + "/")] or paths
        if label and len(paths) > 1:
            paths = [path for path in paths if label in path.split("/")[:-1]] or paths
        return Found(tuple(paths), found.match)

    def _on_disk(self, text: str) -> str:
        """The id of a file outside the tree, or of one that exists as it is written; empty if there is none."""
        if "://" in text or "\0" in text or len(text) > 4096 or (self.tree and not os.path.isdir(self.tree.store)):
            return ""
        name = text.partition("#xywh=")[0]
        if not name.strip() or not os.path.isfile(os.path.join(self.root, self.base, name)) or not self.allows(name):
            return ""
        return relative_id(name, self.root, self.base)

    def ref(self, name: str) -> ImageRef:
        """Where the file of an entry is."""
        return self.tree.ref(name) if self.tree and name in self.index else ImageRef(str(self.root), name)

    def row(self, entry: Entry) -> ImageRow:
        """The image of an entry."""
        image_id, name, label, split, group, weight, ref = entry
        return ImageRow(image_id, label, split=split, group=group, weight=weight, ref=ref or self.ref(name))

    def folder_label(self, path: str) -> str:
        """The folder above an image that may be its class: the last one that is no split and not called images."""
        return _class_of_folder(path.rpartition("/")[0], self.split_of)


@lru_cache(maxsize=2**16)
def _class_of_folder(folder: str, split_of: Callable[[str], str]) -> str:
    name = next((name for name in reversed(folder.split("/")) if name.lower() not in _NO_CLASS), "")
    return "" if split_of(name) else name


def relative_id(path: str, root: Path, base: str = "") -> str:
    """The path relative to the root if it is in it, with forward slashes; else the absolute path."""
    absolute = os.path.normpath(os.path.join(root, base, path))
    relative = os.path.relpath(absolute, root) if os.path.splitdrive(absolute)[0] == os.path.splitdrive(root)[0] else ""
    inside = relative and not relative.startswith("..")
    return Path(relative if inside else absolute).as_posix()
