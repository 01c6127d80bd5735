"""Class folders, with or without train / val / test folders above them."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from topwork.data.images import SUFFIXES
from topwork.data.sources.base import FoundImage, Listing, Reading, existing_folder

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# People think of these as images and should be told that they are passed over.
_UNREAD = frozenset(
    [
        ".heic",
        ".heif",
        ".svg",
        ".pdf",
        ".jp2",
        ".j2k",
        ".jxl",
        ".ico",
        ".psd",
        ".eps",
        ".tga",
        ".dcm",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".exr",
        ".hdr",
        ".fits",
    ]
)
_SYSTEM = frozenset({"__pycache__", "__macosx", "thumbs.db", "desktop.ini", "@eadir"})


@dataclass(frozen=True)
class _Folder:
    path: Path
    id: str
    label: str = ""
    split: str = ""


@dataclass
class _Walk:
    """What a walk has found so far. Each real folder is listed once, so links can make neither loops nor copies."""

    images: list[FoundImage] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    seen: dict[tuple[int, int], str] = field(default_factory=dict)

    def enters(self, folder: _Folder) -> bool:
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
            elif entry.name.lower() in _SYSTEM:
                self.ignored[_join(folder.id, entry.name)] = "made by the system"
            else:
                shown.append(entry)
        return shown

    def subfolders(self, folder: _Folder) -> list[_Folder]:
        """The folders right inside a folder that holds no images itself; its files are noted."""
        inside = []
        for entry in self.entries(folder):
            if _is_folder(entry):
                inside.append(_Folder(Path(entry.path), _join(folder.id, entry.name)))
            else:
                image = _suffix(entry.name) in SUFFIXES
                reason = "image outside the class folders" if image else _other(entry.name)
                self.ignored[_join(folder.id, entry.name)] = reason
        return inside


class FolderSource:
    """A folder of class folders; ids are paths below it, the label is the class folder's name."""

    name = "folder"
    knows = frozenset({"labels_from_path"})

    def recognises(self, path: Path) -> bool:
        """Any folder."""
        return path.is_dir()

    def list(self, path: Path, reading: Reading) -> Listing:
        """All files with an image's suffix below the class folders, however deep.

        Raises:
            UsageError: There is no such folder.
        """
        root = existing_folder(path)
        walk = _Walk()
        top = _Folder(root, "")
        walk.enters(top)
        classes = [folder for folder in _class_folders(walk, top) if walk.enters(folder)]
        _collect(walk, classes, reading.labels_from_path)
        filled = {(image.split, image.label.split("/")[0]) for image in walk.images}
        for folder in classes:
            if (folder.split, folder.label) not in filled:
                walk.ignored.setdefault(folder.id, "class folder without images")
        return Listing(root, root.resolve().name or "data", tuple(walk.images), walk.ignored)


def _class_folders(walk: _Walk, top: _Folder) -> list[_Folder]:
    """The folders that are classes: those of the top, or those inside train / val / test."""
    folders = walk.subfolders(top)
    split_of = {folder.id: _SPLITS[folder.id.lower()] for folder in folders if folder.id.lower() in _SPLITS}
    training = [folder for folder in folders if split_of.get(folder.id) == "train"]
    is_split = bool(training) and (len(set(split_of.values())) > 1 or len(folders) == 1)
    if not is_split or not any(_holds_folders(folder.path) for folder in training):
        return [_Folder(folder.path, folder.id, folder.id) for folder in folders]
    classes = []
    for folder in folders:
        if folder.id not in split_of:
            walk.ignored[folder.id] = "folder beside train, val and test"
        elif walk.enters(folder):
            inside = walk.subfolders(folder)
            if not inside:
                walk.ignored.setdefault(folder.id, "has no class folders")
            classes += [_Folder(f.path, f.id, f.path.name, split_of[folder.id]) for f in inside]
    return classes


def _collect(walk: _Walk, classes: list[_Folder], nested: bool) -> None:
    """Walk the class folders, real folders before links, so that a folder is listed where it really lies.

    Args:
        walk: Where to put what is found.
        classes: Folders whose names are classes.
        nested: A folder further inside is a class of its own, named by its path.
    """
    folders, links = deque(classes), deque[_Folder]()
    entered = set(classes)
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        if folder not in entered and not walk.enters(folder):
            continue
        for entry in walk.entries(folder):
            name = _join(folder.id, entry.name)
            if _is_folder(entry):
                waiting = links if entry.is_symlink() else folders
                label = f"{folder.label}/{entry.name}" if nested else folder.label
                waiting.append(_Folder(Path(entry.path), name, label, folder.split))
            elif _suffix(entry.name) in SUFFIXES:
                walk.images.append(FoundImage(name, Path(entry.path), folder.label, folder.split, folder.label))
            else:
                walk.ignored[name] = _other(entry.name)


def _other(name: str) -> str:
    return "picture in a format that is not read" if _suffix(name) in _UNREAD else "not an image"


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _holds_folders(path: Path) -> bool:
    try:
        with os.scandir(path) as scan:
            return any(_is_folder(e) and not e.name.startswith(".") and e.name.lower() not in _SYSTEM for e in scan)
    except OSError:
        return False
