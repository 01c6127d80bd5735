"""The kinds of data sets that images are listed from. A new one is one file here and one line in ``SOURCES``."""

from __future__ import annotations

from pathlib import Path

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import UnknownName, UsageError
from topwork.data.sources.base import OnProgress, Source, require_folder
from topwork.data.sources.elpv import ElpvSource
from topwork.data.sources.folder import FolderSource
from topwork.data.sources.hugging_face import HuggingFaceSource
from topwork.data.sources.options import apply_options
from topwork.data.sources.stanford_cars import StanfordCarsSource
from topwork.data.sources.table import TableSource
from topwork.data.sources.webdataset import WebDatasetSource

__all__ = ["SOURCES", "Source", "find_source", "list_images"]

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        ElpvSource(),
        StanfordCarsSource(),
        TableSource(),
        WebDatasetSource(),  # before those that would take a URL for a name
        HuggingFaceSource(),
        FolderSource(),  # last: it matches every folder
    )
}


def find_source(kind: str, data: str) -> Source:
    """The source for a data argument.

    Args:
        kind: A key of ``SOURCES``, or ``"auto"`` for the first one that matches the data.
        data: A path, a URL, or the name of a data set that a package contains.

    Raises:
        UnknownName: No such kind.
        UsageError: No source matches: there is no such folder.
    """
    if kind != "auto":
        if kind not in SOURCES:
            raise UnknownName("source", kind, ["auto", *SOURCES])
        return SOURCES[kind]
    for source in SOURCES.values():
        if source.matches(data):
            return source
    require_folder(Path(data))
    return SOURCES["folder"]


def list_images(config: DataConfig, on_shard: OnProgress = None) -> Manifest:
    """All images of a configuration, before any is opened.

    Raises:
        UnknownName: No such kind of source.
        UsageError: The source does not support an option.
        TopworkError: As ``Source.list``.
    """
    source = find_source(config.source, config.path)
    for option in ("labels_from_path", "crop_to_box", "label_key", "class_names"):
        if getattr(config, option) and option not in source.supported_options:
            able = ", ".join(other.name for other in SOURCES.values() if option in other.supported_options)
            flag = option.replace("_", "-")
            raise UsageError(f"--{flag} is not supported for {config.path} (source {source.name}), only for: {able}.")
    return apply_options(source.list(config, on_shard), config)
