"""Stanford Cars in the form of its devkit: ``cars_train/``, ``cars_test/`` and MATLAB tables in ``devkit/``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.core.image_ref import ImageRef, box_suffix
from topwork.data.sources.base import DataArgument, require_folder
from topwork.data.sources.reading import Evidence, Reading

_META = "devkit/cars_meta.mat"
_TRAIN = "devkit/cars_train_annos.mat"
_TEST = ("devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat")


class StanfordCarsSource:
    """A folder with the devkit; the label is the class name. Split if the test images have labels."""

    name = "stanford-cars"
    supported_options = frozenset({"crop_to_box"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A folder with ``cars_train/`` and ``devkit/cars_meta.mat``."""
        root = Path(data.path)
        if data.is_explicit(self.name) or ((root / "cars_train").is_dir() and (root / _META).is_file()):
            how = "the tables of Stanford Cars in devkit/"
            yield Reading(how, Evidence.CERTAIN, [data.path], partial(self._list, data.config))

    def _list(self, config: DataConfig) -> Manifest:
        """All images that the tables name, whether the files exist or not."""
        root = require_folder(Path(config.path))
        names = [str(name) for name in _read(root / _META, "class_names")]
        tests = next((root / test for test in _TEST if (root / test).is_file()), None)
        tests = tests if (root / "cars_test").is_dir() else None
        rows = [*_rows(root, names, root / _TRAIN, "train" if tests else "", config.crop_to_box)]
        if tests:
            rows += _rows(root, names, tests, "test", config.crop_to_box)
        return Manifest(root, tuple(rows), self.name, _ignored(root, rows))


def _read(table: Path, variable: str) -> Any:
    """One variable of a MATLAB file as a 1-d array."""
    import numpy as np
    from scipy.io import loadmat

    try:
        return np.atleast_1d(loadmat(table, squeeze_me=True)[variable])
    except Exception as error:  # scipy's reader raises nearly anything on a damaged file
        raise DataError(f"{table} cannot be read: {error}. Download the Stanford Cars devkit again.") from error


def _rows(root: Path, names: list[str], table: Path, split: str, crop: bool) -> Iterator[ImageRow]:
    folder = "cars_test" if split == "test" else "cars_train"
    for row in _read(table, "annotations"):
        try:
            number, file = int(row["class"]), str(row["fname"])
            if not 1 <= number <= len(names):
                raise ValueError(f"class {number} of {len(names)}")
            ref = ImageRef(str(root), f"{folder}/{file}", _box(row) if crop else None)
            name = ref.name + box_suffix(ref.box)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(f"{table} has a bad row: {error}. Download the Stanford Cars devkit again.") from error
        yield ImageRow(name, names[number - 1], split=split, ref=ref)


def _box(row: Any) -> tuple[int, int, int, int]:
    """The devkit counts pixels from 1 and includes the last one."""
    x1, y1, x2, y2 = (int(row[f"bbox_{end}"]) for end in ("x1", "y1", "x2", "y2"))
    return x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1


def _ignored(root: Path, rows: list[ImageRow]) -> dict[str, str]:
    listed = {row.ref.name for row in rows}
    found = [path for folder in ("cars_train", "cars_test") for path in sorted((root / folder).glob("*"))]
    ids = [f"{path.parent.name}/{path.name}" for path in found]
    return {name: "no label in the devkit" for name in ids if name not in listed}
