"""The files in a tar shard, by its headers alone; ``tarfile`` reads those, and hostile ones give a clear error.

A member that is not a plain file with a name of its own is ignored with a reason. A shard that is compressed, truncated
or damaged is refused, because the lost samples cannot be listed.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Self

from topwork.core.errors import DataError

MAX_HEADER_BYTES = 1 << 20  # of an extended header; a name takes a few hundred
MAX_NAMED = 1000  # ignored members of a shard that are listed by name; the rest are counted
MAX_NAME_LENGTH = 1024
_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
)  # fmt: skip
_COMPRESSED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file in an archive.

    Attributes:
        name: Path in it.
        offset: Of the first byte; in a zip archive, of its header.
        size: In bytes.
        packed, method, crc: Size, compression and checksum in a zip archive.
    """

    name: str
    offset: int
    size: int
    packed: int = 0
    method: int = 0
    crc: int = 0


@dataclass
class IgnoredMembers:
    """Name and reason of the first ignored members, and the number of the rest."""

    named: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0

    def add(self, name: str, reason: str) -> None:
        """Add a member."""
        if len(self.named) < MAX_NAMED:
            self.named.append((name, reason))
        else:
            self.more += 1


class _CheckedInfo(tarfile.TarInfo):
    """A header that is checked before ``tarfile`` follows it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Decode a header; refuse one that would mislead ``tarfile`` or fill the memory."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0:
            raise tarfile.TarError("a negative size")
        if info.type in _EXTENDED and info.size > MAX_HEADER_BYTES:
            raise tarfile.TarError(f"an extended header of {info.size:,} bytes")
        return info


def scan(file: IO[bytes], shard: str, ignored: IgnoredMembers) -> Iterator[Member]:
    """The files in a shard, in order; memory does not grow with their number.

    Args:
        file: The shard, opened; the caller may move it in between.
        shard: Its name, for errors.
        ignored: Collects the members that are ignored.

    Raises:
        DataError: The shard is compressed, truncated, damaged or not a tar file.
    """
    start = file.read(8)
    for magic, compression in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(
                f"{shard} is compressed ({compression}), so that single images cannot be read from it. Decompress it "
                "to a plain .tar, which is hardly larger, since images are compressed already."
            )
    size = file.seek(0, 2)
    file.seek(0)
    position = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_CheckedInfo, errorlevel=2) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # pyrefly: ignore[missing-attribute] - it would keep all
                if archive.offset <= position:
                    raise tarfile.TarError("a header that points back")
                position = archive.offset
                name = member.name.removeprefix("./")
                reason = _reason(member, name)
                if reason:
                    ignored.add(name, reason)
                elif member.isreg():
                    if member.offset_data + member.size > size:
                        raise tarfile.TarError(f"{name!r} declares {member.size:,} bytes, more than follow")
                    yield Member(name, member.offset_data, member.size)
            position = archive.offset
            file.seek(position)
            block = file.read(tarfile.BLOCKSIZE)  # tarfile takes a damaged header for the end, a block of zeros
            if len(block) < tarfile.BLOCKSIZE:
                raise tarfile.TarError("no end-of-archive marker, so it may be truncated")
            if any(block):
                raise tarfile.TarError("no header of a tar file")
    except Exception as error:  # tarfile raises nearly everything on damaged headers
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{shard} is damaged at byte {position:,}: {reason}. Copy it again, or leave this shard out."
        ) from error


def _reason(member: tarfile.TarInfo, name: str) -> str:
    """Why a member is ignored; empty for a file, and for a folder, which needs no mention."""
    if member.isdir():
        return ""
    if member.issym() or member.islnk():
        return "a link"
    if member.issparse():
        return "a sparse file"
    return invalid_name(name) if member.isreg() else "special file"


def invalid_name(name: str) -> str:
    """Why a member of this name is ignored; empty if the name is valid."""
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        return "an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "path outside the archive"
    if not name or name.endswith("/") or "\0" in name or "\n" in name or len(name) > MAX_NAME_LENGTH:
        return "invalid file name"
    return ""
