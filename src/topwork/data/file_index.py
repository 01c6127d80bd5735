"""Finds the images of a tree by what tables call them: ids, paths of other machines, names in another spelling."""

from __future__ import annotations

import difflib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple
from urllib.parse import unquote

from topwork.data.file_tree import suffix_of
from topwork.data.images import SUFFIXES
from topwork.data.name_ends import common_ends

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)", re.IGNORECASE)  # Label Studio's, of an upload
_STEM_SUFFIXES = SUFFIXES | frozenset({
    ".dcm", ".dicom", ".heic", ".heif", ".jp2", ".raw", ".npy", ".mat", ".txt", ".xml", ".json",
})  # fmt: skip
_DECIMALS = re.compile(r"\.0+$")  # of a column of numbers that once had an empty cell
_MANY = 20_000  # names among which the nearest one is searched


class Match(IntEnum):
    """How a name was found, from the surest way on."""

    EXACT = 0
    SPELLING = 1
    TAIL = 2
    STEM = 3
    UPLOAD = 4
    BEGINNING = 5
    NUMBER = 6


HOW = {
    Match.SPELLING: "in another spelling",
    Match.TAIL: "by the end of the path",
    Match.STEM: "by name without extension",
    Match.UPLOAD: "without the prefix of an upload",
    Match.BEGINNING: "by name without the end that all have",
    Match.NUMBER: "by number",
}


class Found(NamedTuple):
    """The images that a text may mean: one, none, or several."""

    paths: tuple[str, ...] = ()
    match: Match = Match.EXACT


class PathGroups:
    """Paths by key; a key that has one, as most have, costs no list."""

    def __init__(self, keys: Iterable[str], paths: Iterable[str]) -> None:
        self._first = first = dict[str, str]()
        self._more = more = dict[str, list[str]]()
        for key, path in zip(keys, paths, strict=True):
            if first.setdefault(key, path) is not path:
                more.setdefault(key, []).append(path)

    @cached_property
    def single(self) -> dict[str, str]:
        """The keys that have one path."""
        more = self._more
        return {key: path for key, path in self._first.items() if key not in more} if more else self._first

    def __contains__(self, key: str) -> bool:
        return key in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def get(self, key: str) -> Sequence[str]:
        """All paths of a key, in order; none if it has none."""
        path = self._first.get(key)
        if path is None:
            return ()
        return (path, *self._more[key]) if key in self._more else (path,)


class FileIndex:
    """Images by path, name, stem and number; each is indexed once, when it is needed.

    Attributes:
        paths: Of the images, with forward slashes, in order.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = dict.fromkeys(paths)

    def __contains__(self, path: str) -> bool:
        return path in self.paths

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def by_name(self) -> PathGroups:
        """Normalized name to paths."""
        return PathGroups((normal(path.rpartition("/")[2]) for path in self.paths), self.paths)

    @cached_property
    def by_stem(self) -> PathGroups:
        """Normalized name without extension to paths."""
        return PathGroups((_stem(normal(path.rpartition("/")[2])) for path in self.paths), self.paths)

    @cached_property
    def by_beginning(self) -> PathGroups:
        """Stem without the end that those of all images share, such as _thumbnail, to paths; empty if there is none."""
        stems = [_stem(normal(path.rpartition("/")[2])) for path in self.paths]
        end = common_ends(stems)[1]
        if not end or stems[0][len(stems[0]) - end].isalnum() or len(stems) < 2:
            return PathGroups((), ())
        return PathGroups((stem[: len(stem) - end] for stem in stems), self.paths)

    @cached_property
    def by_number(self) -> PathGroups:
        """Number that is the whole stem, or all but the text that all have before it, without zeros, to paths."""
        numbered = [(stem, path) for stem in self.by_stem if stem.isdecimal() for path in self.by_stem.get(stem)]
        if not numbered and (start := common_ends(self.by_stem)[0]):
            numbered = [
                (stem[start:], path)
                for stem in self.by_stem
                if stem[start:].isdecimal()
                for path in self.by_stem.get(stem)
            ]
        return PathGroups((stem.lstrip("0") or "0" for stem, _ in numbered), (path for _, path in numbered))

    def find(self, text: str, base: str = "") -> Found:
        """The images that a text may mean; exact paths may be relative to ``base``, the folder of the table."""
        if not base and text in self.paths:
            return Found((text,))
        name = clean(text)
        for path in (posixpath.join(base, name), name) if base else (name,):
            if path[-1:] in "./" or "./" in path or "//" in path:
                path = posixpath.normpath(path)
            if path in self.paths:
                return Found((path,))
        if not name or name == ".":
            return Found()
        parts = normal(unquote(name) if "%" in name else name).strip("/").split("/")
        last = parts[-1]
        if paths := self.by_name.get(last):
            return _nearest(paths, parts, Match.TAIL)
        if paths := self.by_stem.get(last) or self.by_stem.get(_stem(last)):
            return _nearest(paths, parts, Match.STEM)
        if _PREFIX.match(last):
            short = _PREFIX.sub("", last)
            if paths := self.by_name.get(short) or self.by_stem.get(_stem(short)):
                return _nearest(paths, parts, Match.UPLOAD)
        if paths := self.by_beginning.get(last):
            return _nearest(paths, parts, Match.BEGINNING)
        number = _stem(last) if suffix_of(last) in SUFFIXES else _DECIMALS.sub("", last)
        if number.isdecimal() and len(parts) == 1 and (paths := self.by_number.get(number.lstrip("0") or "0")):
            return _nearest(paths, parts, Match.NUMBER)
        return Found()

    def find_plain(self, texts: Iterable[str], base: str = "") -> tuple[list[str], Counter[Match]]:
        """The image of each path that is written as it is and each plain name of one file, else an empty text.

        Finds what ``find`` does, in a fifth of the time. Also returns how they were found, and how often.
        """
        paths, names, stems = self.paths, self.by_name.single, self.by_stem.single
        found, by_stem, spelled, exact = list[str](), 0, 0, 0
        for text in texts:
            path = ""
            if text in paths or (base and f"{base}/{text}" in paths):
                path = "" if base else text
                exact += not base
            elif _PLAIN.fullmatch(text):
                name = text.lower()
                if path := names.get(name, ""):
                    spelled += normal(path) == name
                elif name not in self.by_name and (path := stems.get(name, "")):
                    by_stem += 1
            found.append(path)
        tails = len(found) - found.count("") - exact - spelled - by_stem
        counts = {Match.EXACT: exact, Match.SPELLING: spelled, Match.TAIL: tails, Match.STEM: by_stem}
        return found, Counter({match: count for match, count in counts.items() if count})

    def similar_name(self, text: str) -> str:
        """The image whose name is nearest to a text; empty if there is none."""
        name = normal(clean(text)).rpartition("/")[2]
        pool = self.by_name if len(self) <= _MANY else [key for key in self.by_name if key[:1] == name[:1]][:_MANY]
        near = difflib.get_close_matches(name, pool, n=1, cutoff=0.0)
        return min(self.by_name.get(near[0])) if near else min(self.paths, default="")


def clean(text: str) -> str:
    """A path with forward slashes, without scheme, query, box and blanks around it."""
    text = text.strip().partition("#xywh=")[0].replace("\\", "/")
    if "?d=" in text:  # Label Studio's local files
        text = text.rpartition("?d=")[2]
    if "://" in text:
        text = text.partition("://")[2].partition("?")[0]
    return text


def normal(text: str) -> str:
    """What is equal for two spellings of a name: composed, without case."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).casefold()


def _nearest(paths: Sequence[str], parts: list[str], match: Match) -> Found:
    """Those of some images whose folders agree best with those of a text."""
    if len(paths) == 1:
        same = match == Match.TAIL and normal(paths[0]) == "/".join(parts)
        return Found(tuple(paths), Match.SPELLING if same else match)
    agree = {path: _common(normal(path).split("/")[:-1], parts[:-1]) for path in paths}
    best = [path for path in paths if agree[path] == max(agree.values())]
    if match == Match.TAIL and max(agree.values()) == len(parts) - 1 and len(normal(best[0]).split("/")) == len(parts):
        match = Match.SPELLING
    return Found(tuple(sorted(best)), match)


def _stem(name: str) -> str:
    return name.removesuffix(suffix) if (suffix := suffix_of(name)) in _STEM_SUFFIXES else name


def _common(folders: list[str], others: list[str]) -> int:
    """How many of the last folders of two paths are the same."""
    count = 0
    for one, other in zip(reversed(folders), reversed(others), strict=False):
        if one != other:
            break
        count += 1
    return count
