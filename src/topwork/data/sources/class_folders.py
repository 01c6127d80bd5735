"""What folders mean as classes: a layout of them, and the folders that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from topwork.data.file_tree import TreeFolder
from topwork.data.sources.reading import Evidence
from topwork.data.split_words import is_annotation_of, split_name

NO_CLASSES = "has no class folders"
_MAX_LOOSE = 0.05  # of the images of a folder lie directly in it, if it is only one more folder above


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose images, at any depth, have one label."""

    folder: TreeFolder
    label: str
    split: str = ""


@dataclass(frozen=True)
class Layout:
    """What the folders mean.

    Attributes:
        how: In words.
        classes: All class folders.
        evidence: How sure it is.
        reasons: Path of a folder to why it is ignored, for those whose names say so.
        options: Those that take this layout and no other.
        data: Folder below DATA to be passed instead of it; may be empty.
        problem: Why it is not taken without these options; may be empty.
        alone: Folders that may each be data to be passed instead, with labels in the names of their files.
        by_path: Whether the label is the whole path below the splits.
    """

    how: str
    classes: Sequence[ClassFolder]
    evidence: Evidence = Evidence.POSSIBLE
    reasons: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    data: str = ""
    problem: str = ""
    alone: tuple[TreeFolder, ...] = ()
    by_path: bool = False


Bases = Sequence[tuple[TreeFolder, str]]  # folders that hold class folders, each with its split


def unwrap(folder: TreeFolder) -> TreeFolder:
    """The folder inside that is not alone in its folder: most archives have one more folder above."""
    while len(folder.filled) == 1 and len(folder.images) <= _MAX_LOOSE * folder.total:
        (inner,) = folder.filled
        if not inner.filled or split_name(inner.name) == "train":
            break
        folder = inner
    return folder


def without_annotations(folders: Sequence[TreeFolder]) -> list[TreeFolder]:
    """The folders without those that are called like masks, previews and the like."""
    names = [folder.name for folder in folders]
    return [folder for folder in folders if not is_annotation_of(folder.name, names)]


def layout_options(classes: Sequence[ClassFolder], splits: Sequence[str] = (), data: str = "") -> tuple[str, ...]:
    """``--layout`` for class folders below a folder, and folders of splits above them; none if it can't say it."""
    depths = {path.count("/") for path in splits if path}
    above = data.count("/") + 1 if data else 0
    found = {len(row.folder.path.split("/")) - above for row in classes}
    if len(found) != 1 or len(depths) > 1:
        return ()
    levels = ["*"] * (found.pop() - 1)
    if depths:
        levels[depths.pop()] = "split"
    return ("--layout", "/".join([*levels, "class"]))


@dataclass(frozen=True)
class Candidates:
    """Folders that may be classes.

    Attributes:
        bases: The folders that they lie in.
        folders: The folders themselves.
        by_path: Labels are paths, so that folders inside are no question.
        reasons: Why other folders are ignored, by path.
        find: What the folders below one may mean.
    """

    bases: Bases
    folders: list[TreeFolder]
    by_path: bool
    reasons: dict[str, str]
    find: Callable[[TreeFolder], list[Layout]]

    @cached_property
    def names(self) -> set[str]:
        """Of the folders."""
        return {folder.name for folder in self.folders}

    @cached_property
    def inner(self) -> list[list[TreeFolder]]:
        """The folders inside each of them, one level further if a folder is alone, without those of annotations."""
        return [without_annotations(unwrap(kid).filled) for kid in self.folders]

    @property
    def is_flat(self) -> bool:
        """Whether no image lies directly in one of them."""
        return not any(folder.images for folder in self.folders)

    @property
    def has_splits(self) -> bool:
        """Whether they lie in folders of splits."""
        return any(split for _, split in self.bases)

    @cached_property
    def plain(self) -> list[ClassFolder]:
        """Each of them as a class."""
        split_of = {base.path: split for base, split in self.bases}
        return [
            ClassFolder(folder, folder.name, split_of.get(folder.path.rpartition("/")[0], ""))
            for folder in self.folders
        ]

    @cached_property
    def layout(self) -> Layout:
        """Each of them is a class."""
        options = layout_options(self.plain, [base.path for base, _ in self.bases] if self.has_splits else [])
        evidence = Evidence.LIKELY if self.has_splits else Evidence.POSSIBLE
        return Layout(self._describe(), self.plain, evidence, self.reasons, options, by_path=self.by_path)

    def _describe(self) -> str:
        """Where the class folders are."""
        above = {folder.path.rpartition("/")[0] for folder in self.folders}
        shown = [f"{base.path}/" + (f" ({split})" if split else "") for base, split in self.bases if base.path in above]
        text = "class folders" + (f" in {' and '.join(shown)}" if shown != ["/"] else "")
        if any(len(folder.filled) > 1 for folder in self.folders):
            text += "; folders inside a class folder belong to its class (--labels-from-path makes them classes)"
        return text
