"""What a source of images is: something that lists images with their labels. It opens none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from topwork.core.errors import UsageError
from topwork.core.image_ref import ImageRef

SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders, shards, columns and data sets call the splits, in lower case."""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image that a source lists.

    Attributes:
        id: Path relative to the listing's root with forward slashes; unique.
        ref: Where its bytes are.
        label: Class name.
        split: ``"train"``, ``"val"`` or ``"test"`` where the data come with a split, else empty.
        stratum: What a split keeps in proportion; empty means the label.
        group: Images of one group are never in two splits made here.
        weight: How much it counts in training.
    """

    id: str
    ref: ImageRef
    label: str
    split: str = ""
    stratum: str = ""
    group: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class SourceOptions:
    """Options of a source, as in ``DataConfig``. A source refuses those that it does not support.

    Attributes:
        on_shard: Called with (shards read, total), since reading the headers of large shards can take long.
    """

    labels_from_path: bool = False
    crop_to_box: bool = False
    group_by: str = ""
    splits: str = "given"
    exclude: str = ""
    label_key: str = ""
    class_names: str = ""
    on_shard: Callable[[int, int], None] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ImageListing:
    """All that a source lists.

    Attributes:
        root: Folder that the ids are relative to.
        name: Short name of the data set.
        images: In any order.
        ignored: Path relative to root of what is not an image of the set, and the reason.
        license: License of the images if known.
        note: What a reader of the results should know about the protocol.
        test_fraction: Share held out for testing if the data come without a test set.
        has_groups: Whether the source has made the requested groups.
    """

    root: Path
    name: str
    images: tuple[ListedImage, ...]
    ignored: dict[str, str] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    test_fraction: float = 0.2
    has_groups: bool = False

    @property
    def refs(self) -> dict[str, ImageRef]:
        """Image id to where its bytes are."""
        return {image.id: image.ref for image in self.images}


class Source(Protocol):
    """A kind of data set.

    Attributes:
        name: What ``--source`` calls it.
        supported_options: The fields of ``SourceOptions`` that only some sources support and this one does.
    """

    name: str
    supported_options: frozenset[str]

    def matches(self, data: str) -> bool:
        """Whether the data argument looks like this kind; must not read images."""
        ...

    def list(self, data: str, options: SourceOptions) -> ImageListing:
        """All images.

        Raises:
            UsageError: It does not exist.
            DataError: It is not of this kind.
            MissingDependency: It needs an optional package.
        """
        ...


def require_folder(path: Path) -> Path:
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
    problem = "is a file, not a folder" if exists else "does not exist"
    raise UsageError(f"{path} {problem}. Pass a folder that holds one folder of images per class.")
