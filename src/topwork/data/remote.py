"""Reading at a URL (``s3://bucket/key``, ``https://...``): the only module that uses fsspec, an optional package.

Nothing here is called for a local file. Each process opens its own connections.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

from topwork.core.errors import MissingDependency, TopworkError, UsageError
from topwork.core.image_ref import is_url

READ_AHEAD = 4 << 20  # bytes per request while images are read sequentially
MAX_GAP = 1 << 20  # bytes between two images that still count as sequential
MAX_ATTEMPTS = 3

T = TypeVar("T")


def _open(url: str) -> tuple[Any, str]:
    """The file system, which fsspec caches per process, and the path in it."""
    if importlib.util.find_spec("fsspec") is None:
        raise MissingDependency(f"The URL {url!r}", "streams")
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise _UnsupportedURL(f"{url} cannot be read: {error}. Install the package, or copy the data here.") from error


class _UnsupportedURL(TopworkError):
    """No installed package reads URLs of this scheme."""

    exit_status = 3


def _with_retries(call: Callable[[], T]) -> T:
    """The result of a call, which is repeated if the network fails for a moment."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return call()
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except Exception as error:  # clients have errors of their own
            if attempt == MAX_ATTEMPTS:
                raise OSError(" ".join(str(error).split())[:200] or type(error).__name__) from error
            time.sleep(0.3 * 3 ** (attempt - 1))
    raise AssertionError


@functools.lru_cache(maxsize=4096)
def _stat(_: int, url: str) -> tuple[int, int]:
    system, path = _open(url)
    info = _with_retries(lambda: system.info(path))
    if info.get("type") == "directory":
        raise IsADirectoryError(21, "Is a directory", url)
    tag = next((str(info[key]) for key in ("ETag", "etag", "md5Hash", "sha256", "LastModified", "mtime", "created",
               "last_modified") if info.get(key)), "")  # fmt: skip
    digest = hashlib.sha256(f"{info.get('size')} {tag}".encode()).digest()
    return int(info.get("size") or 0), int.from_bytes(digest[:6])


def stat(url: str) -> tuple[int, int]:
    """Size in bytes, and a number of 48 bits that changes with the entity tag or the time; requested once per process.

    Raises:
        OSError: It does not exist or cannot be reached.
    """
    return _stat(os.getpid(), url)


class _Window:
    """The bytes of the last request: neighboring images come by one request for many."""

    def __init__(self) -> None:
        self.owner, self.url, self.start, self.data, self.end = 0, "", 0, b"", -1

    def read(self, url: str, offset: int, length: int) -> bytes:
        """A range of bytes; fewer at the end of the file.

        Raises:
            OSError: It cannot be reached, after ``MAX_ATTEMPTS`` attempts.
        """
        own = self.owner == os.getpid() and self.url == url
        if not (own and self.start <= offset and offset + length <= self.start + len(self.data)):
            sequential = own and 0 <= offset - self.end <= MAX_GAP
            system, path = _open(url)
            end = offset + (max(length, READ_AHEAD) if sequential else length)
            self.data = _with_retries(lambda: system.cat_file(path, start=offset, end=end))
            self.owner, self.url, self.start = os.getpid(), url, offset
        self.end = offset + length
        start = offset - self.start
        return self.data[start : start + length]


read = _Window().read


def open_file(url: str) -> IO[bytes]:
    """A file object that reads large blocks and can seek."""
    system, path = _open(url)
    return _with_retries(lambda: system.open(path, "rb", block_size=READ_AHEAD, cache_type="readahead"))


def glob(url: str) -> list[str]:
    """The URLs that match a pattern, or of the files directly in a folder, in order."""
    system, path = _open(url)
    try:
        if any(mark in path for mark in "*?["):
            found = _with_retries(lambda: system.glob(path))
        else:
            found = [entry["name"] for entry in _with_retries(lambda: system.ls(path, detail=True))]
    except OSError as error:
        reason = str(error).strip() or type(error).__name__
        raise UsageError(f"{url} cannot be listed: {reason}. Name the shards: {url}/{{000..099}}.tar") from error
    head = url[: len(url) - len(path)] if url.endswith(path) else f"{url.split(':', 1)[0]}://"
    return sorted(name if is_url(name) else head + name for name in found)
