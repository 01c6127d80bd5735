"""What a source of images is: something that lists images with their labels. It opens none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from topwork.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image that a source lists.

    Attributes:
        id: Path relative to the listing's root with forward slashes; unique.
        path: Where the file lies.
        label: Class name.
        part: ``"train"``, ``"val"`` or ``"test"`` where the data come with a split, else empty.
        stratum: What a split keeps in proportion; empty means the label.
        group: Images of one group never stand in two parts of a split made here.
        weight: How much it counts in training.
    """

    id: str
    path: Path
    label: str
    split: str = ""
    stratum: str = ""
    group: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Reading:
    """How a source is read, beyond its usual way. A source refuses what it does not know.

    Attributes:
        labels_from_path: Class names are paths of folders: ``dogs/terrier`` and ``cats/terrier`` are two classes.
        crop_to_box: Of each photograph only the part in its bounding box.
        group_by: A column of a table; ``"folder"``, that of the image; or a regular expression searched in the path of
            each image, whose first parenthesis, or all that it matches, is the group.
        splits: ``"given"``: splits that the data come with are kept; ``"new"``: they are not.
        exclude: A file that names images to exclude, as ``topwork check --write-exclude`` writes it; empty: none.
        label_key: Of shards: what holds the label of a sample: ``cls``, ``txt``, ``json`` or ``json:KEY``; empty: the
            first of them that a sample has.
        class_names: A file with a class name a line, for labels that are numbers; empty: none.
        tell: Called with (shards read, shards in all), for reading the headers of large ones can take long.
    """

    labels_from_path: bool = False
    crop_to_box: bool = False
    group_by: str = ""
    splits: str = "given"
    exclude: str = ""
    label_key: str = ""
    class_names: str = ""
    tell: Callable[[int, int], None] | None = field(default=None, repr=False, compare=False)


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
        grouped: Whether the source has made the groups that were asked for.
    """

    root: Path
    name: str
    images: tuple[FoundImage, ...]
    ignored: dict[str, str] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    test_fraction: float = 0.2
    grouped: bool = False


class Source(Protocol):
    """A kind of place that images come from.

    Attributes:
        name: What ``--source`` calls it.
        knows: The fields of ``Reading`` that only some sources know and this one does.
    """

    name: str
    knows: frozenset[str]

    def recognises(self, path: Path) -> bool:
        """Whether the data argument looks like this kind; must not read images."""
        ...

    def list(self, path: Path, reading: Reading) -> Listing:
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


def boxed(name: str, box: tuple[int, int, int, int]) -> str:
    """The id or path of the part of an image in a box (left, top, width, height); ``images.load_image`` knows it.

    Raises:
        ValueError: The box is no box.
    """
    if min(box[:2]) < 0 or min(box[2:]) < 1:
        raise ValueError(f"box {box} (left, top, width, height)")
    return f"{name}#xywh={','.join(map(str, box))}"
