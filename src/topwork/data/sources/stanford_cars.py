"""Stanford Cars in the form of its devkit: ``cars_train/``, ``cars_test/`` and MATLAB tables in ``devkit/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topwork.core.errors import DataError
from topwork.data.images import file_of
from topwork.data.sources.base import FoundImage, Listing, Reading, boxed, existing_folder

_META = "devkit/cars_meta.mat"
_TRAIN = "devkit/cars_train_annos.mat"
_TEST = ("devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat")


class StanfordCarsSource:
    """A folder with the devkit; the label is the class name. It comes with a split if the labels of test are there."""

    name = "stanford-cars"
    knows = frozenset({"crop_to_box"})

    def recognises(self, path: Path) -> bool:
        """A folder with ``cars_train/`` and ``devkit/cars_meta.mat``."""
        return (path / "cars_train").is_dir() and (path / _META).is_file()

    def list(self, path: Path, reading: Reading) -> Listing:
        """All images that the tables name, whether they are there or not.

        Raises:
            UsageError: There is no such folder.
            DataError: A table is missing or damaged.
        """
        root = existing_folder(path)
        names = [str(name) for name in _read(root / _META, "class_names")]
        tests = next((root / test for test in _TEST if (root / test).is_file()), None)
        tests = tests if (root / "cars_test").is_dir() else None
        images = [*_images(root, names, root / _TRAIN, "train" if tests else "", reading.crop_to_box)]
        if tests:
            images += _images(root, names, tests, "test", reading.crop_to_box)
        return Listing(root, self.name, tuple(images), _ignored(root, images))


def _read(table: Path, variable: str) -> Any:
    """One variable of a MATLAB file as a 1-d array."""
    import numpy as np
    from scipy.io import loadmat

    try:
        return np.atleast_1d(loadmat(table, squeeze_me=True)[variable])
    except Exception as error:  # scipy's reader raises nearly anything on a damaged file
        raise DataError(f"{table} cannot be read: {error}. Download the Stanford Cars devkit again.") from error


def _images(root: Path, names: list[str], table: Path, split: str, crop: bool) -> Iterator[FoundImage]:
    folder = "cars_test" if split == "test" else "cars_train"
    for row in _read(table, "annotations"):
        try:
            number, file = int(row["class"]), str(row["fname"])
            if not 1 <= number <= len(names):
                raise ValueError(f"class {number} of {len(names)}")
            name = boxed(f"{folder}/{file}", _box(row)) if crop else f"{folder}/{file}"
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(f"{table} has a bad row: {error}. Download the Stanford Cars devkit again.") from error
        label = names[number - 1]
        yield FoundImage(name, root / name, label, split, label)


def _box(row: Any) -> tuple[int, int, int, int]:
    """The devkit counts pixels from 1 and names the last one that is in."""
    x1, y1, x2, y2 = (int(row[f"bbox_{end}"]) for end in ("x1", "y1", "x2", "y2"))
    return x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1


def _ignored(root: Path, images: list[FoundImage]) -> dict[str, str]:
    listed = {file_of(image.id) for image in images}
    there = [path for folder in ("cars_train", "cars_test") for path in sorted((root / folder).glob("*"))]
    ids = [f"{path.parent.name}/{path.name}" for path in there]
    return {name: "no label in the devkit" for name in ids if name not in listed}
