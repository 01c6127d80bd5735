"""The solar cells of the package ``elpv-dataset``: 2,624 electroluminescence images of 300 x 300 pixels."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.errors import DataError, MissingDependency
from topwork.core.image_ref import ImageRef
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence, Reading

POSITIVE = "with defect"
NEGATIVE = "functional"
"""The positive class sorts after the negative one, since the second of two classes is the positive one everywhere."""

_NOTE = (
    "Positive means a defect probability above 0.5; a random split, stratified by probability and cell type. "
    "Deitsch et al. 2019 (SVM 82.44 %, VGG-19 88.42 % with AUC 94.42 %) did not publish their split file, weighted the "
    "training by the experts' confidence, and trained the CNN as a regression on the probability at 300 px; "
    "a random split shares modules between its splits, so all such values are optimistic."
)


class ElpvSource:
    """The data argument ``elpv``: images and labels of the installed package, which is found but not imported."""

    name = "elpv"
    supported_options = frozenset[str]()

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """The word ``elpv``, unless there is a file or folder of that name."""
        if data.is_explicit(self.name) or (data.path == self.name and not Path(data.path).exists()):
            yield Reading("the table of the package elpv-dataset", Evidence.CERTAIN, [self.name], self._list)

    def _list(self) -> Manifest:
        """All cells of ``labels.csv``."""
        spec = importlib.util.find_spec("elpv_dataset")
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependency("The data set 'elpv'", "demo")
        root = Path(next(iter(spec.submodule_search_locations))) / "data"
        table = root / "labels.csv"
        try:
            lines = [line.split() for line in table.read_text("utf-8").splitlines() if line.strip()]
            rows = tuple(_cell(root, *line) for line in lines)
        except (OSError, ValueError, TypeError) as error:
            raise DataError(
                f"{table} cannot be read: {error}. Install it again: pip install --force-reinstall elpv-dataset"
            ) from error
        return Manifest(root, rows, self.name, license="CC BY-NC-SA 4.0", note=_NOTE, test_fraction=0.25)


def _cell(root: Path, name: str, probability: str, kind: str) -> ImageRow:
    value = float(probability)
    label = POSITIVE if value > 0.5 else NEGATIVE
    return ImageRow(name, label, stratum=f"{value:.3f}|{kind}", ref=ImageRef(str(root), name))
