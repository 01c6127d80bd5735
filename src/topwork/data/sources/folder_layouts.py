"""Which folders are splits and which are classes: by their names, and by their contents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from topwork.data.file_tree import TreeFolder
from topwork.data.sources.folder_doubts import doubt
from topwork.data.sources.reading import Evidence
from topwork.data.split_words import (
    are_parts,
    is_annotation,
    is_images,
    is_unlabeled,
    looks_like_id,
    split_and_class,
    split_name,
    split_of,
)

NO_CLASSES = "has no class folders"
MAX_WAYS = 4  # folders that a question shows as DATA
_MAX_LOOSE = 0.05  # of the images of a folder lie directly in it, if it is only one more folder above


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose images, at any depth, have one label."""

    folder: TreeFolder
    label: str
    split: str = ""


@dataclass(frozen=True)
class Layout:
    """What the folders mean.

    Attributes:
        how: In words.
        classes: All class folders.
        evidence: How sure it is.
        reasons: Path of a folder to why it is ignored, for those whose names say so.
        options: Those that take this layout and no other.
        data: Folder below DATA to be passed instead of it; may be empty.
        problem: Why it is not taken without these options; may be empty.
        by_path: Whether the label is the whole path below the splits.
    """

    how: str
    classes: Sequence[ClassFolder]
    evidence: Evidence = Evidence.POSSIBLE
    reasons: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    data: str = ""
    problem: str = ""
    by_path: bool = False


Bases = Sequence[tuple[TreeFolder, str]]  # folders that hold class folders, each with its split


def find_layouts(top: TreeFolder, by_path: bool = False, reasons: dict[str, str] | None = None) -> list[Layout]:
    """All that the folders below one may mean; none if no folder in it is a class.

    Args:
        top: The folder.
        by_path: Labels are paths, so that folders inside class folders are no question.
        reasons: Of folders that were ignored on the way to it.
    """
    reasons = {} if reasons is None else reasons
    base = unwrap(top)
    if base.total > 2 * (base.total - len(base.images)):  # most images lie beside the folders
        return []
    kids, copy = _without_copy(base.filled, reasons)
    splits = split_of(kid.name for kid in kids)
    if "train" in splits.values() and (len(set(splits.values())) > 1 or len(kids) == 1):
        bases = []
        for kid in kids:
            if kid.name in splits:
                bases.append((kid, splits[kid.name]))
            else:
                reasons[kid.path] = "folder beside train, val and test"
        found = _below_splits(bases, by_path, reasons)
    elif (parted := split_and_class(kid.name for kid in kids)) and not any(kid.filled for kid in kids):
        rows = [ClassFolder(kid, parted[kid.name][1], parted[kid.name][0]) for kid in kids]
        found = [Layout("split and class in the names of the folders", rows, Evidence.LIKELY, reasons)]
    else:
        kids = _without_others(kids, splits, reasons)
        if len(kids) == 1 and kids[0].filled and len(base.filled) > 1:
            return find_layouts(kids[0], by_path, reasons)
        splits = {kid.name: splits[kid.name] for kid in kids if kid.name in splits}
        found = _split_among_classes(kids, splits, reasons) or _classes([(base, "")], kids, by_path, reasons)
    if copy is not None:
        found += [Layout(f"folders in {copy.path}/", inner.classes, inner.evidence, data=copy.path)
                  for inner in find_layouts(copy, by_path)]  # fmt: skip
    return found


def unwrap(folder: TreeFolder) -> TreeFolder:
    """The folder inside that is not alone in its folder: most archives have one more folder above."""
    while len(folder.filled) == 1 and len(folder.images) <= _MAX_LOOSE * folder.total:
        (inner,) = folder.filled
        if not inner.filled or split_name(inner.name) == "train":
            break
        folder = inner
    return folder


def _without_copy(kids: list[TreeFolder], reasons: dict[str, str]) -> tuple[list[TreeFolder], TreeFolder | None]:
    """The folders without one that holds folders of the same names as all others; it, if it holds other images."""
    for kid in kids:
        others = {other.name: other.total for other in kids if other is not kid}
        inner = {folder.name: folder.total for folder in unwrap(kid).filled}
        if len(others) > 1 and inner.keys() == others.keys():
            reasons[kid.path] = "a copy of the folders beside it"
            return [other for other in kids if other is not kid], None if inner == others else kid
    return kids, None


def _without_others(kids: list[TreeFolder], splits: dict[str, str], reasons: dict[str, str]) -> list[TreeFolder]:
    """The folders without those that hold masks, images without labels and the like, by their names."""
    deep = [kid for kid in kids if len(unwrap(kid).filled) > 1 and not is_annotation(kid.name)]
    kept = []
    for kid in kids:
        beside = [other for other in kids if other is not kid and not is_annotation(other.name)]
        if is_unlabeled(kid.name) and beside:
            reasons[kid.path] = "images without a label, by its name"
        elif is_annotation(kid.name) and (
            any(is_images(other.name) for other in beside) or (len(unwrap(kid).filled) < 2 and deep)
        ):
            reasons[kid.path] = "belongs to the images, by its name"
        elif kid.name in splits and kid not in deep and deep:
            reasons[kid.path] = NO_CLASSES
        else:
            kept.append(kid)
    return kept


def _below_splits(bases: Bases, by_path: bool, reasons: dict[str, str]) -> list[Layout]:
    """Class folders below folders of splits, each of which may be nested once more."""
    inside: list[tuple[TreeFolder, str]] = []
    for folder, split in bases:
        names = {kid.name for other, _ in bases if other is not folder for kid in other.filled}
        while len(folder.filled) == 1 and folder.filled[0].filled and not folder.images:
            (inner,) = folder.filled
            if inner.name in names and not all(
                [kid.name for kid in other.filled] == [inner.name] for other, _ in bases
            ):
                break  # a class, of which another split has more
            folder = inner
        inside.append((folder, split))
    below = [_without_others(folder.filled, {}, reasons) for folder, _ in inside]
    kids = []
    for number, (outer, _) in enumerate(bases):
        others = {kid.name for other in below[:number] + below[number + 1 :] for kid in other}
        if _are_classes(below[number], outer.name, others):
            kids += below[number]
        else:
            reasons[outer.path] = NO_CLASSES
    return _classes(inside, kids, by_path, reasons) if kids else []


def _are_classes(kids: list[TreeFolder], parent: str, others: set[str]) -> bool:
    """Whether folders below that of a split are classes, and not one more folder with all of its images."""
    if any(kid.filled for kid in kids):
        return True
    if len(kids) == 1 and not is_images(kids[0].name):
        return kids[0].name in others or (not others and kids[0].name != parent)
    return bool(kids) and not are_parts(kid.name for kid in kids)


def _split_among_classes(kids: list[TreeFolder], splits: dict[str, str], reasons: dict[str, str]) -> list[Layout]:
    """Questions about folders with names of splits beside others without."""
    if not splits:
        return []
    plain = [ClassFolder(kid, kid.name) for kid in kids]
    options = _options(plain, [])
    (first, *_), others = splits, [kid.name for kid in kids if kid.name not in splits]
    if any(re.fullmatch(f"(?:in|non|not|no|un)[ _-]?{re.escape(first)}", name, re.IGNORECASE) for name in others):
        return []  # valid and invalid
    by_name = {kid.name: kid for kid in kids}
    if "train" in splits.values():  # a vehicle, among others
        inner = unwrap(by_name[first])
        if len(inner.filled) < 2 or any(len(unwrap(by_name[name]).filled) > 1 for name in others):
            return []
        alone = find_layouts(inner)
        return [
            Layout("all folders are classes", plain, reasons=reasons, options=options),
            *(Layout(f"class folders in {first}/", way.classes, data=by_name[first].path) for way in alone),
        ]
    if len(kids) > 1 and (ways := _levels(kids, reasons)):
        return ways
    beside = f"is beside {others[0]}/, which is none" if others else "has no folder for training beside it"
    return [
        Layout(
            "class folders",
            plain,
            evidence=Evidence.LIKELY if not others else Evidence.POSSIBLE,
            options=options,
            problem=f"{first}/ has the name of a split, but {beside}. If each of the folders is a class, run",
        )
    ]


def _classes(bases: Bases, kids: list[TreeFolder], by_path: bool, reasons: dict[str, str]) -> list[Layout]:
    """What folders mean that may be classes: these, or the folders inside them."""
    split_by_path = {base.path: split for base, split in bases}
    plain = [ClassFolder(kid, kid.name, split_by_path.get(kid.path.rpartition("/")[0], "")) for kid in kids]
    names, has_splits = {kid.name for kid in kids}, any(split for _, split in bases)
    inner = [[folder for folder in unwrap(kid).filled if not is_annotation(folder.name)] for kid in kids]
    where = [base.path for base, _ in bases]
    evidence = Evidence.LIKELY if has_splits else Evidence.POSSIBLE
    described = _describe(bases, kids)
    flat = not any(kid.images for kid in kids)
    whole = Layout(described, plain, evidence, reasons, _options(plain, where if has_splits else []), by_path=by_path)
    if flat and not has_splits and len(kids) > 1:
        found = _splits_inside(kids, inner, reasons) if all(inner) else []
        if not found and not by_path and all(map(looks_like_id, names)):
            found = _levels(kids, reasons)
        if found:
            return found
    if flat and _repeat(inner) and len(names) > 1:
        ways = [*_deeper(inner, bases, reasons), *([] if has_splits else _each_alone(kids))]
        return ways if are_parts(names) else [*ways, whole]
    if are_parts(names) or not any(_may_be_class(name, names) for name in names):
        return []
    if not by_path and flat and _is_taxonomy(kids):
        path = Layout("the paths of the folders are the classes", plain, evidence, reasons,
                      (*whole.options, "--labels-from-path"), by_path=True)  # fmt: skip
        topmost = f"the topmost folders are classes: {', '.join(sorted(names)[:MAX_WAYS])}"
        return [Layout(topmost, plain, evidence, reasons, whole.options), path]
    if (
        len(kids) == 1
        and not kids[0].filled
        and not has_splits
        and (len(bases[0][0].filled) > 1 or len(bases[0][0].folders) == 1)
    ):
        return []  # one folder tells no classes apart
    trained = {row.label for row in plain if row.split == "train"}
    if has_splits and len(trained) == 1 < len(names) and not by_path and whole.options:
        first = next(row for row in plain if row.split == "train").folder.path
        problem = (
            f"{first}/ alone is for training, as for detecting anomalies, and a classifier needs images of each class. "
            "To make new splits of all images, run"
        )
        return [replace(whole, problem=problem, options=(*whole.options, "--set", "data.splits=new"))]
    if by_path or has_splits:
        return [whole]
    deep = [kid for kid in kids if kid.filled]
    if len(deep) == 1 < len(kids) and is_images(deep[0].name) and (alone := [*_each_alone(deep)]):
        return [whole, *alone]  # data/ beside results; another name may be a class that is divided further
    problem = doubt([folder for base, _ in bases for folder in base.filled], kids)
    if problem:
        return [replace(whole, problem=f"{problem}. Move it away, or, if each of the folders is a class, run")]
    return [whole]


def _splits_inside(kids: list[TreeFolder], inner: list[list[TreeFolder]], reasons: dict[str, str]) -> list[Layout]:
    """Folders of splits below each of several folders: below the classes, or several data sets."""
    splits = [split_of(folder.name for folder in folders) for folders in inner]
    leaves = not any(folder.filled for folders in inner for folder in folders)
    if (
        leaves
        and all("train" in found.values() and len(found) == len(inner[n]) for n, found in enumerate(splits))
        and (max(map(len, splits)) > 1)
    ):
        rows = [
            ClassFolder(folder, kid.name, splits[n][folder.name]) for n, kid in enumerate(kids) for folder in inner[n]
        ]
        return [Layout("splits in the class folders", rows, Evidence.LIKELY, reasons)]
    if any("train" in found.values() and len(set(found.values())) > 1 for found in splits):
        return [*_each_alone(kids)]
    return []


def _levels(kids: list[TreeFolder], reasons: dict[str, str]) -> list[Layout]:
    """Each level of folders as the classes, if there are two levels with several folders each below these."""
    levels = [kids]
    while any(folder.filled for folder in levels[-1]):
        if any(folder.images or not folder.filled for folder in levels[-1]):
            return []
        levels.append([inner for folder in levels[-1] for inner in folder.filled])
    if len(levels) < 3 or any(len(lower) < 1.5 * len(upper) for upper, lower in pairwise(levels)):
        return []
    found = []
    for number, folders in enumerate(levels):
        rows = [ClassFolder(folder, folder.name) for folder in folders]
        names = {folder.name for folder in folders}
        how = f"folders such as {folders[0].path}/ are the classes"
        if number == 0 or len(names) == len(folders):
            found.append(Layout(how, rows, reasons=reasons, options=_options(rows, [])))
        else:
            upper = [ClassFolder(folder, folder.name) for folder in levels[number - 1]]
            options = (*_options(upper, []), "--labels-from-path")
            found.append(Layout(how, upper, reasons=reasons, options=options, by_path=True))
    return found


def _may_be_class(name: str, names: Iterable[str]) -> bool:
    """Whether it is no word for images and what belongs to them, or one of several that differ in a number: label_0."""
    numbered = sum(other.rstrip("0123456789") == name.rstrip("0123456789") for other in names) > 1
    return numbered or not (is_images(name) or is_annotation(name))


def _repeat(inner: list[list[TreeFolder]]) -> bool:
    """Whether the same subfolders, at least two, are in most of the folders."""
    counts = Counter(folder.name for folders in inner for folder in folders)
    return len(counts) > 1 and counts.total() >= 1.5 * len(counts) and sum(map(bool, inner)) > len(inner) / 2


def _is_taxonomy(kids: list[TreeFolder]) -> bool:
    """Whether the folders hold further ones with several images each and names of things, not of patients."""
    leaves = {kid.name: [folder for folder in kid.walk() if folder.images] for kid in kids}
    names = Counter(leaf.name for found in leaves.values() for leaf in found)
    several = all(len(leaf.images) > 1 for found in leaves.values() for leaf in found)
    real = not any(looks_like_id(name) or is_images(name) or is_annotation(name) for name in names)
    return several and real and len(names) == names.total() > len(leaves) > 1


def _each_alone(kids: list[TreeFolder]) -> Iterator[Layout]:
    """Each of the folders as DATA; of many, the first."""
    for kid in kids if len(kids) <= MAX_WAYS else kids[:1]:
        more = "" if len(kids) <= MAX_WAYS else f", or another of the {len(kids):,} folders"
        for way in find_layouts(kid):
            yield Layout(f"the images in {kid.path}/ alone{more}", way.classes, data=kid.path)


def _deeper(inner: list[list[TreeFolder]], bases: Bases, reasons: dict[str, str]) -> Iterator[Layout]:
    """The folders inside are the classes."""
    splits = {base.path: split for base, split in bases if split}
    rows = [
        ClassFolder(folder, folder.name, next((splits[path] for path in splits if _is_in(folder.path, path)), ""))
        for folders in inner
        for folder in folders
    ]
    options = _options(rows, list(splits))
    if options:
        evidence = Evidence.LIKELY if splits else Evidence.POSSIBLE
        yield Layout("the folders inside are the classes, all images together", rows, evidence, reasons, options)


def _is_in(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _options(classes: Sequence[ClassFolder], splits: Sequence[str]) -> tuple[str, ...]:
    """``--layout`` for class folders, and folders of splits above them; none if it can't say it."""
    depths = {path.count("/") for path in splits if path}
    found = {len(row.folder.path.split("/")) for row in classes}
    if len(found) != 1 or len(depths) > 1:
        return ()
    levels = ["*"] * (found.pop() - 1)
    if depths:
        levels[depths.pop()] = "split"
    return ("--layout", "/".join([*levels, "class"]))


def _describe(bases: Bases, kids: list[TreeFolder]) -> str:
    """Where the class folders are."""
    above = {kid.path.rpartition("/")[0] for kid in kids}
    shown = [f"{base.path}/" + (f" ({split})" if split else "") for base, split in bases if base.path in above]
    text = "class folders" + (f" under {' and '.join(shown)}" if shown != ["/"] else "")
    if any(len(kid.filled) > 1 for kid in kids):
        text += "; folders inside belong to their class (--labels-from-path makes classes of them)"
    return text
