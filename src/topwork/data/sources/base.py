"""What a source of images is: something that lists images with their labels. It opens none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import UsageError
from topwork.core.progress import Progress

SILENT = Progress(quiet=True)

SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders, shards, columns and data sets call the splits, in lower case."""


class Source(Protocol):
    """A kind of data set.

    Attributes:
        name: What ``--source`` calls it.
        supported_options: The settings that only some sources support and this one does.
    """

    name: str
    supported_options: frozenset[str]

    def matches(self, data: str) -> bool:
        """Whether the data argument looks like this kind; must not read images."""
        ...

    def list(self, config: DataConfig, progress: Progress = SILENT) -> Manifest:
        """All images with their labels and, if the data come with any, splits and groups.

        Args:
            config: Its path and options.
            progress: Progress output: reading the headers of large shards can take long.

        Raises:
            UsageError: The data do not exist, or an option is not valid.
            DataError: They are not of this kind, or damaged.
            MissingDependency: They need an optional package.
        """
        ...


def require_folder(path: Path) -> Path:
    """The absolute path of a folder; a UsageError that names it if there is no such folder."""
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError):
        is_folder, exists = False, False
    if is_folder:
        return path.absolute()
    problem = "is a file, not a folder" if exists else "does not exist"
    raise UsageError(f"{path} {problem}. Pass a folder that holds one folder of images per class.")
