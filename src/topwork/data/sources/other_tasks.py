"""Images without a class folder: data sets for other tasks, labels in file names, or no label at all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from topwork.core import commands
from topwork.data.file_tree import FileTree, TreeFolder, join, stem_of, tree_of_names
from topwork.data.sources.base import DataArgument
from topwork.data.sources.class_folders import ClassFolder, unwrap
from topwork.data.sources.folder_pairs import pairs_inside
from topwork.data.sources.folder_samples import labels_inside, short_text
from topwork.data.sources.label_expressions import propose
from topwork.data.sources.mask_names import MIN_SHARE, drawings_of, mask_stem, masks_beside, share_named_after
from topwork.data.sources.reading import Evidence, Refused
from topwork.data.split_words import is_mask, split_of
from topwork.data.tables import WORKBOOKS

TABLE_OF_FOLDERS = (
    "Write a table with the columns folder and label and one row per folder into the data folder, and run the command "
    "again"
)
_THINGS = re.compile(
    rb"(?:\s*\d+(?:[ \t]+-?[\d.eE+-]+){4,}\s*)+"  # YOLO
    rb"|(?:imagesource:.*\n)?(?:gsd:.*\n)?(?:-?[\d.]+ ){8}[\w-]+"  # DOTA
    rb"|[A-Za-z_]+(?: -?[\d.]+){14}"  # KITTI
    rb"|(?:-?\d+,){7}-?\d+"  # VisDrone
)
_MAX_OPENED = 3
_MAX_TEXTS = 12
_SHAPES = re.compile(rb'"(?:shapes|instances)"\s*:\s*\[\s*\{')  # of LabelMe and SuperAnnotate
_KINDS: dict[str, tuple[str, Callable[[bytes], object]]] = {
    ".txt": ("text", _THINGS.match),
    ".xml": ("Pascal VOC", re.compile(rb"<bndbox>").search),
    ".json": ("JSON", _SHAPES.search),
}


def _write_a_table(data: DataArgument) -> str:
    run = commands.data_command(data.config, "labels.csv", [])
    return f"write a table with the columns path and label and one row per image, and run `{run}`"


def unlabeled(data: DataArgument, tree: FileTree) -> Refused:
    """What a folder of images without class folders is, and what to do with it."""
    return (
        _detection(data, tree)
        or _samples(data, tree)
        or _texts(data, tree)
        or _segmentation(data, tree)
        or Refused(lambda: _no_label(data, tree).message, Evidence.POSSIBLE)
    )


def _segmentation(data: DataArgument, tree: FileTree) -> Refused | None:
    where = masks_of(tree)
    if not where:
        return None
    plain = [folder for folder in tree.top.walk() if folder.images and not any(map(is_mask, folder.path.split("/")))]
    beside = any(masks_beside(folder.images) for folder in plain)
    named = _show(data, _in_file_names(tree)) if beside else labels_in_files(data, tree, plain)
    return Refused(f"{where}. If you have such labels, {_write_a_table(data)}.{named}", Evidence.LIKELY)


def masks_of(tree: FileTree) -> str:
    """The sentence that says where the masks of the images are; empty if they have none."""
    masks, plain = dict[str, str](), list[TreeFolder]()
    for folder in tree.top.walk():
        if any(map(is_mask, folder.path.split("/"))):
            masks |= {mask_stem(name): folder.path for name in folder.images}
        else:
            plain.append(folder)
    beside = sum(len(masks_beside(folder.images)) for folder in plain)
    images = {stem_of(name) for folder in plain for name in folder.images}
    matching = sorted({masks[stem] for stem in masks if stem in images})
    if beside and beside >= 0.4 * len(images):
        where = "each image has a mask beside it"
    elif masks and sum(stem in images for stem in masks) >= MIN_SHARE * len(masks):
        where = f"{matching[0]}/ holds masks of the images"
    elif masks and images and share_named_after(list(masks), images) >= MIN_SHARE:
        where = f"{next(iter(masks.values()))}/ holds masks of the images"
    elif drawing := next(filter(None, (drawings_of(folder.images) for folder in plain)), ""):
        where = f"files such as {drawing} are named after images, as masks are"
    else:
        return ""
    return f"{tree.store} is a data set for segmentation: {where}. topwork learns one label per image"


def _detection(data: DataArgument, tree: FileTree) -> Refused | None:
    """Boxes or outlines in a file for each image, as YOLO, Pascal VOC, LabelMe and SuperAnnotate write them."""
    for suffix, (kind, mark) in _KINDS.items():
        files = _files_of_images(tree, suffix)
        opened = [text for folder, name in files[:_MAX_OPENED] if (text := _head(tree, folder, name))]
        if opened and all(map(mark, opened)):
            first = join(files[0][0].path, files[0][1])
            return Refused(
                f"{data.path} is a data set for object detection: {first} and {len(files) - 1:,} other files hold "
                f"boxes ({kind}). topwork learns one label per image. To classify what is in the boxes, write a table "
                "with the columns path, label and box (left, top, width, height in pixels) and one row per box, and "
                f"run `{commands.data_command(data.config, 'boxes.csv', ['--crop-to-box'])}`."
                f"{_show(data, _in_file_names(tree))}",
                Evidence.LIKELY,
            )
    return None


def _samples(data: DataArgument, tree: FileTree) -> Refused | None:
    """Folders of one sample each, with a file of the label in it."""
    problem = labels_inside(tree, [ClassFolder(folder, folder.name) for folder in tree.top.walk() if folder.images])
    return Refused(f"{problem}. {TABLE_OF_FOLDERS}.", Evidence.LIKELY) if problem else None


def _texts(data: DataArgument, tree: FileTree) -> Refused | None:
    """A text file with a class or its number for each image, or a file of facts about it."""
    for suffix in (".xml", ".json"):
        if files := _files_of_images(tree, suffix):
            return Refused(
                f"{data.path} has {_count(tree.top.total)} without a label, and a file for each, such as "
                f"{join(files[0][0].path, files[0][1])}, in which the label may be. topwork does not read these files: "
                f"{_write_a_table(data)}.{_show(data, _in_file_names(tree))}",
                Evidence.LIKELY,
            )
    paths = [join(folder.path, name) for folder, name in _files_of_images(tree, ".txt")]
    texts = [short_text(tree, path) for path in paths[:_MAX_TEXTS]]
    distinct = list(dict.fromkeys(texts))
    if "" in distinct or not 1 < len(distinct) < len(texts):
        return None
    return Refused(
        f"{data.path} has a text file for each image, such as {paths[0]}, with {' or '.join(map(repr, distinct[:2]))}. "
        f"These may be the labels, but topwork does not read them from so many files: {_write_a_table(data)}.",
        Evidence.LIKELY,
    )


def _files_of_images(tree: FileTree, suffix: str) -> list[tuple[TreeFolder, str]]:
    """The files of a suffix that have the name of an image each; none if most images have none."""
    folders = list(tree.top.walk())
    found = [(folder, name) for folder in folders for name in folder.files if name.lower().endswith(suffix)]
    if not found:
        return []
    names = [name for folder in folders for name in folder.images]
    stems = {*map(stem_of, names), *map(str.lower, names)}
    files = [(folder, name) for folder, name in found if stem_of(name) in stems]
    return files if 2 * len(files) >= len(set(map(stem_of, names))) else []


def _head(tree: FileTree, folder: TreeFolder, name: str) -> bytes:
    try:
        with open(os.path.join(tree.store, folder.path, name), "rb") as file:
            return file.read(1 << 16)
    except OSError:  # in an archive
        return b""


def _no_label(data: DataArgument, tree: FileTree) -> Refused:
    base = unwrap(tree.top)
    names = [folder.name for folder in base.filled]
    splits = split_of(names)
    where = "they are directly in this folder"
    if len(names) == 1:
        where = f"all are in {base.filled[0].path}/, and a classifier needs at least two class folders"
    elif names:
        listed = ", ".join(f"{join(base.path, name)}/" for name in names[:5]) + (", ..." if len(names) > 5 else "")
        where = f"none of its folders {listed} is a class" + (", by the names they are splits" if splits else "")
    if pair := pairs_inside(tree.top):
        where += f"; {pair[0]}/ and {pair[1]}/ hold images of the same names, as pairs of images do"
    ways = _in_file_names(tree)
    if names:
        layout = "/".join([*["*"] * (base.path.count("/") + bool(base.path)), "class"])
        what = "each of the folders is a class" if len(names) > 1 else f"all images are of one class, {names[0]}"
        ways.append((what, ["--layout", layout]))
    return Refused(
        f"{data.path} has {_count(tree.top.total)} without a label: {where}. Put the images of each class into a "
        f"folder of its own, or {_write_a_table(data)}.{workbooks(tree)}{_show(data, ways)}",
        Evidence.POSSIBLE,
    )


def workbooks(tree: FileTree) -> str:
    """What to do with spreadsheets beside the images."""
    names = (join(folder.path, name) for folder in tree.top.walk() for name in folder.files if "~" not in name)
    found = next((name for name in names if name.lower().endswith(WORKBOOKS)), "")
    return (
        f" If the labels are in {found}, save it as CSV in the same folder, and run the command again." if found else ""
    )


def labels_in_files(data: DataArgument, tree: FileTree, folders: Sequence[TreeFolder]) -> str:
    """The commands for each of some folders as data, if the names of its files may have labels."""
    text = ""
    for folder in folders[:_MAX_OPENED]:
        if not folder.path:
            continue
        inner = tree_of_names("", (path.removeprefix(f"{folder.path}/") for path in folder.image_paths()))
        path = os.path.join(data.path, *folder.path.split("/"))
        for found in propose(inner.top):
            command = commands.data_command(data.config, path, ["--label-from", found.pattern])
            text += f"\n  If only {folder.path}/ counts and {found}, run:\n     {command}"
    return text


def _in_file_names(tree: FileTree) -> list[tuple[str, list[str]]]:
    """Ways to read labels from file names: what is so, and the option."""
    return [(str(found), ["--label-from", found.pattern]) for found in propose(tree.top)]


def _show(data: DataArgument, ways: Sequence[tuple[str, list[str]]]) -> str:
    """The command for each way."""
    start, gap = ("\n  ", "\n     ") if len(ways) > 1 else (" ", " ")
    return "".join(
        f"{start}If {what}, run:{gap}{commands.data_command(data.config, data.path, way)}" for what, way in ways
    )


def _count(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"
