"""What a source of images is: something that lists images with their labels. It opens none of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from topwork.core.config import DataConfig
from topwork.core.errors import UsageError
from topwork.core.progress import Progress
from topwork.data.archive_tree import read_tree
from topwork.data.file_tree import FileTree
from topwork.data.sources.reading import Reading, Refused

SILENT = Progress(quiet=True)


@dataclass(frozen=True)
class DataArgument:
    """The data argument of a command, with its options, as the sources look at it.

    Attributes:
        config: Its path and options.
        progress: Progress output: reading the headers of large shards can take long.
        labeled: Whether to list labeled images only; ``predict`` needs no labels.
    """

    config: DataConfig
    progress: Progress = SILENT
    labeled: bool = True

    @property
    def path(self) -> str:
        """As it was given."""
        return self.config.path

    @cached_property
    def tree(self) -> FileTree | None:
        """What a folder, a zip or a tar file holds; None if the argument is anything else, or tar shards."""
        return read_tree(self.path)

    def is_explicit(self, source: str) -> bool:
        """Whether ``--source`` names this source."""
        return self.config.source == source


class Source(Protocol):
    """A kind of data set.

    Attributes:
        name: What ``--source`` calls it.
        supported_options: The settings that only some sources support and this one does.
    """

    name: str
    supported_options: frozenset[str]

    def readings(self, data: DataArgument) -> Iterable[Reading | Refused]:
        """The ways in which it can read the data; none if they are not of its kind. Opens no image.

        To list the images of a reading may raise a UsageError (an option is not valid), a DataError (the data are
        damaged) or a MissingDependency.
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
    if exists:
        raise UsageError(f"{path} is a file, not a folder. Pass a folder that holds one folder of images per class.")
    raise UsageError(f"{path} does not exist. Pass a folder that holds one folder of images per class.")
