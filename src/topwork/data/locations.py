"""The bytes, the state and the existence of what an ``ImageRef`` names: a file, or a member of an archive."""

from __future__ import annotations

import os
import stat
import time

from topwork.core.image_ref import ZIP_SUFFIX, ImageRef, is_url
from topwork.data import remote, zip_scan
from topwork.data.archive_index import find_member

Stamp = list[int]
_SETTLED_NS = 2_000_000_000  # a file younger than the coarsest clock of a file system may change without showing it


class NotReadable(ValueError):
    """Something that is not read; the message gives the reason without the path."""


def read_bytes(ref: ImageRef, max_bytes: int) -> bytes:
    """The bytes of an image: of a regular file or a member of an archive only, since a pipe would block.

    Raises:
        NotReadable: It is not a regular file, or has more than ``max_bytes``.
        OSError: It cannot be read.
        ValueError: Its name is not valid, or it is damaged in its archive.
        DataError: Its archive is damaged.
    """
    if ref.in_archive:
        return _read_member(ref.store, ref.name, max_bytes)
    if is_url(ref.path):
        size = remote.stat(ref.path)[0]
        _check_size(size, max_bytes)
        return _check_length(remote.read(ref.path, 0, size), size)
    status = os.stat(ref.path)
    if not stat.S_ISREG(status.st_mode):
        raise NotReadable("not a regular file")
    _check_size(status.st_size, max_bytes)
    with open(ref.path, "rb") as file:
        return file.read(max_bytes + 1)


def _read_member(archive: str, name: str, max_bytes: int) -> bytes:
    if is_url(archive):
        member = find_member(archive, file_stamp(archive), name)
        _check_size(member.size, max_bytes)
        return _check_length(remote.read(archive, member.offset, member.size), member.size)
    with open(archive, "rb") as file:
        member = find_member(archive, _stamp(os.fstat(file.fileno())), name)
        _check_size(max(member.size, member.packed), max_bytes)
        if archive.lower().endswith(ZIP_SUFFIX):
            return zip_scan.read_member(file, member)
        file.seek(member.offset)
        return _check_length(file.read(member.size), member.size)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise NotReadable(f"larger than {max_bytes // 2**20} MiB")


def _check_length(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise NotReadable(f"the last {length - len(data):,} bytes are missing")
    return data


def _stamp(status: os.stat_result) -> Stamp:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def file_stamp(path: str) -> Stamp:
    """Size, times and inode of a file; size and a number for the entity tag of what is at a URL."""
    return list(remote.stat(path)) if is_url(path) else _stamp(os.stat(path))


def stamp_of(ref: ImageRef) -> Stamp:
    """What changes when the file of an image, or its archive, does; empty if that cannot be found out."""
    try:
        return file_stamp(ref.store if ref.in_archive else ref.path)
    except (OSError, ValueError):
        return []


def is_settled(stamp: Stamp) -> bool:
    """Whether a later change of the file is sure to change its stamp."""
    return bool(stamp) and time.time_ns() - max(stamp[1:3]) > _SETTLED_NS


def is_inside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether a path, with all links followed, is in a folder."""
    real, top = os.path.realpath(path), os.path.realpath(folder)
    return real.startswith(os.path.join(top, ""))


def exists(ref: ImageRef) -> bool:
    """Whether the file exists, or the archive and the member in it."""
    if not ref.in_archive:
        return bool(stamp_of(ref)) if is_url(ref.path) else os.path.isfile(ref.path)
    try:
        find_member(ref.store, file_stamp(ref.store), ref.name)
    except (OSError, ValueError):
        return False
    return True
