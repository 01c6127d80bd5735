"""The kinds of places that images come from. A new one is one file here and one line in ``SOURCES``."""

from __future__ import annotations

from pathlib import Path

from topwork.data.sources.base import FoundImage, Listing, Source, existing_folder
from topwork.data.sources.elpv import ElpvSource
from topwork.data.sources.folder import FolderSource
from topwork.data.sources.stanford_cars import StanfordCarsSource
from topwork.errors import UnknownName

__all__ = ["SOURCES", "FoundImage", "Listing", "Source", "find_source"]

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        ElpvSource(),
        StanfordCarsSource(),
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
