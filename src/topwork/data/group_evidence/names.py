"""Groups in the names of files and folders: ``p012_lesion3_004.png``, ``r02c03f04.tif``, ``class/patient7/1.jpg``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from topwork.core.image_ref import without_box
from topwork.data.split_words import split_of

FOLDER = "folder"  # what ``--group-by`` calls the folder that an image is in
_MAX_FIELDS, _MAX_LEVELS = 5, 6
_SEPARATED = r"[^/_ .-]+"  # a field of a name
_BETWEEN = r"[_ .-]+"
_MIN_COVERED = 0.5  # share of images that a grouping puts into groups of several
_MAX_GROUP_SHARE = 1 / 3  # of all images
_MIN_CODED = 0.9  # share of images whose group has a digit in its name
_MANY_WORDS, _MAX_WORD_GROUP = 20, 30  # groups without digits: surnames, not subjects


@dataclass(frozen=True)
class Partition:
    """A way to group images.

    Attributes:
        evidence: What shows it, a few words.
        pattern: The value of ``--group-by`` that makes it; empty if there is none.
        groups: Group of each image, int64 (N,); -1: in none.
        names: Of the groups.
    """

    evidence: str
    pattern: str
    groups: np.ndarray
    names: tuple[str, ...] = ()


def partitions_by_name(ids: Sequence[str], labels: np.ndarray) -> list[Partition]:
    """The ways to group images by their paths that differ, each by its shortest pattern.

    Args:
        ids: Paths of the images, with a box or without.
        labels: Class indices, int (N,).
    """
    found: dict[bytes, Partition] = {}
    depths = [name.count("/") for name in ids]
    for evidence, pattern in _patterns(min(depths), max(depths)):
        compiled = re.compile("^(.+)/" if pattern == FOLDER else pattern)
        matches = [compiled.search(name) for name in ids]
        names = [match[1] if match else "" for match in matches]
        partition = make_partition(evidence, pattern, names)
        if is_plausible(partition, labels) and _is_coded(partition):
            found.setdefault(partition.groups.tobytes(), partition)
    return list(found.values())


def make_partition(evidence: str, pattern: str, names: Sequence[str]) -> Partition:
    """The partition of images by the name of the group of each; an empty name is in none."""
    number: dict[str, int] = {}
    groups = np.array([number.setdefault(name, len(number)) if name else -1 for name in names], dtype=np.int64)
    return Partition(evidence, pattern, groups, tuple(number))


def is_plausible(partition: Partition, labels: np.ndarray) -> bool:
    """Whether most images are in groups of several, none in a very large one, and a class has several groups."""
    grouped = partition.groups >= 0
    sizes = np.bincount(partition.groups[grouped], minlength=1)
    several = grouped & (sizes[partition.groups] > 1)
    if several.mean() < _MIN_COVERED or sizes.max() > _MAX_GROUP_SHARE * len(labels):
        return False
    pairs = np.unique(np.stack([labels[several], partition.groups[several]]), axis=1)
    return bool((np.bincount(pairs[0]) > 1).any())


def _patterns(min_depth: int, depth: int) -> Iterator[tuple[str, str]]:
    """What a pattern shows, and the pattern; simple ones first."""
    if min_depth > 0:
        yield "names of folders", FOLDER
    for level in range(min(depth, _MAX_LEVELS)):
        yield "names of folders", f"^{'[^/]+/' * level}([^/]+)/"
    for count in range(1, _MAX_FIELDS):
        start = _BETWEEN.join([_SEPARATED] * count)
        yield "names of files that begin alike", f"(?:^|/)({start}){_BETWEEN}[^/]*[.][^/.]*$"
        if depth:
            yield "names of files that begin alike", f"^((?:.*/)?{start}){_BETWEEN}[^/]*[.][^/.]*$"
    for count in range(1, _MAX_FIELDS):
        before = f"{_SEPARATED}{_BETWEEN}" * count
        yield "a part of the names of files", f"(?:^|/){before}({_SEPARATED})(?:{_BETWEEN}[^/]*)?[.][^/.]*$"
    for count in range(1, 4):
        start = r"[^/\d]*\d+" + r"[^/\d]+\d+" * (count - 1)
        yield "names of files that begin alike", rf"(?:^|/)({start})[^/\d.][^/]*[.][^/.]*$"


def _is_coded(partition: Partition) -> bool:
    """Whether its groups are numbered, or many and small; words are often subjects, and splits are no groups."""
    if len(split_of(partition.names)) == len(partition.names):
        return False
    sizes = Counter(partition.groups.tolist())
    coded = sum(sizes[number] for number, name in enumerate(partition.names) if re.search(r"\d", name))
    groups = [size for number, size in sizes.items() if number >= 0]
    few = np.median(groups) <= _MAX_WORD_GROUP and len(groups) >= _MANY_WORDS
    return coded >= _MIN_CODED * sum(groups) or bool(few)


def natural_order(names: Sequence[str]) -> np.ndarray:
    """Positions of names in order, numbers in them by their value, int64 (N,)."""
    keys = [natural_key(name) for name in names]
    return np.array(sorted(range(len(names)), key=keys.__getitem__), dtype=np.int64)


def natural_key(name: str) -> list[str | int]:
    """What names are sorted by if numbers in them count by their value."""
    parts = re.split(r"(\d+)", name)  # every second one is a number
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def orders_by_name(ids: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Orders of the images that their names show, each with the block of each image within which it is one.

    By path, folder by folder; and by the name of the file alone if names are not used in several folders, as when the
    images of a camera were sorted into folders of classes.
    """
    paths = [without_box(name) for name in ids]
    folders = [path.rpartition("/")[0] for path in paths]
    files = [path.rpartition("/")[2] for path in paths]
    blocks = np.unique(folders, return_inverse=True)[1]
    orders = [(natural_order(ids), blocks)]
    if len(set(folders)) > 1 and len(set(files)) == len(set(paths)):
        orders.append((natural_order(files), np.zeros(len(ids), dtype=np.int64)))
    return orders
