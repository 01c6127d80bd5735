"""What lies where in a tar shard: made once by reading its headers, kept in the cache, read by offset ever after.

An index is one safetensors file, named by the shard's address, size and times (or entity tag). Its rows are the files
in the shard in order of a hash of their name, so that one is found by bisection; a row takes 41 bytes and its name, and
the content of the small text files (labels) is kept beside it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from topwork.core import run_folders, storage
from topwork.core.errors import DataError, StorageError
from topwork.data import remote
from topwork.data.tar_scan import Member, Passed, scan

_FORMAT = 1
KEPT = (".cls", ".txt", ".json")  # suffixes of small files whose content the index holds
MOST_TEXT = 1 << 14  # bytes of one


class Index:
    """An index, opened.

    Args:
        path: Of its file.

    Attributes:
        facts: ``members``, and ``passed``: names that were passed over, each with the reason.
    """

    def __init__(self, path: Path) -> None:
        import safetensors

        self._file = safetensors.safe_open(path, "np")
        self.facts: dict[str, Any] = json.loads(self._file.metadata()["facts"])
        if self.facts["format"] != _FORMAT:
            raise ValueError("another format")
        self._hashes, self._ends = self._file.get_tensor("hashes"), self._file.get_tensor("name_ends")
        self._names, self._places = self._file.get_slice("names"), self._file.get_slice("places")

    def __len__(self) -> int:
        return len(self._ends)

    def find(self, name: str) -> tuple[int, int]:
        """Offset and length of a file in the shard.

        Raises:
            FileNotFoundError: The shard has no such file.
        """
        wanted = os.fsencode(name)
        key = _hash(wanted)
        row = int(self._hashes.searchsorted(np.uint64(key)))
        while row < len(self) and self._hashes[row] == key:
            if bytes(self._names[int(self._ends[row - 1]) if row else 0 : int(self._ends[row])]) == wanted:
                offset, length = self._places[row : row + 1][0]
                return int(offset), int(length)
            row += 1
        raise FileNotFoundError(2, "the shard has no such file", name)

    def rows(self) -> Iterator[tuple[str, int, bytes | None]]:
        """Name, offset and kept content of every file in the shard, in the order in which they lie there."""
        names, texts = self._file.get_tensor("names").tobytes(), self._file.get_tensor("texts").tobytes()
        offsets = self._file.get_tensor("places")[:, 0]
        order = offsets.argsort()
        columns = (
            _starts(self._ends), self._ends, _starts(text_ends := self._file.get_tensor("text_ends")), text_ends,
            self._file.get_tensor("kept"), offsets,
        )  # fmt: skip
        for start, end, text, text_end, kept, offset in zip(
            *(column[order].tolist() for column in columns), strict=True
        ):
            yield os.fsdecode(names[start:end]), offset, texts[text:text_end] if kept else None

    def is_whole(self) -> bool:
        """Whether it is what was written."""
        return _digest({name: self._file.get_tensor(name) for name in _TENSORS}) == self.facts["digest"]


_TENSORS = ("hashes", "kept", "name_ends", "names", "places", "text_ends", "texts")


def _hash(name: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())


def _starts(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, ends.dtype), ends[:-1]]) if len(ends) else ends


def _digest(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in _TENSORS:
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def find_member(shard: str, stamp: Sequence[int], name: str) -> tuple[int, int]:
    """Offset and length of a file in a shard, whose index is made if there is none.

    Args:
        shard: A path or an address.
        stamp: What tells this state of the shard from others.
        name: In the shard.

    Raises:
        FileNotFoundError: The shard has no such file.
        DataError: It is no tar file, or damaged.
    """
    return _opened(os.path.abspath(shard) if not remote.is_address(shard) else shard, tuple(stamp)).find(name)


@functools.lru_cache(maxsize=256)
def _opened(shard: str, stamp: tuple[int, ...]) -> Index:
    return open_index(shard, stamp)


def open_index(shard: str, stamp: Sequence[int], check: bool = False) -> Index:
    """The index of a shard: the kept one, or a new one.

    Args:
        shard: An absolute path or an address.
        stamp: As for ``find_member``.
        check: Whether to compare the kept one with its SHA-256.

    Raises:
        OSError: The shard cannot be read.
        DataError: It is no tar file, damaged, or the cache cannot be written.
    """
    path = index_path(shard, stamp)
    index = _kept(path, check)
    if index is None:
        tensors, facts = _index(shard)
        _keep(path, tensors, facts)
        index = _kept(path, check)
    if index is None:
        raise DataError(f"The index of {shard} at {path} cannot be read back. Set TOPWORK_CACHE to another folder.")
    return index


def index_path(shard: str, stamp: Sequence[int]) -> Path:
    """Where the index of a shard in this state is kept."""
    key = hashlib.sha256(os.fsencode(f"{shard} {list(stamp)}")).hexdigest()[:32]
    return run_folders.cache_folder() / "shards" / f"{key}.safetensors"


def _kept(path: Path, check: bool) -> Index | None:
    with suppress(Exception):  # whatever is wrong with it, it is simply made anew
        index = Index(path)
        if not check or index.is_whole():
            return index
    return None


def _keep(path: Path, tensors: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    import safetensors.numpy

    facts = {"format": _FORMAT, **facts, "digest": _digest(tensors)}
    try:
        storage.write_bytes(path, safetensors.numpy.save(tensors, {"facts": json.dumps(facts)}))
    except StorageError as error:
        raise DataError(
            f"The index of a shard cannot be kept: {error} Or set TOPWORK_CACHE to another folder."
        ) from error


def _index(shard: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the headers of a shard."""
    passed = Passed()
    builder = _Builder(passed)
    with remote.open_file(shard) if remote.is_address(shard) else open(shard, "rb") as file:
        for member in scan(file, shard, passed):
            builder.add(member, file)
    return builder.tensors(), {"members": len(builder), "passed": passed.named, "more": passed.more}


class _Builder:
    """Collects rows in flat arrays."""

    def __init__(self, passed: Passed) -> None:
        self._passed = passed
        self._places, self._names, self._texts = array("q"), bytearray(), bytearray()
        self._name_ends, self._text_ends, self._has = array("q"), array("q"), bytearray()

    def __len__(self) -> int:
        return len(self._name_ends)

    def add(self, member: Member, file: IO[bytes]) -> None:
        """Take a file of the shard in."""
        text = member.name.lower().endswith(KEPT)
        if text and member.size > MOST_TEXT:
            self._passed.add(member.name, f"a label of more than {MOST_TEXT // 1024} KiB")
            text = False
        self._places.extend((member.offset, member.size))
        self._names += os.fsencode(member.name)
        self._name_ends.append(len(self._names))
        if text:
            file.seek(member.offset)
            self._texts += file.read(member.size)
        self._text_ends.append(len(self._texts))
        self._has.append(text)

    def tensors(self) -> dict[str, np.ndarray]:
        """In order of hash; of equal names the first in the shard."""
        names, texts = bytes(self._names), bytes(self._texts)
        name_ends, text_ends = np.frombuffer(self._name_ends, "i8"), np.frombuffer(self._text_ends, "i8")
        starts, text_starts = _starts(name_ends), _starts(text_ends)
        each = [names[start:end] for start, end in zip(starts.tolist(), name_ends.tolist(), strict=True)]
        hashes = np.array([_hash(name) for name in each], dtype=np.uint64)
        rows: list[int] = []
        for row in hashes.argsort(kind="stable").tolist():
            if _is_among(rows, row, hashes, each):
                self._passed.add(os.fsdecode(each[row]), "its name stands earlier in the shard")
            else:
                rows.append(row)
        order = np.array(rows, dtype=np.int64)
        return {
            "hashes": hashes[order],
            "places": np.frombuffer(self._places, "i8").reshape(-1, 2)[order],
            "names": _bytes(b"".join(each[row] for row in rows)),
            "name_ends": np.cumsum((name_ends - starts)[order]),
            "texts": _bytes(b"".join(texts[text_starts[row] : text_ends[row]] for row in rows)),
            "text_ends": np.cumsum((text_ends - text_starts)[order]),
            "kept": _bytes(bytes(self._has))[order],
        }


def _is_among(rows: list[int], row: int, hashes: np.ndarray, names: list[bytes]) -> bool:
    """Whether the last of the rows, those of equal hash, have one of this row's name."""
    for other in reversed(rows):
        if hashes[other] != hashes[row]:
            return False
        if names[other] == names[row]:
            return True
    return False


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)
