"""The folders and files of a folder or an archive, by name: listed once, no file is opened."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from topwork.core.image_ref import ImageRef
from topwork.data.images import SUFFIXES

# Formats that are not read, although people think of such files as images.
_UNSUPPORTED = frozenset({
    ".svg", ".pdf", ".jp2", ".j2k", ".jxl", ".ico", ".psd", ".eps", ".tga", ".dng", ".cr2",
    ".cr3", ".nef", ".arw", ".exr", ".hdr", ".fits",
})  # fmt: skip
_SYSTEM_FILES = frozenset({
    "__pycache__", "__macosx", "thumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "lost+found",
    "lost.dir", "system volume information",
})  # fmt: skip


@dataclass(slots=True, eq=False)
class TreeFolder:
    """A folder of a tree.

    Attributes:
        path: Path in the tree with forward slashes; empty for the top.
        folders: Those directly in it, in order of name, real ones before links.
        images: Names of the files with an image's suffix directly in it, in order.
        files: Names of the other files, in order.
        total: Images in it and below.
        is_archive: Whether it is a zip or tar file.
    """

    path: str
    folders: list[TreeFolder] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    total: int = 0
    is_archive: bool = False

    @property
    def name(self) -> str:
        """The last part of its path, of an archive without its suffix."""
        name = self.path.rpartition("/")[2]
        return os.path.splitext(name)[0] if self.is_archive else name

    @property
    def filled(self) -> list[TreeFolder]:
        """The folders directly in it that hold images, there or below."""
        return [folder for folder in self.folders if folder.total]

    def walk(self) -> Iterator[TreeFolder]:
        """It and all folders below, level by level."""
        queue = deque[TreeFolder]([self])
        while queue:
            folder = queue.popleft()
            yield folder
            queue.extend(folder.folders)

    def image_paths(self) -> Iterator[str]:
        """Path in the tree of each image in it and below."""
        for folder in self.walk():
            for name in folder.images:
                yield join(folder.path, name)


@dataclass(frozen=True)
class FileTree:
    """All that a folder or an archive holds.

    Attributes:
        store: Absolute path of the folder, or of the archive.
        top: Its folder; paths in the tree are relative to it.
        ignored: Path to reason for what is not in the tree: hidden and system files, folders that cannot be read.
        archives: Paths of the zip and tar files in it that are folders of the tree; none is inside another.
    """

    store: str
    top: TreeFolder
    ignored: dict[str, str] = field(default_factory=dict)
    archives: frozenset[str] = frozenset()

    def ref(self, path: str) -> ImageRef:
        """Where the bytes of a path in the tree are."""
        if self.archives:
            for end in (end for end, sign in enumerate(path) if sign == "/"):
                if path[:end] in self.archives:
                    return ImageRef(os.path.join(self.store, path[:end]), path[end + 1 :])
        return ImageRef(self.store, path)

    @cached_property
    def folders(self) -> dict[str, TreeFolder]:
        """Path to folder."""
        return {folder.path: folder for folder in self.top.walk()}


def read_folder(path: str | os.PathLike[str]) -> FileTree:
    """The tree of a folder. Each real folder is listed once: links make no loops and no copies."""
    store = os.path.abspath(path)
    scan = _FolderScan({}, {})
    top = TreeFolder("")
    queue, links = deque([(top, store)]), deque[tuple[TreeFolder, str, TreeFolder]]()
    scan.visit(top, store)
    order = [top]
    while queue or links:
        if queue:
            folder, place = queue.popleft()
        else:  # a folder is listed where it really is, so links come last
            folder, place, parent = links.popleft()
            if not scan.visit(folder, place):
                continue
            parent.folders.append(folder)
            order.append(folder)
        for entry in scan.entries(folder, place):
            name = join(folder.path, entry.name)
            if not _is_folder(entry):
                (folder.images if suffix_of(entry.name) in SUFFIXES else folder.files).append(entry.name)
                continue
            inner = TreeFolder(name)
            if entry.is_symlink():
                links.append((inner, entry.path, folder))
            elif scan.visit(inner, entry.path):
                folder.folders.append(inner)
                order.append(inner)
                queue.append((inner, entry.path))
    _count(order)
    return FileTree(store, top, scan.ignored)


def tree_of_names(store: str, names: Iterable[str]) -> FileTree:
    """The tree of an archive, from the paths of its files."""
    ignored: dict[str, str] = {}
    top = TreeFolder("")
    folders = {"": top}
    order = [top]

    def folder_of(path: str) -> TreeFolder:
        if path not in folders:
            folders[path] = TreeFolder(path)
            order.append(folders[path])
            folder_of(path.rpartition("/")[0]).folders.append(folders[path])
        return folders[path]

    for name in sorted(names):
        parent, _, base = name.rpartition("/")
        reasons = ((part, _hidden(part)) for part in name.split("/"))
        reason = next((reason for _, reason in reasons if reason), "")
        if reason:
            ignored[name] = reason
            continue
        folder = folder_of(parent)
        (folder.images if suffix_of(base) in SUFFIXES else folder.files).append(base)
    for folder in order:
        folder.folders.sort(key=lambda inner: inner.path)
    order.sort(key=lambda folder: folder.path.count("/") + bool(folder.path))
    _count(order)
    return FileTree(store, top, ignored)


def reason_ignored(name: str) -> str:
    """Why a file without an image's suffix is not listed."""
    return "image in an unsupported format" if suffix_of(name) in _UNSUPPORTED else "not an image"


def join(folder: str, name: str) -> str:
    """The path of what is in a folder of a tree."""
    return f"{folder}/{name}" if folder else name


def stem_of(name: str) -> str:
    """The name in lower case without its extension."""
    return name[: len(name) - len(suffix_of(name))].lower()


def suffix_of(name: str) -> str:
    """Extension in lower case, with its dot."""
    stem, _, end = name.rpartition(".")
    if not stem or stem[-1] in "./\\" or "/" in end or "\\" in end:  # no extension, or one of a folder
        return os.path.splitext(name)[1].lower()
    return f".{end.lower()}"


def _count(order: list[TreeFolder]) -> None:
    """Set the totals of folders of which each comes after its parent."""
    for folder in reversed(order):
        folder.total = len(folder.images) + sum(inner.total for inner in folder.folders)


def _hidden(name: str) -> str:
    return "hidden" if name.startswith(".") else "system file" if name.lower() in _SYSTEM_FILES else ""


@dataclass
class _FolderScan:
    """Lists folders and notes what it ignores."""

    ignored: dict[str, str]
    seen: dict[tuple[int, int], str]

    def visit(self, folder: TreeFolder, place: str) -> bool:
        """Note that a folder is listed; False, with the reason noted, if it cannot be or was already."""
        try:
            status = os.stat(place)
        except OSError as error:
            self.ignored[folder.path] = f"folder cannot be read: {error.strerror}"
            return False
        # Windows may give inode 0 to all
        key = (status.st_dev, status.st_ino) if status.st_ino else (0, hash(os.path.realpath(place)))
        if key in self.seen:
            self.ignored[folder.path] = f"the same folder as {self.seen[key]}"
            return False
        self.seen[key] = folder.path or "the data folder"
        return True

    def entries(self, folder: TreeFolder, place: str) -> list[os.DirEntry[str]]:
        """What a folder holds, in order of name, without hidden and system files, which are noted."""
        try:
            with os.scandir(place) as scan:
                found = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self.ignored[folder.path or "."] = f"folder cannot be read: {error.strerror}"
            return []
        shown = []
        for entry in found:
            reason = _hidden(entry.name)
            if reason:
                self.ignored[join(folder.path, entry.name)] = reason
            else:
                shown.append(entry)
        return shown


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
