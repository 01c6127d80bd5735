"""Stanford Cars: ``cars_train/``, ``cars_test/`` and MATLAB tables in ``devkit/``, or all of them one folder deeper."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.errors import DataError
from topwork.core.image_ref import box_suffix
from topwork.data.file_tree import FileTree, join
from topwork.data.locations import read_bytes
from topwork.data.sources.base import DataArgument, require_folder
from topwork.data.sources.reading import Evidence, Reading

_META, _TRAIN, _TEST = "cars_meta.mat", "cars_train_annos.mat", "cars_test_annos_withlabels.mat"
_DEVKIT = {_META: f"devkit/{_META}", _TRAIN: f"devkit/{_TRAIN}"}
_MAX_BYTES = 2**28


class StanfordCarsSource:
    """A folder or an archive with the devkit; the label is the class name. Split if the test images have labels."""

    name = "stanford-cars"
    supported_options = frozenset({"crop_to_box"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A folder with images in ``cars_train/``, and ``cars_meta.mat`` and the other tables, wherever they are."""
        found = _find(data.tree) if data.tree else {}
        if data.is_explicit(self.name) or {_META, _TRAIN, "cars_train"} <= found.keys():
            found = _DEVKIT | found
            how = f"the tables of Stanford Cars in {found[_META].rpartition('/')[0] or '.'}/"
            yield Reading(how, Evidence.CERTAIN, [data.path], partial(self._list, data, found))

    def _list(self, data: DataArgument, found: Mapping[str, str]) -> Manifest:
        """All images that the tables name, whether the files exist or not."""
        tree = data.tree
        if tree is None:
            raise DataError(
                f"{_META} is missing in {require_folder(Path(data.path))}. Download the Stanford Cars devkit into it."
            )
        names = [str(name) for name in _read(tree, found[_META], "class_names")]
        with_test = {"cars_test", _TEST} <= found.keys()
        splits = (("train", _TRAIN), ("test", _TEST)) if with_test else (("", _TRAIN),)
        rows: list[ImageRow] = []
        for split, table in splits:
            folder = found.get("cars_test" if split == "test" else "cars_train", "cars_train")
            rows += _rows(tree, names, found[table], folder, split, data.config.crop_to_box)
        folders = [found[name] for name in ("cars_train", "cars_test") if name in found]
        listed = {row.id.partition("#xywh=")[0] for row in rows}
        images = [join(folder, image) for folder in folders for image in tree.folders[folder].images]
        ignored = {image: "no label in the devkit" for image in images if image not in listed}
        return Manifest(Path(tree.store), tuple(rows), self.name, ignored)


def _find(tree: FileTree) -> dict[str, str]:
    """Name to path: of the tables nearest to the top, and of the folders that hold the images themselves."""
    found: dict[str, str] = {}
    for folder in tree.top.walk():
        for name in (_META, _TRAIN, _TEST):
            if name in folder.files:
                found.setdefault(name, join(folder.path, name))
        if folder.name in ("cars_train", "cars_test") and folder.images:
            found.setdefault(folder.name, folder.path)
    return found


def _read(tree: FileTree, table: str, variable: str) -> Any:
    """One variable of a MATLAB file as a 1-d array."""
    import numpy as np
    from scipy.io import loadmat

    try:
        content = io.BytesIO(read_bytes(tree.ref(table), _MAX_BYTES))
        return np.atleast_1d(loadmat(content, squeeze_me=True)[variable])
    except Exception as error:  # scipy's reader raises nearly anything on a damaged file
        path = join(tree.store, table)
        raise DataError(f"{path} cannot be read: {error}. Download the Stanford Cars devkit again.") from error


def _rows(tree: FileTree, names: list[str], table: str, folder: str, split: str, crop: bool) -> Iterator[ImageRow]:
    for row in _read(tree, table, "annotations"):
        try:
            number, file = int(row["class"]), str(row["fname"])
            if not 1 <= number <= len(names):
                raise ValueError(f"class {number} of {len(names)}")
            path = join(folder, file)
            ref = replace(tree.ref(path), box=_box(row) if crop else None)
            name = path + box_suffix(ref.box)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            path = join(tree.store, table)
            raise DataError(f"{path} has an invalid row: {error}. Download the Stanford Cars devkit again.") from error
        yield ImageRow(name, names[number - 1], split=split, ref=ref)


def _box(row: Any) -> tuple[int, int, int, int]:
    """The devkit counts pixels from 1 and includes the last one."""
    x1, y1, x2, y2 = (int(row[f"bbox_{end}"]) for end in ("x1", "y1", "x2", "y2"))
    return x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1
