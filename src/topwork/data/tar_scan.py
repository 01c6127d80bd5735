"""The files in a tar shard, by its headers alone; Python's ``tarfile`` reads those. A hostile shard gets a clear word.

A member that is no plain file with a name of its own is passed over with a reason. A shard that is compressed, cut or
damaged is refused whole: what of it would be lost can't be named.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Self

from topwork.core.errors import DataError

MOST_HEADER = 1 << 20  # bytes of an extended header; a name takes a few hundred
NAMED = 1000  # members of a shard that are passed over by name, the rest by number
_BLOCK = tarfile.BLOCKSIZE
_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
)  # fmt: skip
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file in a shard: its bytes are ``offset`` to ``offset + size``."""

    name: str
    offset: int
    size: int


@dataclass
class Passed:
    """Members that were passed over: name and reason of the first, and the number of the rest."""

    named: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0

    def add(self, name: str, reason: str) -> None:
        """One more."""
        if len(self.named) < NAMED:
            self.named.append((name, reason))
        else:
            self.more += 1


class _Damaged(tarfile.TarError):
    """A header that would mislead ``tarfile``, or fill the memory."""


class _Info(tarfile.TarInfo):
    """A header, looked at before it is followed."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """What the bytes of a header say.

        Raises:
            _Damaged: They would mislead.
        """
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0:
            raise _Damaged("a negative size")
        if info.type in _EXTENDED and info.size > MOST_HEADER:
            raise _Damaged(f"an extended header of {info.size:,} bytes")
        return info


def scan(file: IO[bytes], shard: str, passed: Passed) -> Iterator[Member]:
    """The files in a shard, in order; memory does not grow with their number.

    Args:
        file: The shard, opened; the reader may move it in between.
        shard: Its name, for errors.
        passed: What is passed over goes here.

    Raises:
        DataError: The shard is compressed, cut, damaged or no tar file.
    """
    _refuse_compressed(file, shard)
    size = file.seek(0, 2)
    file.seek(0)
    at = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Info, errorlevel=2) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # pyrefly: ignore[missing-attribute] - it would keep all
                if archive.offset <= at:
                    raise _Damaged("a header that leads back")
                at = archive.offset
                name = member.name.removeprefix("./")
                reason = _reason(member, name)
                if reason:
                    passed.add(name, reason)
                elif member.isreg():
                    if member.offset_data + member.size > size:
                        raise _Damaged(f"{name!r} declares {member.size:,} bytes, more than follow")
                    yield Member(name, member.offset_data, member.size)
            at = archive.offset
    except DataError:
        raise
    except Exception as error:  # tarfile raises nearly everything on damaged headers
        raise DataError(_damaged(shard, at, str(error) or type(error).__name__)) from error
    _refuse_without_end(file, shard, at, size)


def _reason(member: tarfile.TarInfo, name: str) -> str:
    """Why a member is passed over; empty for a file, and for a folder, which is nobody's loss."""
    if member.isdir():
        return ""
    if member.issym() or member.islnk():
        return "a link"
    if member.issparse():
        return "a sparse file"
    if not member.isreg():
        return "neither file nor folder"
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        return "an absolute name"
    if ".." in name.replace("\\", "/").split("/"):
        return "a name that leads out of the shard"
    if not name or name.endswith("/") or "\0" in name or "\n" in name or len(name) > 1024:
        return "a name that can be none"
    return ""


def _refuse_compressed(file: IO[bytes], shard: str) -> None:
    start = file.read(8)
    kind = next((kind for mark, kind in _COMPRESSED.items() if start.startswith(mark)), "")
    if kind:
        raise DataError(
            f"{shard} is compressed ({kind}): images in it cannot be read by their place. Unpack it to a plain .tar, "
            "which is hardly larger: images are compressed already."
        )


def _refuse_without_end(file: IO[bytes], shard: str, at: int, size: int) -> None:
    """``tarfile`` takes a damaged header for the end; a real end is a block of zeros."""
    file.seek(at)
    block = file.read(_BLOCK)
    if len(block) < _BLOCK:
        raise DataError(_damaged(shard, at, "no end mark, so it may be cut"))
    if block.count(0) < _BLOCK:
        raise DataError(_damaged(shard, at, "no header of a tar file"))


def _damaged(shard: str, at: int, reason: str) -> str:
    return f"{shard} is damaged at byte {at:,}: {reason}. Copy it again, or name the other shards only."
