"""Data sets whose labels are spread over several files: CUB-200 and NABirds, and the Flowers of Oxford."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from topwork.core.errors import DataError
from topwork.data.file_tree import FileTree, TreeFolder, join
from topwork.data.tables import Row, Table, decode

_COLUMNS = ("image", "label", "split")
Read = Callable[[str], bytes]
"""The bytes of a path in the tree."""


def known_lists(tree: FileTree, read: Read) -> Iterator[tuple[str, Table]]:
    """Path of its main file and table of each known data set in a tree."""
    for folder in tree.top.walk():
        files = {name.lower() for name in folder.files}
        if {"images.txt", "image_class_labels.txt"} <= files:
            yield join(folder.path, "images.txt"), _numbered(folder, read)
        if {"imagelabels.mat", "setid.mat"} <= files:
            yield join(folder.path, "imagelabels.mat"), _flowers(folder, read)


def _numbered(folder: TreeFolder, read: Read) -> Table:
    """images.txt has a number and a path on each line; the other files have a number and a fact about the image."""

    def facts(name: str) -> dict[str, str]:
        path = join(folder.path, name)
        if name not in folder.files:
            return {}
        lines = (line.strip().partition(" ") for line in decode(read(path))[0].splitlines() if line.strip())
        return {number: fact.strip() for number, _, fact in lines}

    labels, classes = facts("image_class_labels.txt"), facts("classes.txt")
    split, boxes = facts("train_test_split.txt"), facts("bounding_boxes.txt")
    rows: list[Row] = []
    for line, (number, path) in enumerate(facts("images.txt").items(), 1):
        label = labels.get(number, "")
        part = {"1": "train", "0": "test"}.get(split.get(number, ""), "")
        rows.append(
            (line, (f"images/{path}", classes.get(label, label), part, boxes.get(number, "").replace(" ", ",") or None))
        )
    names = [name for name in ("image_class_labels.txt", "train_test_split.txt") if name in folder.files]
    roles = {"path": "image", "label": "label", "split": "split"} | ({"box": "bounding box"} if boxes else {})
    name = f"{join(folder.path, 'images.txt')} with {' and '.join(names)}"
    return Table(name, (*_COLUMNS, "bounding box"), rows, roles=roles)


def _flowers(folder: TreeFolder, read: Read) -> Table:
    """Labels by number of the image, and the numbers of the three splits."""
    labels = _mat(join(folder.path, "imagelabels.mat"), read)["labels"]
    chosen = _mat(join(folder.path, "setid.mat"), read)
    split = {
        int(number): part
        for part, name in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
        for number in chosen[name].ravel()
    }
    rows = [(n, (f"image_{n:05}.jpg", str(int(label)), split.get(n, ""))) for n, label in enumerate(labels.ravel(), 1)]
    name = f"{join(folder.path, 'imagelabels.mat')} with setid.mat"
    return Table(name, _COLUMNS, rows, roles={"path": "image", "label": "label", "split": "split"})


def _mat(path: str, read: Read) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        return loadmat(io.BytesIO(read(path)))
    except Exception as error:  # scipy's reader raises nearly anything on a damaged file
        raise DataError(f"{path} cannot be read: {error}. Download it again.") from error
