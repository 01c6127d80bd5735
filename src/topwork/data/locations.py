"""Where the bytes of an image lie. Everything that opens an image by its path comes through here.

    photos/ant/1.jpg                       a file
    shards/train-000000.tar/ant/1.jpg      a member of a tar file: to topwork, a shard is a folder of its members
    s3://bucket/train-000000.tar/1.jpg     the same at an address (``remote``)

A path is taken for a member only where there is no such file, so that a folder named ``x.tar`` stays a folder.
"""

from __future__ import annotations

import os
import re
import stat
import time

from topwork.data import remote
from topwork.data.tar_index import find_member

Stamp = list[int]
_SHARD = re.compile(r"\.tar/", re.IGNORECASE)
_SETTLED_NS = 2_000_000_000  # a file younger than the coarsest clock of a file system may change without showing it


class Refused(ValueError):
    """Something that is not read; the message says why, without the path."""


def split_member(path: str) -> tuple[str, str] | None:
    """A path as the shard and the name in it; None if it is no member of a local shard or one at an address."""
    path = remote.address_of(path).replace(os.sep, "/")
    far = remote.is_address(path)
    for found in _SHARD.finditer(path):
        shard = path[: found.end() - 1]
        if far or os.path.isfile(shard):
            return shard, path[found.end() :]
    return None


def read(path: str, most: int) -> bytes:
    """The bytes of an image; of nothing but regular files and members, since a pipe would block.

    Args:
        path: A file, a member of a shard, or an address.
        most: Bytes that are allowed.

    Raises:
        Refused: It is no regular file, or too big.
        OSError: It cannot be read.
        ValueError: Its name can be none.
        DataError: The shard that it lies in is damaged.
    """
    if remote.is_address(path):
        return _read_far(remote.address_of(path), most)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        member = split_member(path)
        if member is None:
            raise
        return _read_member(*member, most)
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not a regular file")
    _refuse_big(status.st_size, most)
    with open(path, "rb") as file:
        return file.read(most + 1)


def _read_member(shard: str, name: str, most: int) -> bytes:
    with open(shard, "rb") as file:
        offset, length = find_member(shard, _stamp(os.fstat(file.fileno())), name)
        _refuse_big(length, most)
        file.seek(offset)
        return _whole(file.read(length), length)


def _read_far(address: str, most: int) -> bytes:
    member = split_member(address)
    if member is None:
        offset, length, place = 0, remote.facts(address)[0], address
    else:
        place = member[0]
        offset, length = find_member(place, _far_stamp(place), member[1])
    _refuse_big(length, most)
    return _whole(remote.read(place, offset, length), length)


def _refuse_big(size: int, most: int) -> None:
    if size > most:
        raise Refused(f"larger than {most // 2**20} MiB")


def _whole(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise Refused(f"the shard ends {length - len(data):,} bytes before it")
    return data


def _stamp(status: os.stat_result) -> Stamp:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _far_stamp(address: str) -> Stamp:
    return list(remote.facts(address))


def stamp_of(path: str) -> Stamp:
    """What changes when a file, or the shard that a member lies in, does; empty if it cannot be asked.

    Size, times and inode of a file; size and a number for the entity tag of what lies at an address.
    """
    try:
        if remote.is_address(path):
            member = split_member(path)
            return _far_stamp(member[0] if member else remote.address_of(path))
        try:
            return _stamp(os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            member = split_member(path)
            return _stamp(os.stat(member[0])) if member else []
    except (OSError, ValueError):
        return []


def is_settled(stamp: Stamp) -> bool:
    """Whether a later change of the file is sure to change its stamp."""
    return bool(stamp) and time.time_ns() - max(stamp[1:3]) > _SETTLED_NS


def is_there(path: str) -> bool:
    """Whether an image lies there: a file, or a member that its shard has."""
    if not remote.is_address(path) and os.path.isfile(path):
        return True
    member = split_member(path)
    stamp = stamp_of(path)
    if member is None or not stamp:
        return bool(stamp) and remote.is_address(path)
    try:
        find_member(member[0], stamp, member[1])
    except OSError:
        return False
    return True
