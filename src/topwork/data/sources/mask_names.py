"""Images that belong to other images, by their names: masks, depths and drawings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from topwork.data.file_tree import TreeFolder, stem_of, suffix_of
from topwork.data.name_ends import common_ends
from topwork.data.split_words import is_annotation_of, is_mask, words

_MASK_WORDS = ("mask", "seg", "gt", "label", "depth")
_MASK = re.compile(r"(.+?)[ ._-]?(?:mask|masks|seg|segmentation|gt|label)[ ._-]?\d*")
_LAST_WORD = re.compile(r"(.*[ ._-])([a-z]+)")
_KIND = re.compile(r"(?:mask|depth)(?!ed)[a-z]*|[a-z]*(?:mask|depth)")
_KINDS = 0.25  # of the images in a folder are masks or depths, if these have such names
_JPEG = frozenset({".jpg", ".jpeg"})
_TWINS = 0.9  # of the images in each of two formats have one of the same name in the other
MIN_SHARE = 0.8  # of the masks belong to an image by their names
_SAME = 0.9


def masks_beside(names: Collection[str]) -> dict[str, str]:
    """Those of the images of a folder that are masks of others: mask to image.

    >>> masks_beside(["1.png", "1_mask.png"])
    {'1_mask.png': '1.png'}
    """
    named = [name for name in names if any(word in name.lower() for word in _MASK_WORDS)]
    if not named:
        return _twins(names)
    images = {stem_of(name): name for name in names}
    found = [(name, match[1]) for name in named if (match := _MASK.fullmatch(stem_of(name)))]
    masks = {name: images[stem] for name, stem in found if stem in images}
    return masks or _kinds(names) or _twins(names)


def _kinds(names: Collection[str]) -> dict[str, str]:
    """Masks and depths by their last word, if other images have the same words before it: a_maskcrop of a_crop."""
    parts = {name: _LAST_WORD.fullmatch(stem_of(name)) for name in names}
    others = {match[1]: name for name, match in parts.items() if match and not _KIND.fullmatch(match[2])}
    found = {
        name: others[match[1]]
        for name, match in parts.items()
        if match and match[1] in others and _KIND.fullmatch(match[2])
    }
    return found if len(found) >= _KINDS * len(names) else {}


def _twins(names: Collection[str]) -> dict[str, str]:
    """Images of other formats that have the names of the JPEG files, if nearly all have one."""
    if len({suffix_of(name) in _JPEG for name in names}) < 2:
        return {}
    photos = {stem_of(name): name for name in names if suffix_of(name) in _JPEG}
    others = [name for name in names if suffix_of(name) not in _JPEG]
    masks = {name: photos[stem_of(name)] for name in others if stem_of(name) in photos}
    return masks if len(masks) >= _TWINS * max(len(others), len(photos)) else {}


def drawings_of(names: Collection[str]) -> str:
    """An image whose name is that of another with one of a few words after it, as most in a folder are; else empty."""
    stems = {stem_of(name) for name in names}
    found = {name: rest for name in names if (rest := _rest(stem_of(name), stems))}
    few = len(set(found.values())) <= max(3, len(found) / 10)
    return min(found, default="") if few and len(found) >= 0.4 * len(names) else ""


def _rest(stem: str, stems: set[str]) -> str:
    """The last word of a name if the rest is another name."""
    match = re.fullmatch(r"(.+)[ ._-](\w*[^\W\d_]\w*)", stem)
    return match[2] if match and match[1] in stems else ""


def mask_stem(name: str) -> str:
    """The name of the image of which a file in a folder of masks is the mask."""
    stem = stem_of(name)
    match = _MASK.fullmatch(stem)
    return match[1] if match else stem


def annotations_inside(of_class: TreeFolder) -> set[str]:
    """Paths of the folders in a class folder that hold masks or previews of its images, by all their names."""
    inside = [folder for folder in of_class.walk() if folder is not of_class]
    names = [folder.name for folder in inside]
    marked = [folder for folder in inside if is_annotation_of(folder.name, names)]
    if not marked:
        return set()
    paths = {folder.path for folder in marked}
    images = {
        stem_of(path.rpartition("/")[2])
        for path in of_class.image_paths()
        if not any(path.startswith(f"{folder}/") for folder in paths)
    }
    return {folder.path for folder in marked if folder.total and _named_like(folder, images)}


def _named_like(folder: TreeFolder, images: set[str]) -> bool:
    stems = [mask_stem(path.rpartition("/")[2]) for path in folder.image_paths()]
    return sum(stem in images for stem in stems) >= MIN_SHARE * len(stems)


def masks_among(folders: Sequence[TreeFolder]) -> set[str]:
    """Paths of those of the folders that are called like masks, and whose images are named after those of another."""
    masks = [folder for folder in folders if is_mask(folder.name) and "segmented" not in words(folder.name)]
    images = [stem_of(path.rpartition("/")[2]) for kid in folders if kid not in masks for path in kid.image_paths()]
    if not masks or not images:
        return set()
    return {
        folder.path
        for folder in masks
        if share_named_after([stem_of(path.rpartition("/")[2]) for path in folder.image_paths()], images) >= _SAME
    }


def share_named_after(names: Sequence[str], images: Iterable[str]) -> float:
    """The share of names that begin with the name of an image, apart from the end that all images share.

    >>> share_named_after(["ulm_01_gtFine_color", "ulm_02_gtFine_color"], ["ulm_01_left", "ulm_02_left"])
    1.0
    """
    images = list(images)
    end = common_ends(images)[1]
    known = {stem[: len(stem) - end] for stem in images}
    ends = ([*(m.start() for m in re.finditer(r"[\W_]", name)), len(name)] for name in names)
    found = sum(any(name[:stop] in known for stop in stops) for name, stops in zip(names, ends, strict=True))
    return found / len(names) if names else 0.0
