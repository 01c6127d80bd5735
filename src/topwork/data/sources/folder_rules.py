"""Rules that tell what folders mean that may be classes: these are, or the folders inside them, or it is a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from topwork.data.file_tree import TreeFolder, stem_of
from topwork.data.sources.class_folders import (
    Candidates,
    ClassFolder,
    Layout,
    layout_options,
    unwrap,
    without_annotations,
)
from topwork.data.sources.counters import without_counters
from topwork.data.sources.folder_doubts import doubt
from topwork.data.sources.folder_pairs import are_sides, paired, several_sets
from topwork.data.sources.reading import Evidence
from topwork.data.split_words import are_dates, are_parts, is_annotation, is_images, looks_like_id, split_of

_BY_PATH = "the innermost folders are the classes, named by their paths"
_ANNOTATIONS = (".txt", ".xml", ".json")
MAX_WAYS = 4  # folders that a question shows as DATA
Rule = Callable[[Candidates], list[Layout] | None]


def class_layouts(found: Candidates) -> list[Layout]:
    """What the first rule that knows these folders says; each of them is a class if none does."""
    layouts = next((layouts for rule in _RULES if (layouts := rule(found)) is not None), [found.layout])
    return [way for layout in layouts for way in without_counters(layout)]


def _splits_inside(found: Candidates) -> list[Layout] | None:
    """Folders of splits below each of several folders: below the classes, or several data sets."""
    inner = found.inner
    if not found.is_flat or found.has_splits or len(inner) < 2 or not all(inner):
        return None
    splits = [split_of(folder.name for folder in folders) for folders in inner]
    leaves = not any(without_annotations(folder.filled) for folders in inner for folder in folders)
    complete = all("train" in named.values() and len(named) == len(inner[n]) for n, named in enumerate(splits))
    if leaves and complete and max(map(len, splits)) > 1:
        rows = [
            ClassFolder(folder, kid.name, splits[n][folder.name])
            for n, kid in enumerate(found.folders)
            for folder in inner[n]
        ]
        return [Layout("class folders that hold folders of splits", rows, Evidence.LIKELY, found.reasons)]
    if any("train" in named.values() and len(set(named.values())) > 1 for named in splits):
        return [*_each_alone(found.folders, found)] or None
    return None


def _numbered_levels(found: Candidates) -> list[Layout] | None:
    """Numbers and codes, and further folders below them: each level may be the classes."""
    if not found.is_flat or found.has_splits or found.by_path or not all(map(looks_like_id, found.names)):
        return None
    return level_layouts(found.folders, found.reasons) or None if len(found.folders) > 1 else None


def level_layouts(kids: list[TreeFolder], reasons: dict[str, str]) -> list[Layout]:
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
            found.append(Layout(how, rows, reasons=reasons, options=layout_options(rows)))
        else:
            upper = [ClassFolder(folder, folder.name) for folder in levels[number - 1]]
            options = (*layout_options(upper), "--labels-from-path")
            found.append(Layout(how, upper, reasons=reasons, options=options, by_path=True))
    return found


def repeated_inside(found: Candidates) -> list[Layout] | None:
    """The same subfolders in most of the folders."""
    if not found.is_flat or not _repeat(found.inner) or len(found.names) < 2:
        return None
    if are_dates(folder.name for folders in found.inner for folder in folders) and not are_dates(found.names):
        return None  # the days on which a class was photographed
    ways = [*_deeper(found), *_one_kind(found), *([] if found.has_splits else _each_alone(found.folders, found))]
    return ways if are_parts(found.names) and ways else [*ways, found.layout]


def _repeat(inner: list[list[TreeFolder]]) -> bool:
    """Whether the same subfolders, at least two, are in most of the folders."""
    counts = Counter(folder.name for folders in inner for folder in folders)
    return len(counts) > 1 and counts.total() >= 1.5 * len(counts) and sum(map(bool, inner)) > len(inner) / 2


def _deeper(found: Candidates) -> Iterator[Layout]:
    """The folders inside are the classes, or those inside of them, as long as the same ones repeat."""
    splits = {base.path: split for base, split in found.bases if split}
    inner = found.inner
    while _repeat(inner):
        folders = [folder for below in inner for folder in below]
        inner = [unwrap(folder).filled for folder in folders]
        if _repeat(inner) and are_parts(folder.name for folder in folders):
            continue
        rows = [
            ClassFolder(folder, folder.name, next((splits[path] for path in splits if _is_in(folder.path, path)), ""))
            for folder in folders
        ]
        options = layout_options(rows, list(splits))
        if options:
            evidence = Evidence.LIKELY if splits else Evidence.POSSIBLE
            how = f"folders such as {folders[0].path}/ are the classes, with all images together"
            yield Layout(how, rows, evidence, found.reasons, options)


def _one_kind(found: Candidates) -> Iterator[Layout]:
    """The folders are the classes, but only the images in the folders of one name in them count: rgb, not depth."""
    splits = [base.path for base, split in found.bases if split]
    options = layout_options(found.plain, splits)
    kinds = {folder.name for folder in found.folders[0].filled}
    inner = [{folder.name: folder for folder in kid.filled} for kid in found.folders]
    same = all(folders.keys() == kinds for folders in inner)
    if not options or not same or len(kinds) > MAX_WAYS or not all(are_sides(of.values()) for of in inner):
        return
    evidence = Evidence.LIKELY if splits else Evidence.POSSIBLE
    for name in sorted(kinds):
        rows = [replace(row, folder=folders[name]) for row, folders in zip(found.plain, inner, strict=True)]
        how = f"folders such as {found.folders[0].path}/ are the classes, with the images in {name}/ only"
        yield Layout(how, rows, evidence, found.reasons, (options[0], f"{options[1]}/{name}"))


def _is_in(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _each_alone(kids: list[TreeFolder], found: Candidates) -> Iterator[Layout]:
    """Each of the folders as DATA; of many, the first."""
    for kid in kids if len(kids) <= MAX_WAYS else kids[:1]:
        more = "" if len(kids) <= MAX_WAYS else f", or another of the {len(kids):,} folders"
        ways = found.find(kid)
        if ways:
            first = ways[0]
            options = first.options if "--label-from" in first.options else layout_options(first.classes, (), kid.path)
            options = (*options, *(["--labels-from-path"] if first.by_path else [])) if len(ways) > 1 else ()
            how = f"only the images in {kid.path}/{more}"
            yield Layout(how, first.classes, options=options, data=kid.path, by_path=first.by_path)


def _no_classes(found: Candidates) -> list[Layout] | None:
    """Parts, or folders that only say that there are images."""
    named = any(_may_be_class(name, found.names) for name in found.names)
    return [] if are_parts(found.names) or not named else None


def _may_be_class(name: str, names: Iterable[str]) -> bool:
    """Whether it is no word for images and what belongs to them, or one of several that differ in a number: label_0."""
    numbered = sum(other.rstrip("0123456789") == name.rstrip("0123456789") for other in names) > 1
    return numbered or not (is_images(name) or is_annotation(name))


def _annotated(found: Candidates) -> list[Layout] | None:
    """Class folders beside folders for another task, in which each image has a file of its own: boxes, outlines."""
    other = [kid for kid in found.folders if _has_annotations(kid)]
    rest = [kid for kid in found.folders if kid not in other]
    if found.by_path or found.has_splits or not other or not all(len(unwrap(kid).filled) > 1 for kid in rest):
        return None
    ways = [*_each_alone(rest, found)]
    return [*ways, found.layout] if ways else None


def _has_annotations(of: TreeFolder) -> bool:
    """Whether nearly each image in a folder has a file of its name with boxes or outlines, by its suffix."""
    files = {stem_of(name) for folder in of.walk() for name in folder.files if name.lower().endswith(_ANNOTATIONS)}
    stems = [stem_of(path.rpartition("/")[2]) for path in of.image_paths()]
    return bool(files) and sum(stem in files for stem in stems) >= 0.8 * len(stems)


def _taxonomy(found: Candidates) -> list[Layout] | None:
    """Further folders with names of things: either level may be the classes."""
    if found.by_path or not found.is_flat or not _is_taxonomy(found.folders):
        return None
    whole = found.layout
    topmost = "the top folders are the classes"
    options = (*whole.options, "--labels-from-path")
    return [
        replace(whole, how=topmost, by_path=False),
        replace(whole, how=_BY_PATH, by_path=True, options=options),
    ]


def _is_taxonomy(kids: list[TreeFolder]) -> bool:
    """Whether the folders hold further ones with several images each and names of things, not of patients."""
    leaves = {kid.name: [leaf for leaf in without_annotations([*kid.walk()]) if leaf.images] for kid in kids}
    names = Counter(leaf.name for found in leaves.values() for leaf in found)
    several = all(len(leaf.images) > 1 for found in leaves.values() for leaf in found)
    real = not any(looks_like_id(name) or is_images(name) or is_annotation(name) for name in names)
    return several and real and len(names) == names.total() > len(leaves) > 1


def _one_folder(found: Candidates) -> list[Layout] | None:
    """One folder tells no classes apart."""
    if len(found.folders) != 1 or found.folders[0].filled or found.has_splits:
        return None
    base = found.bases[0][0]
    return [] if len(base.filled) > 1 or len(base.folders) == 1 else None


def _other_names(found: Candidates) -> list[Layout] | None:
    """Classes that are called otherwise for training than for testing."""
    if not found.has_splits or found.by_path:
        return None
    paths: dict[str, dict[str, str]] = {}
    for row in found.plain:
        paths.setdefault(row.split, {})[row.label] = row.folder.path
    train = paths.pop("train", {})
    for other in paths.values():
        for label in sorted(other.keys() - train.keys()) if train else ():
            similar = (
                name for name in train.keys() - other.keys() if _is_longer(name, label) or _is_longer(label, name)
            )
            name = min(similar, default="") or ("" if train.keys() & other.keys() else min(train))
            if name:
                problem = (
                    f"Class folders have different names in the splits: {train[name]}/ and {other[label]}/. Rename "
                    "them, so that each class has the same name in all splits. If these are different classes, run"
                )
                return [replace(found.layout, problem=problem)]
    return None


def _is_longer(name: str, other: str) -> bool:
    """Whether one name is the other with more words, or its plural."""
    rest = name.removeprefix(other)
    return rest != name and (not rest[0].isalnum() or rest.lower() in ("s", "es"))


def _one_trained(found: Candidates) -> list[Layout] | None:
    """One class alone is for training."""
    trained = {row.label for row in found.plain if row.split == "train"}
    if not found.has_splits or len(trained) != 1 or len(found.names) < 2 or found.by_path or not found.layout.options:
        return None
    first = next(row for row in found.plain if row.split == "train").folder.path
    problem = (
        f"Only {first}/ has training images, as in data sets for detecting anomalies. A classifier needs training "
        "images of each class. To make new splits from all images, run"
    )
    options = (*found.layout.options, "--set", "data.splits=new")
    return [replace(found.layout, problem=problem, options=options)]


def _one_divided(found: Candidates) -> list[Layout] | None:
    """One folder that holds class folders, beside copies of its images, results or others that have no class."""
    deep = [folder for folder in found.folders if len(unwrap(folder).filled) > 1 and not folder.images]
    if found.by_path or found.has_splits or not deep or len(found.folders) == 1:
        return None
    if any(is_images(kid.name) for kid in deep) and not all(is_images(kid.name) for kid in found.folders):
        return [*_each_alone(sorted(deep, key=lambda kid: not is_images(kid.name)), found), found.layout]
    if len(deep) > 1:
        return None
    if not (is_images(deep[0].name) or unwrap(deep[0]) is not deep[0] or _same_files(deep[0], found.folders)):
        return None  # a class that is divided further
    alone = [*_each_alone(deep, found)]
    whole = [found.layout, replace(found.layout, how=_BY_PATH, by_path=True,
                                   options=(*found.layout.options, "--labels-from-path"))]  # fmt: skip
    return [*alone, *(whole[:1] if is_images(deep[0].name) else whole)] if alone else None


def _same_files(deep: TreeFolder, folders: Iterable[TreeFolder]) -> bool:
    """Whether the other folders hold images of the same names as one with class folders."""
    names = {path.rpartition("/")[2] for path in deep.image_paths()}
    others = [path.rpartition("/")[2] for folder in folders if folder is not deep for path in folder.image_paths()]
    return len(names) == deep.total and 2 * sum(name in names for name in others) > len(others)


def _doubtful(found: Candidates) -> list[Layout] | None:
    """Copies, previews, and what programs write."""
    if found.by_path or found.has_splits:
        return None
    problem = doubt([folder for base, _ in found.bases for folder in base.filled], found.folders)
    if not problem:
        return None
    return [
        replace(
            found.layout, problem=f"{problem}. Move it out of the data folder. If each of the folders is a class, run"
        )
    ]


_RULES: tuple[Rule, ...] = (
    paired, several_sets, _splits_inside, _numbered_levels, repeated_inside, _no_classes, _annotated, _one_divided,
    _taxonomy, _one_folder, _one_trained, _other_names, _doubtful,
)  # fmt: skip
"""In order; the first that knows the folders decides."""
