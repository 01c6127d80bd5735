"""Class folders, with or without train / val / test folders above them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.image_ref import ImageRef
from topwork.core.progress import Progress
from topwork.data.images import SUFFIXES
from topwork.data.sources.base import SILENT, SPLIT_NAMES, require_folder

# Formats that are not read, although people think of such files as images.
_UNSUPPORTED = frozenset({
    ".heic", ".heif", ".svg", ".pdf", ".jp2", ".j2k", ".jxl", ".ico", ".psd", ".eps", ".tga", ".dcm", ".dng", ".cr2",
    ".cr3", ".nef", ".arw", ".exr", ".hdr", ".fits",
})  # fmt: skip
_SYSTEM_FILES = frozenset({"__pycache__", "__macosx", "thumbs.db", "desktop.ini", "@eadir"})
EMPTY_CLASS = "class folder without images"


@dataclass(frozen=True)
class _Folder:
    path: Path
    id: str
    label: str = ""
    split: str = ""


@dataclass
class _FolderScan:
    """Lists folders and notes what it ignores. Each real folder is listed once: links make no loops and no copies."""

    ignored: dict[str, str] = field(default_factory=dict)
    seen: dict[tuple[int, int], str] = field(default_factory=dict)

    def visit(self, folder: _Folder) -> bool:
        """Note that a folder is listed; False, with the reason noted, if it cannot be or was already."""
        try:
            status = os.stat(folder.path)
        except OSError as error:
            self.ignored[folder.id] = f"folder cannot be read: {error.strerror}"
            return False
        # Windows may give inode 0 to all
        key = (status.st_dev, status.st_ino) if status.st_ino else (0, hash(os.path.realpath(folder.path)))
        if key in self.seen:
            self.ignored[folder.id] = f"the same folder as {self.seen[key]}"
            return False
        self.seen[key] = folder.id or "the data folder"
        return True

    def entries(self, folder: _Folder) -> list[os.DirEntry[str]]:
        """What a folder holds, in order of name, without hidden and system files, which are noted."""
        try:
            with os.scandir(folder.path) as scan:
                found = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self.ignored[folder.id or "."] = f"folder cannot be read: {error.strerror}"
            return []
        shown = []
        for entry in found:
            if entry.name.startswith("."):
                self.ignored[_join(folder.id, entry.name)] = "hidden"
            elif entry.name.lower() in _SYSTEM_FILES:
                self.ignored[_join(folder.id, entry.name)] = "system file"
            else:
                shown.append(entry)
        return shown

    def subfolders(self, folder: _Folder) -> list[_Folder]:
        """The folders directly in a folder that holds no images itself; its files are noted."""
        inside = []
        for entry in self.entries(folder):
            if _is_folder(entry):
                inside.append(_Folder(Path(entry.path), _join(folder.id, entry.name)))
            else:
                image = _suffix(entry.name) in SUFFIXES
                reason = "image outside the class folders" if image else _reason(entry.name)
                self.ignored[_join(folder.id, entry.name)] = reason
        return inside

    def walk(
        self, folders: Iterable[_Folder], labels_from_path: bool = False, depth_first: bool = False
    ) -> Iterator[tuple[str, _Folder]]:
        """The id of each image in folders and below, and its folder.

        Real folders come before links, so that a folder is listed where it really is.

        Args:
            folders: Where to start; they are visited already.
            labels_from_path: A folder further inside is a class of its own, named by its path.
            depth_first: List a folder with all below it before the next one.
        """
        queue, links = deque(folders), deque[_Folder]()
        visited = set(queue)
        while queue or links:
            folder = queue.popleft() if queue else links.popleft()
            if folder not in visited and not self.visit(folder):
                continue
            below = []
            for entry in self.entries(folder):
                name = _join(folder.id, entry.name)
                if _is_folder(entry):
                    label = f"{folder.label}/{entry.name}" if labels_from_path else folder.label
                    inner = _Folder(Path(entry.path), name, label, folder.split)
                    (links if entry.is_symlink() else below).append(inner)
                elif _suffix(entry.name) in SUFFIXES:
                    yield name, folder
                else:
                    self.ignored[name] = _reason(entry.name)
            if depth_first:
                queue.extendleft(reversed(below))
            else:
                queue.extend(below)


class FolderSource:
    """A folder of class folders; ids are paths in it, the label is the class folder's name."""

    name = "folder"
    supported_options = frozenset({"labels_from_path"})

    def matches(self, data: str) -> bool:
        """Any folder."""
        return os.path.isdir(data)

    def list(self, config: DataConfig, progress: Progress = SILENT) -> Manifest:
        """All files with an image's suffix in the class folders, at any depth."""
        root = require_folder(Path(config.path))
        scan = _FolderScan()
        top = _Folder(root, "")
        scan.visit(top)
        classes = [folder for folder in _class_folders(scan, top) if scan.visit(folder)]
        rows = tuple(
            ImageRow(name, folder.label, split=folder.split, ref=ImageRef(str(root), name))
            for name, folder in scan.walk(classes, config.labels_from_path)
        )
        filled = {(row.split, row.label.split("/")[0]) for row in rows}
        for folder in classes:
            if (folder.split, folder.label) not in filled:
                scan.ignored.setdefault(folder.id, EMPTY_CLASS)
        return Manifest(root, rows, root.resolve().name or "data", scan.ignored)


def images_below(folder: str) -> Iterator[ImageRef]:
    """All images in a folder and below, without labels: the files of a folder in order of name, then its folders."""
    scan, top = _FolderScan(), _Folder(Path(folder), "")
    if scan.visit(top):
        for name, _ in scan.walk([top], depth_first=True):
            yield ImageRef(folder, name)


def _class_folders(scan: _FolderScan, top: _Folder) -> list[_Folder]:
    """The folders that are classes: those of the top, or those inside train / val / test."""
    folders = scan.subfolders(top)
    split_of = {folder.id: SPLIT_NAMES[folder.id.lower()] for folder in folders if folder.id.lower() in SPLIT_NAMES}
    training = [folder for folder in folders if split_of.get(folder.id) == "train"]
    is_split = bool(training) and (len(set(split_of.values())) > 1 or len(folders) == 1)
    if not is_split or not any(_is_folder(entry) for folder in training for entry in _FolderScan().entries(folder)):
        return [_Folder(folder.path, folder.id, folder.id) for folder in folders]
    classes = []
    for folder in folders:
        if folder.id not in split_of:
            scan.ignored[folder.id] = "folder beside train, val and test"
        elif scan.visit(folder):
            inside = scan.subfolders(folder)
            if not inside:
                scan.ignored.setdefault(folder.id, "has no class folders")
            classes += [_Folder(f.path, f.id, f.path.name, split_of[folder.id]) for f in inside]
    return classes


def _reason(name: str) -> str:
    return "image in an unsupported format" if _suffix(name) in _UNSUPPORTED else "not an image"


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
