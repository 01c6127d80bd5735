"""Reading at an address (``s3://bucket/key``, ``https://...``): the only place that knows fsspec, an optional package.

Nothing here is called for a file of this machine. Each process opens its own connections.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

from topwork.core.errors import MissingDependency, TopworkError, UsageError

_ADDRESS = re.compile(r"^((?:[a-z][a-z0-9+.-]+::)*)([a-z][a-z0-9+.-]+):/+")  # two letters: C:/ is a drive
_ABSOLUTE = {"file", "local", "hdfs"}  # whose addresses may go on with a third slash
AHEAD = 4 << 20  # bytes read at once where images are read one after the other
NEAR = 1 << 20  # bytes that may lie between two images of such a row
TRIES = 3

T = TypeVar("T")


def is_address(text: str) -> bool:
    """Whether this names something that fsspec reads, also after ``pathlib`` has taken one of its slashes."""
    return bool(_ADDRESS.match(text))


def address_of(text: str) -> str:
    """The address with both slashes, as ``str(Path(address))`` has lost one."""
    found = _ADDRESS.match(text)
    if not found:
        return text
    chain, scheme = found.groups()
    slashes = "///" if scheme in _ABSOLUTE else "//"
    return f"{chain}{scheme}:{slashes}{text[found.end() :]}"


def _open(address: str) -> tuple[Any, str]:
    """The file system, which fsspec keeps for each process, and the path in it."""
    if importlib.util.find_spec("fsspec") is None:
        raise MissingDependency(f"The address {address!r}", "streams")
    import fsspec

    try:
        return fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise _NoReader(f"{address} cannot be read: {error}. Install what it names, or copy the data here.") from error


class _NoReader(TopworkError):
    """No package that reads such addresses is installed, or there is none."""

    exit_status = 3


def _again(call: Callable[[], T]) -> T:
    """What a call gives; a network that fails for a moment is asked again."""
    for attempt in range(1, TRIES + 1):
        try:
            return call()
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except Exception as error:  # clients have errors of their own
            if attempt == TRIES:
                raise OSError(" ".join(str(error).split())[:200] or type(error).__name__) from error
            time.sleep(0.3 * 3 ** (attempt - 1))
    raise AssertionError


@functools.lru_cache(maxsize=4096)
def _facts(_: int, address: str) -> tuple[int, int]:
    system, path = _open(address)
    found = _again(lambda: system.info(path))
    if found.get("type") == "directory":
        raise IsADirectoryError(21, "Is a directory", address)
    tag = next((str(found[key]) for key in ("ETag", "etag", "md5Hash", "sha256", "LastModified", "mtime", "created",
               "last_modified") if found.get(key)), "")  # fmt: skip
    digest = hashlib.sha256(f"{found.get('size')} {tag}".encode()).digest()
    return int(found.get("size") or 0), int.from_bytes(digest[:6])


def facts(address: str) -> tuple[int, int]:
    """Size in bytes, and a number of 48 bits that changes with the entity tag or the time; asked once a process.

    Raises:
        OSError: It is not there or cannot be reached.
    """
    return _facts(os.getpid(), address)


class _Window:
    """The last bytes that were read: images that lie one after the other come by one request for many."""

    def __init__(self) -> None:
        self.owner, self.address, self.start, self.data, self.end = 0, "", 0, b"", -1

    def read(self, address: str, offset: int, length: int) -> bytes:
        own = self.owner == os.getpid() and self.address == address
        if not (own and self.start <= offset and offset + length <= self.start + len(self.data)):
            row = own and 0 <= offset - self.end <= NEAR
            system, path = _open(address)
            end = offset + (max(length, AHEAD) if row else length)
            self.data = _again(lambda: system.cat_file(path, start=offset, end=end))
            self.owner, self.address, self.start = os.getpid(), address, offset
        self.end = offset + length
        at = offset - self.start
        return self.data[at : at + length]


_WINDOW = _Window()


def read(address: str, offset: int, length: int) -> bytes:
    """A range of what lies at an address; shorter at its end.

    Raises:
        OSError: It cannot be reached, after three tries.
    """
    return _WINDOW.read(address, offset, length)


def open_file(address: str) -> IO[bytes]:
    """A file object that reads large pieces and can seek.

    Raises:
        OSError: It is not there.
    """
    system, path = _open(address)
    return _again(lambda: system.open(path, "rb", block_size=AHEAD, cache_type="readahead"))


def matching(address: str) -> list[str]:
    """The addresses that match a pattern, or of the files right inside a folder, in order.

    Raises:
        UsageError: Its place cannot be listed.
    """
    system, path = _open(address)
    try:
        if any(mark in path for mark in "*?["):
            found = _again(lambda: system.glob(path))
        else:
            found = [entry["name"] for entry in _again(lambda: system.ls(path, detail=True))]
    except OSError as error:
        reason = str(error).strip() or type(error).__name__
        raise UsageError(
            f"{address} cannot be listed: {reason}. Name the shards: {address}/{{000..099}}.tar"
        ) from error
    head = address[: len(address) - len(path)] if address.endswith(path) else f"{address.split(':', 1)[0]}://"
    return sorted(name if is_address(name) else head + name for name in found)
