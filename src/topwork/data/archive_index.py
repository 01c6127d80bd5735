"""The index of a tar shard or a zip archive: an sqlite3 table of its members, made once and kept in the cache.

It is found by the archive's path or URL, size and times (or entity tag), and opened read-only, by any number of
processes. The content of small text files, the labels, is in it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple
from pathlib import Path

from topwork.core import run_folders, storage
from topwork.core.errors import DataError, StorageError
from topwork.core.image_ref import ZIP_SUFFIX, is_url
from topwork.data import remote, zip_scan
from topwork.data.tar_scan import IgnoredMembers, Member, scan

_FORMAT = 3
LABEL_SUFFIXES = (".cls", ".txt", ".json")
MAX_LABEL_BYTES = 1 << 14
_SCHEMA = """
CREATE TABLE member (
  name BLOB PRIMARY KEY, offset INTEGER, size INTEGER, packed INTEGER, method INTEGER, crc INTEGER, text BLOB
) WITHOUT ROWID;
CREATE TABLE facts (format INTEGER, ignored TEXT, more_ignored INTEGER, digest TEXT);
"""


class Index:
    """An open index; opening a file that is damaged or of another format raises an error.

    Attributes:
        ignored: Names of members that are ignored, each with the reason.
        more_ignored: How many more there are.
    """

    def __init__(self, path: Path) -> None:
        # Its one user per process may be any thread: SQLite serializes them, and an immutable file takes no locks.
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        self._table = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            form, ignored, self.more_ignored, self._digest = self._table.execute("SELECT * FROM facts").fetchone()
            if form != _FORMAT:
                raise ValueError(f"format {form}")
            self.ignored: list[tuple[str, str]] = [tuple(pair) for pair in json.loads(ignored)]
        except BaseException:
            self._table.close()
            raise

    def __del__(self) -> None:
        if hasattr(self, "_table"):
            self._table.close()

    def find(self, name: str) -> Member:
        """Where a file is in the archive.

        Raises:
            FileNotFoundError: The shard has no such file.
            DataError: The index is damaged.
        """
        try:
            question = "SELECT offset, size, packed, method, crc FROM member WHERE name = ?"
            row = self._table.execute(question, (os.fsencode(name),)).fetchone()
        except sqlite3.Error as error:
            raise DataError(
                f"The cached index of the archive with {name!r} is damaged: {error}. Run the command again."
            ) from error
        if row is None:
            raise FileNotFoundError(2, "the archive has no such file", name)
        return Member(name, *row)

    def rows(self) -> Iterator[tuple[str, int, bytes | None]]:
        """Name, offset and label text of every file, in the order of the shard."""
        for name, offset, text in self._table.execute("SELECT name, offset, text FROM member ORDER BY offset"):
            yield os.fsdecode(name), offset, text

    def is_intact(self) -> bool:
        """Whether the table is what was written."""
        return _digest(self._table) == self._digest


def _digest(table: sqlite3.Connection) -> str:
    digest = hashlib.sha256()
    for row in table.execute("SELECT * FROM member ORDER BY name"):
        digest.update(repr(row).encode())
    return digest.hexdigest()


def find_member(shard: str, stamp: Sequence[int], name: str) -> Member:
    """Where a file is in an archive, whose index is made if there is none.

    Raises:
        FileNotFoundError: The archive has no such file.
        DataError: It is not a tar or zip file, or damaged.
    """
    shard = shard if is_url(shard) else os.path.abspath(shard)
    return _opened(shard, tuple(stamp), os.getpid()).find(name)  # a connection must not be used after a fork


@functools.lru_cache(maxsize=256)
def _opened(shard: str, stamp: tuple[int, ...], _: int) -> Index:
    return open_index(shard, stamp)


def open_index(shard: str, stamp: Sequence[int], check: bool = False) -> Index:
    """The index of a shard, from the cache or made now.

    Args:
        shard: An absolute path or a URL.
        stamp: As of ``locations.file_stamp``.
        check: Whether to compare the cached table with its digest.

    Raises:
        OSError: The shard cannot be read.
        DataError: It is not a tar file, it is damaged, or the cache cannot be written.
    """
    path = index_path(shard, stamp)
    index = _cached(path, check)
    if index is None:
        try:
            storage.write_bytes(path, _build(shard))
        except StorageError as error:
            raise DataError(
                f"The index of {shard} cannot be written: {error} Or set TOPWORK_CACHE to another folder."
            ) from error
        index = _cached(path, check)
    if index is None:
        raise DataError(
            f"The index of {shard} was written to {path}, but cannot be read. Set TOPWORK_CACHE to another folder."
        )
    return index


def index_path(shard: str, stamp: Sequence[int]) -> Path:
    """Where the index of a shard in this state is cached."""
    key = hashlib.sha256(os.fsencode(f"{shard} {list(stamp)}")).hexdigest()[:32]
    return run_folders.cache_folder() / "shards" / f"{key}.sqlite3"


def _cached(path: Path, check: bool) -> Index | None:
    with suppress(Exception):  # whatever is wrong with it, it is made again
        index = Index(path)
        if not check or index.is_intact():
            return index
    return None


def _build(shard: str) -> bytes:
    """The database with the members of a shard; of equal names the first counts."""
    ignored = IgnoredMembers()
    with (
        closing(sqlite3.connect(":memory:")) as table,
        remote.open_file(shard) if is_url(shard) else open(shard, "rb") as file,
    ):
        table.executescript(_SCHEMA)
        is_zip = shard.lower().endswith(ZIP_SUFFIX)
        for member in zip_scan.scan(file, shard, ignored) if is_zip else scan(file, shard, ignored):
            text = None
            if member.name.lower().endswith(LABEL_SUFFIXES):
                if member.size > MAX_LABEL_BYTES and not is_zip:
                    ignored.add(member.name, f"a label of more than {MAX_LABEL_BYTES // 1024} KiB")
                elif not is_zip:  # shards alone have labels in files
                    file.seek(member.offset)
                    text = file.read(member.size)
            row = (os.fsencode(member.name), *astuple(member)[1:], text)
            if not table.execute("INSERT OR IGNORE INTO member VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
                ignored.add(member.name, "duplicate name in the shard")
        facts = (_FORMAT, json.dumps(ignored.named), ignored.more, _digest(table))
        table.execute("INSERT INTO facts VALUES (?, ?, ?, ?)", facts)
        table.commit()
        return table.serialize()
