"""Folders beside each other that are no classes: pairs of images with the same names, and several data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from math import gcd, prod

from topwork.data.file_tree import TreeFolder, stem_of
from topwork.data.name_ends import common_ends
from topwork.data.sources.class_folders import Candidates, ClassFolder, Layout
from topwork.data.split_words import is_images, split_of, words

_SAME = 0.9  # of the names
_MIN_PAIRS = 5  # in one folder
_MAX_SIDES = 3  # more folders with the same names are the same things in several classes
_HEAD = 20
_MAX_BESIDE = 8
_MAX_FORMS = 3  # of names that are the same but for their numbers; more if each form has several names
_PER_FORM = 4
_DENSE = 0.5  # of the numbers in the range of a counter are used
_SIDES = frozenset(
    word
    for line in (
        "hr lr sr highres lowres high low res resolution clean noisy noise input inputs output outputs target targets",
        "source reference ref hazy haze clear rain rainy derained blur blurred blurry sharp degraded restored enhanced",
        "original raw edited photo sketch edges edge rgb depth nir ir infrared thermal visible vis gray grayscale",
        "color colour resized cropped processed augmented a b x y before after gt mask masks label labels bicubic",
    )
    for word in line.split()
)


def paired(found: Candidates) -> list[Layout] | None:
    """Two or three folders whose images have the same names: the input and the target of a network, two cameras."""
    options = _with_splits_inside(found)
    if found.by_path or not options:
        return None
    problem = pair_problem(found.plain)
    return [replace(found.layout, problem=problem, options=options)] if problem else None


def pair_problem(classes: Sequence[ClassFolder]) -> str:
    """What speaks against it that folders are classes, namely equal names of their images; empty if nothing does."""
    if not 2 <= len({row.label for row in classes}) <= _MAX_SIDES:
        return ""
    sides: dict[str, dict[tuple[str, str], TreeFolder]] = {}
    for row in classes:
        inside = [folder for folder in row.folder.walk() if folder is not row.folder and folder.images]
        if inside and len(split_of(folder.name for folder in row.folder.filled)) < len(row.folder.filled):
            return ""
        places = {(row.split, folder.path[len(row.folder.path) :]): folder for folder in [row.folder, *inside]}
        sides.setdefault(row.label, {}).update({place: folder for place, folder in places.items() if folder.images})
    if max(len(folder.images) for side in sides.values() for folder in side.values()) < _MIN_PAIRS:
        return ""
    plain = [_plain_names(side) for side in sides.values()]
    if not all(_agree(one, other) for one, other in combinations(plain, 2)):
        return ""
    counters = all(_are_counters(_plain_stems(folder)) for folder in next(iter(sides.values())).values())
    if not _are_named(sides) and not any(map(is_images, sides)) and (counters or _are_labeled(classes)):
        return ""
    common = min(set(plain[0]) & set(plain[1]))
    first, second = plain[0][common], plain[1][common]
    above = [path.rpartition("/")[0] for path in (first, second)]
    return (
        f"{above[0]}/ and {above[1]}/ hold images of the same names, such as {first} and {second}, as pairs of images "
        "do. topwork learns one label per image. If each of these folders is a class, run"
    )


def _are_labeled(classes: Sequence[ClassFolder]) -> bool:
    """Whether the names of files have those of their folders in them: cat/cat_1.jpg is no pair of dog/dog_1.jpg."""
    return all(row.label.lower() in name.lower() for row in classes for name in row.folder.images[:_HEAD])


def pairs_inside(top: TreeFolder) -> tuple[str, str] | None:
    """Paths of two folders beside each other whose images have the same names, which are more than numbers."""
    for folder in top.walk():
        for one, other in combinations(
            [kid for kid in folder.filled if len(kid.images) >= _MIN_PAIRS][:_MAX_BESIDE], 2
        ):
            stems = [_plain_stems(one), _plain_stems(other)]
            if _agree(*({(stem,) for stem in own} for own in stems)) and not _are_counters(stems[0]):
                return one.path, other.path
    return None


def are_sides(folders: Iterable[TreeFolder]) -> bool:
    """Whether folders without further ones hold the same things in several forms: raw and resized, rgb and depth."""
    folders = list(folders)
    stems = [_plain_stems(folder) for folder in folders]
    if len(folders) < 2 or any(folder.filled for folder in folders):
        return False
    if _are_named(folder.name for folder in folders):
        return True
    pairs = combinations(({(stem,) for stem in own} for own in stems), 2)
    return not _are_counters(stems[0]) and len(stems[0]) >= _MIN_PAIRS and all(_agree(*pair) for pair in pairs)


def _are_named(names: Iterable[str]) -> bool:
    return all(words(name) and set(words(name)) <= _SIDES for name in names)


def _with_splits_inside(found: Candidates) -> tuple[str, ...]:
    """The options for the folders as classes, also if these hold folders of splits."""
    options = found.layout.options
    inner = [kid.filled for kid in found.folders]
    if options and all(inner) and not found.has_splits:
        return (*options[:-1], f"{options[-1]}/split")
    return options


def _plain_names(side: dict[tuple[str, str], TreeFolder]) -> dict[tuple[str, ...], str]:
    """Split, place and plain name of each image, to its path."""
    return {
        (*place, stem): f"{folder.path}/{name}"
        for place, folder in side.items()
        for stem, name in zip(_plain_stems(folder), folder.images, strict=True)
    }


def _plain_stems(folder: TreeFolder) -> list[str]:
    """The names in a folder without the beginning and the end that all share, such as x2 and _rgb."""
    stems = [stem_of(name) for name in folder.images]
    start, end = common_ends(stems)
    return [stem[start : len(stem) - end] for stem in stems]


def _agree(one: Iterable[tuple[str, ...]], other: Iterable[tuple[str, ...]]) -> bool:
    own, others = set(one), set(other)
    return len(own & others) >= _SAME * max(len(own), len(others))


def _are_counters(names: Sequence[str]) -> bool:
    """Whether names have numbers that begin again in each folder: 1, 2, 3 or 1_1, 1_2, 2_1, or (1) and (1)_mask."""
    forms: dict[str, list[tuple[int, ...]]] = {}
    for name in names:
        forms.setdefault(re.sub(r"\d+", "#", name), []).append(tuple(map(int, re.findall(r"\d+", name))))
    return len(forms) <= max(_MAX_FORMS, len(names) / _PER_FORM) and all(map(_are_dense, forms.values()))


def _step(numbers: Sequence[int]) -> int:
    """How far numbers are apart that are counted in steps: 30 of 0, 30, 60."""
    return gcd(*numbers) or 1


def _are_dense(numbers: Sequence[tuple[int, ...]]) -> bool:
    ranges = [len(range(min(column), max(column) + 1, _step(column))) for column in zip(*numbers, strict=True)]
    return len(numbers) >= _DENSE * prod(ranges)


def several_sets(found: Candidates) -> list[Layout] | None:
    """Folders that each hold nothing but a folder of the same name, as archives do that are unpacked one by one."""
    kids = found.folders
    if found.by_path or found.has_splits or len(kids) < 2 or not all(map(_is_wrapped, kids)):
        return None
    if all(name.lower().startswith(kid.name.lower()) for kid in kids for name in kid.filled[0].images):
        return None  # leopards/leopards/leopards001.jpg
    first, *_, last = kids
    problem = (
        f"{first.path}/ and {last.path}/ hold nothing but a folder of the same name each, as archives do that are "
        "unpacked one by one: they may be several data sets. If each of these folders is a class, run"
    )
    return [replace(found.layout, problem=problem, alone=tuple(kids))]


def _is_wrapped(folder: TreeFolder) -> bool:
    inner = folder.filled
    return not folder.images and len(inner) == 1 and inner[0].name == folder.name and not inner[0].filled
