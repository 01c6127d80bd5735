"""Where the bytes of an image are: a source makes the reference, and everything that opens an image takes one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

Box = tuple[int, int, int, int]
_BOX = re.compile(r"#xywh=(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})$")
_URL = re.compile(r"^((?:[a-z][a-z0-9+.-]+::)*)([a-z][a-z0-9+.-]+):/+")  # two letters: C:/ is a drive
_ABSOLUTE = {"file", "local", "hdfs"}  # schemes whose URLs may have a third slash
TAR_SUFFIX, ZIP_SUFFIX = ".tar", ".zip"
_ARCHIVE = re.compile(r"\.(tar|zip)/", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether this is a URL that fsspec may read, also after ``pathlib`` has removed one of its slashes."""
    return bool(_URL.match(text))


def restore_url(text: str) -> str:
    """The URL with both slashes, of which ``str(Path(url))`` has lost one; any other text as it is."""
    found = _URL.match(text)
    if not found:
        return text
    chain, scheme = found.groups()
    slashes = "///" if scheme in _ABSOLUTE else "//"
    return f"{chain}{scheme}:{slashes}{text[found.end() :]}"


def box_suffix(box: Box | None) -> str:
    """A box as a spatial fragment of W3C Media Fragments URI 1.0, ``#xywh=39,116,530,257``; empty for None."""
    if box is None:
        return ""
    if min(box[:2]) < 0 or min(box[2:]) < 1:
        raise ValueError(f"box {box} (left, top, width, height)")
    return f"#xywh={','.join(map(str, box))}"


def without_box(image_id: str) -> str:
    """The id of the file that an image is in."""
    return _BOX.sub("", image_id)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A file in a folder, or a member of a tar or zip file, on this machine or (no zip) at a URL; or a box of it.

    >>> ref = ImageRef.parse("s3://bucket/train-0.tar/ant/12.jpg#xywh=39,116,530,257")
    >>> ref
    ImageRef(store='s3://bucket/train-0.tar', name='ant/12.jpg', box=(39, 116, 530, 257))
    >>> str(ref)
    's3://bucket/train-0.tar/ant/12.jpg#xywh=39,116,530,257'

    Attributes:
        store: A folder or an archive, as a path or a URL; empty if ``name`` is complete.
        name: Path in the store with forward slashes; an absolute path stands alone.
        box: Left, top, width, height in pixels of the upright image; None for all of it.
    """

    store: str
    name: str
    box: Box | None = None

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Self:
        """The reference that a path, a URL or ``str(ref)`` names.

        ``x.tar/1.jpg`` is a member where ``x.tar`` is a file or at a URL (``x.zip``: a file); a folder stays a folder.
        """
        text = restore_url(os.fspath(text))
        found = _BOX.search(text)
        box = None
        if found:
            left, top, width, height = map(int, found.groups())
            text, box = text[: found.start()], (left, top, width, height)
        slashed = text.replace(os.sep, "/")
        for match in _ARCHIVE.finditer(slashed):
            store = slashed[: match.end() - 1]
            if _is_archive(store):
                return cls(store, slashed[match.end() :], box)
        return cls("", text, box)

    @classmethod
    def from_list(cls, value: Sequence[Any]) -> Self:
        """The reference that ``dataclasses.astuple`` and JSON have made a list of."""
        store, name, box = value
        return cls(store, name, tuple(box) if box else None)

    def __str__(self) -> str:
        return self.path + box_suffix(self.box)

    @property
    def path(self) -> str:
        """Store and name as one path or URL, without the box."""
        return f"{self.store}/{self.name}" if is_url(self.store) else os.path.join(self.store, self.name)

    @property
    def suffix(self) -> str:
        """Extension of the file in lower case, e.g. ``".jpg"``."""
        return os.path.splitext(self.name)[1].lower()

    @property
    def in_archive(self) -> bool:
        """Whether the store is a tar or zip file, and not a folder that is called like one."""
        return _is_archive(self.store)


def names_member(path: str) -> bool:
    """Whether a path with forward slashes may lead into an archive."""
    return bool(_ARCHIVE.search(path))


def _is_archive(store: str) -> bool:
    if is_url(store):
        return store.lower().endswith(TAR_SUFFIX)
    return store.lower().endswith((TAR_SUFFIX, ZIP_SUFFIX)) and os.path.isfile(store)
