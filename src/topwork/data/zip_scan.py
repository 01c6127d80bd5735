"""The files in a zip archive, by its directory alone, which ``zipfile`` reads; and the bytes of one of them.

An archive that cannot be read in place (encrypted, or compressed in a rare way) is refused with the command that
unpacks it.
"""

from __future__ import annotations

import bz2
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from topwork.core import commands
from topwork.core.errors import DataError
from topwork.data.tar_scan import IgnoredMembers, Member, invalid_name

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # its signature, and the lengths of the name and the rest
_ENCRYPTED, _UTF8 = 1, 1 << 11  # bits of the flags
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_METHOD_NAMES = {9: "deflate64", zipfile.ZIP_LZMA: "LZMA", 93: "zstd", 95: "xz", 98: "PPMd"}


def scan(file: IO[bytes], archive: str, ignored: IgnoredMembers) -> Iterator[Member]:
    """The files in an archive, in order of their place in it.

    Args:
        file: The archive, opened.
        archive: Its path, for errors.
        ignored: Collects the members that are ignored.

    Raises:
        DataError: It is damaged, or its images are encrypted or compressed in a way that is not read in place.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(file) as opened:
            members = sorted(opened.infolist(), key=lambda member: member.header_offset)
    except Exception as error:  # zipfile raises nearly everything on damaged directories
        reason = str(error) or type(error).__name__
        raise DataError(f"{archive} is damaged: {reason}. Copy or download it again.") from error
    for member in members:
        name = _name(member)
        if member.is_dir():
            continue
        reason = "a link" if stat.S_ISLNK(member.external_attr >> 16) else invalid_name(name)
        if reason:
            ignored.add(name, reason)
            continue
        _check_readable(member, archive, size)
        method = member.compress_type
        yield Member(name, member.header_offset, member.file_size, member.compress_size, method, member.CRC)


def read_member(file: IO[bytes], member: Member) -> bytes:
    """The bytes of a file in an archive.

    Raises:
        ValueError: It is damaged, or unpacks to more than it declares; the message does not name it.
    """
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER.size)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(header.ljust(_LOCAL_HEADER.size, b"\0"))
    file.seek(name_length + extra_length, os.SEEK_CUR)
    data = file.read(member.packed) if signature == b"PK\3\4" else b""
    try:
        if member.method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
        elif member.method == zipfile.ZIP_BZIP2:
            data = bz2.BZ2Decompressor().decompress(data, member.size + 1)
    except (OSError, zlib.error, EOFError) as error:
        raise ValueError("damaged in the archive: its data cannot be unpacked") from error
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise ValueError("damaged in the archive: its checksum differs")
    return data


def _name(member: zipfile.ZipInfo) -> str:
    """The path with forward slashes; UTF-8 that is not marked as such, as macOS writes it, is read as UTF-8."""
    name = member.orig_filename
    if not member.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/").removeprefix("./")


def _check_readable(member: zipfile.ZipInfo, archive: str, size: int) -> None:
    name, method = member.filename, member.compress_type
    if member.header_offset + member.compress_size > size:
        raise DataError(f"{archive} is damaged: it ends before {name!r}. Copy or download it again.")
    problem = "encrypted" if member.flag_bits & _ENCRYPTED else ""
    if method not in _METHODS:
        problem = f"compressed by {_METHOD_NAMES.get(method, f'method {method}')}"
    if problem:
        raise DataError(
            f"{archive} cannot be read in place: {name!r} is {problem}. Unpack it: {commands.unpack(archive)}"
        )
