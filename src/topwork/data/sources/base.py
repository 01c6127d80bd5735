"""What a source of images is: something that lists images with their labels. It opens none of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from topwork.errors import UsageError


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image that a source lists.

    Attributes:
        id: Path relative to the listing's root with forward slashes; unique.
        path: Where the file lies.
        label: Class name.
        part: ``"train"``, ``"val"`` or ``"test"`` where the data come with a split, else empty.
        stratum: What a split keeps in proportion; empty means the label.
    """

    id: str
    path: Path
    label: str
    part: str = ""
    stratum: str = ""


@dataclass(frozen=True)
class Listing:
    """All that a source lists.

    Attributes:
        root: Folder that the ids are relative to.
        name: Short name of the data set.
        images: In any order.
        ignored: What was passed over without being an image of the set: path relative to root, to reason.
        license: Licence of the images if known.
        note: What a reader of the results should know about the protocol.
        test_fraction: Share held out for test if the data come without a test part.
    """

    root: Path
    name: str
    images: tuple[FoundImage, ...]
    ignored: dict[str, str] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    test_fraction: float = 0.2


class Source(Protocol):
    """A kind of place that images come from.

    Attributes:
        name: What ``--source`` calls it.
    """

    name: str

    def recognises(self, path: Path) -> bool:
        """Whether the data argument looks like this kind; must not read images."""
        ...

    def list(self, path: Path) -> Listing:
        """All images there.

        Raises:
            UsageError: There is no such place.
            DataError: It is not of this kind.
            MissingExtra: It needs an optional package.
        """
        ...


def existing_folder(path: Path) -> Path:
    """The absolute path of a folder.

    Raises:
        UsageError: There is no such folder; the message names it.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError):
        is_folder, exists = False, False
    if is_folder:
        return path.absolute()
    what = "is a file, not a folder" if exists else "does not exist"
    raise UsageError(f"{path} {what}. Give a folder that holds one folder of images per class.")
