"""Shards by pattern: ``shard-{000000..000099}.tar`` as WebDataset writes it, ``*.tar``, folders, URLs."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

from topwork.core.errors import UsageError
from topwork.core.image_ref import TAR_SUFFIX, is_url, restore_url
from topwork.data import remote

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MAGIC = re.compile(r"[*?\[]")
MAX_SHARDS = 1_000_000


def split_pattern(text: str) -> tuple[str, str]:
    """What exists, which is no pattern whatever its name, and the rest; of a URL all is the rest.

    >>> split_pattern("no such folder/shard-*.tar")
    ('', 'no such folder/shard-*.tar')
    """
    head = "" if is_url(text) else text
    while head and not os.path.lexists(head):
        head = os.path.dirname(head.rstrip(os.sep))
    return head, text[len(head) :]


def find_matches(pattern: str) -> list[str]:
    """The files and folders that match ``*``, ``?``, ``[`` and ``**`` behind what exists, in order of name."""
    head, rest = split_pattern(pattern)
    return sorted(glob.iglob(glob.escape(head) + rest, recursive=True))


def is_pattern(text: str) -> bool:
    """Whether a name expands to several shards."""
    rest = split_pattern(text)[1]
    return TAR_SUFFIX in text and bool(_RANGE.search(rest) or _CHOICE.search(rest) or _MAGIC.search(rest))


def expand(pattern: str) -> Iterator[str]:
    """``a-{00..02}.tar`` as three names, ``a-{train,val}.tar`` as two; a UsageError for more than ``MAX_SHARDS``."""
    number = 1
    for first, last in _RANGE.findall(pattern):
        number *= abs(int(last) - int(first)) + 1
    if number > MAX_SHARDS:
        raise UsageError(f"{pattern} expands to {number:,} shards; the limit is {MAX_SHARDS:,}. Pass a shorter range.")
    yield from _expand(pattern)


def _expand(pattern: str) -> Iterator[str]:
    found = min(filter(None, (_RANGE.search(pattern), _CHOICE.search(pattern))), key=lambda m: m.start(), default=None)
    if found is None:
        yield pattern
        return
    head, tail = pattern[: found.start()], pattern[found.end() :]
    if found.re is _CHOICE:
        words = found.group(1).split(",")
    else:
        first, last = found.groups()
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        step = 1 if int(last) >= int(first) else -1
        words = [str(n).zfill(width) for n in range(int(first), int(last) + step, step)]
    for word in words:
        yield from _expand(f"{head}{word}{tail}")


def shards_of(data: str) -> tuple[str, list[str]]:
    """The folder that shard names are relative to, and all shards that a data argument names, in order.

    Args:
        data: A shard, a folder of shards, or a pattern; local or at a URL.

    Raises:
        UsageError: Nothing matches, or a shard does not exist.
    """
    data = restore_url(data)
    shards: list[str] = []
    head, pattern = split_pattern(data)
    for name in (head + rest for rest in expand(pattern)):
        if is_url(data):
            shards += _find_remote(name)
        elif os.path.isdir(name):
            shards += _find_shards(name)
        elif os.path.isfile(name):
            shards.append(name)
        elif _MAGIC.search(split_pattern(name)[1]):
            shards += filter(os.path.isfile, find_matches(name))
        else:
            raise UsageError(f"{name} does not exist. Pass existing shards, such as 'shard-{{000000..000099}}.tar'.")
    shards = list(dict.fromkeys(shards))
    if not shards:
        raise UsageError(
            f"No shards (*.tar) found for {data}. Check the path, and put a pattern in quotes, such as 'DATA/*.tar'."
        )
    return _folder_of(data, shards), shards


def _find_remote(name: str) -> list[str]:
    if not _MAGIC.search(name) and name.lower().endswith(TAR_SUFFIX):
        return [name]
    return [found for found in remote.glob(name.rstrip("/")) if found.lower().endswith(TAR_SUFFIX)]


def _find_shards(folder: str) -> list[str]:
    found = []
    for parent, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [
            os.path.join(parent, name)
            for name in sorted(files)
            if name.lower().endswith(TAR_SUFFIX) and not name.startswith(".")
        ]
    return found


def _folder_of(data: str, shards: list[str]) -> str:
    if not is_url(data) and os.path.isdir(data):
        return data
    folders = {shard.rpartition("/")[0] if is_url(shard) else os.path.dirname(shard) for shard in shards}
    if len(folders) == 1:
        return folders.pop()
    return restore_url(os.path.commonpath([*folders]))
