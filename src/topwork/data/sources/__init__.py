"""The kinds of places that images come from. A new one is one file here and one line in ``SOURCES``."""

from __future__ import annotations

from pathlib import Path

from topwork.core.errors import UnknownName, UsageError
from topwork.data.sources.base import FoundImage, Listing, Reading, Source, existing_folder
from topwork.data.sources.elpv import ElpvSource
from topwork.data.sources.folder import FolderSource
from topwork.data.sources.hugging_face import HuggingFaceSource
from topwork.data.sources.options import adjust
from topwork.data.sources.stanford_cars import StanfordCarsSource
from topwork.data.sources.table import TableSource
from topwork.data.sources.webdataset import WebDatasetSource

__all__ = ["SOURCES", "FoundImage", "Listing", "Reading", "Source", "find_source", "list_images"]

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        ElpvSource(),
        StanfordCarsSource(),
        TableSource(),
        WebDatasetSource(),  # before those that would take an address for a name
        HuggingFaceSource(),
        FolderSource(),  # last: it recognises every folder
    )
}


def find_source(kind: str, data: str) -> Source:
    """The source for a data argument.

    Args:
        kind: A key of ``SOURCES``, or ``"auto"`` for the first one that recognises the data.
        data: A path, or the name of a data set that a package carries.

    Raises:
        UnknownName: No such kind.
        UsageError: Nothing recognises the data: there is no such folder.
    """
    if kind != "auto":
        if kind not in SOURCES:
            raise UnknownName("source", kind, ["auto", *SOURCES])
        return SOURCES[kind]
    path = Path(data)
    for source in SOURCES.values():
        if source.recognises(path):
            return source
    existing_folder(path)
    return SOURCES["folder"]


def list_images(kind: str, data: str, reading: Reading) -> Listing:
    """All images that a data argument names, read as was asked.

    Raises:
        UnknownName: No such kind of source.
        UsageError: There is no such place, or the source does not know what is asked of it.
        DataError: It is not of this kind, or damaged.
        MissingExtra: It needs an optional package.
    """
    source = find_source(kind, data)
    for option in ("labels_from_path", "crop_to_box", "label_key", "class_names"):
        if getattr(reading, option) and option not in source.knows:
            able = ", ".join(other.name for other in SOURCES.values() if option in other.knows)
            name = option.replace("_", "-")
            raise UsageError(
                f"--{name.replace('_', '-')} is not for {data}, which is read as {source.name}; it is for: {able}."
            )
    return adjust(source.list(Path(data), reading), reading)
