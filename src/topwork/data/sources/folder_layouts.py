"""Which folders are splits and which are classes: by their names, and by their contents."""

from __future__ import annotations

import re

from topwork.data.file_tree import TreeFolder
from topwork.data.sources.class_folders import (
    NO_CLASSES,
    Bases,
    Candidates,
    ClassFolder,
    Layout,
    layout_options,
    unwrap,
)
from topwork.data.sources.folder_pairs import pair_problem
from topwork.data.sources.folder_rules import class_layouts, level_layouts, repeated_inside
from topwork.data.sources.mask_names import masks_among
from topwork.data.sources.reading import Evidence
from topwork.data.split_words import are_parts, is_annotation, is_images, is_unlabeled, split_and_class, split_of


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
        problem, names = pair_problem(rows), "|".join(re.escape(label) for label in sorted({row.label for row in rows}))
        options = ("--label-from", f"({names})/") if problem else ()
        how = "folders with split and class in their names"
        found = [Layout(how, rows, Evidence.LIKELY, reasons, options, problem=problem)]
    else:
        kids = _without_others(kids, splits, reasons)
        if len(kids) == 1 and kids[0].filled and len(base.filled) > 1:
            found = find_layouts(kids[0], by_path, reasons)
            in_doubt = len(found) > 1 or any(layout.problem for layout in found) or NO_CLASSES in reasons.values()
            return [] if in_doubt and masks_among(base.filled) else found  # a data set for segmentation
        splits = {kid.name: splits[kid.name] for kid in kids if kid.name in splits}
        found = _split_among_classes(kids, splits, reasons)
        found = found or class_layouts(Candidates([(base, "")], kids, by_path, reasons, find_layouts))
    if copy is not None:
        found += [Layout(f"class folders in {copy.path}/", inner.classes, inner.evidence, data=copy.path)
                  for inner in find_layouts(copy, by_path)]  # fmt: skip
    return found


def _without_copy(kids: list[TreeFolder], reasons: dict[str, str]) -> tuple[list[TreeFolder], TreeFolder | None]:
    """The folders without one that holds folders of the same names as all others; it, if it holds other images."""
    for kid in kids:
        inner = {folder.name: folder.total for folder in unwrap(kid).filled}
        if len(inner) < 2 or len(inner) != len(kids) - 1:
            continue
        others = {other.name: other.total for other in kids if other is not kid}
        if inner.keys() == others.keys():
            reasons[kid.path] = "a copy of the folders beside it"
            return [other for other in kids if other is not kid], None if inner == others else kid
    return kids, None


def _without_others(kids: list[TreeFolder], splits: dict[str, str], reasons: dict[str, str]) -> list[TreeFolder]:
    """The folders without those that hold masks, images without labels and the like, by their names."""
    deep = [kid for kid in kids if len(unwrap(kid).filled) > 1 and not is_annotation(kid.name)]
    masks = masks_among(kids)
    marked = {kid.path for kid in kids if is_annotation(kid.name)} | masks
    images = any(is_images(kid.name) for kid in kids if kid.path not in marked)
    kept = []
    for kid in kids:
        if is_unlabeled(kid.name) and len(kids) - len(marked) > (kid.path not in marked):
            reasons[kid.path] = "images without labels, by its name"
        elif kid.path in masks or (kid.path in marked and (images or (len(unwrap(kid).filled) < 2 and deep))):
            reasons[kid.path] = "masks or annotations, by its name"
        elif kid.name in splits and deep and kid not in deep:
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
    return class_layouts(Candidates(inside, kids, by_path, reasons, find_layouts)) if kids else []


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
    options = layout_options(plain)
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
    if len(kids) > 1 and (ways := level_layouts(kids, reasons)):
        return ways
    if repeated := repeated_inside(Candidates([(TreeFolder(""), "")], kids, False, reasons, find_layouts)):
        return repeated
    beside = f"{others[0]}/ beside it does not" if others else "there is no folder for training beside it"
    return [
        Layout(
            "class folders",
            plain,
            evidence=Evidence.LIKELY if not others else Evidence.POSSIBLE,
            options=options,
            problem=f"{first}/ has the name of a split, but {beside}. If each of these folders is a class, run",
        )
    ]
