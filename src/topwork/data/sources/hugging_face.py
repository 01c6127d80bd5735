"""A data set of the library ``datasets``: a local one, or one of the hub by ``hf:NAME``. Needs an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from topwork.core import storage
from topwork.core.artifacts import Manifest
from topwork.core.errors import DataError, MissingDependency, UsageError
from topwork.data.labels import UNLABELED, label_text
from topwork.data.sources.base import DataArgument
from topwork.data.sources.image_copies import ImageCopy, copy_images
from topwork.data.sources.reading import Evidence, Reading
from topwork.data.split_words import split_of

_HUB = "hf:"


class HuggingFaceSource:
    """``hf:owner/name`` or ``hf:owner/name/config``, or a folder that ``save_to_disk`` wrote.

    The bytes of the images are copied unchanged into topwork's cache, once, and read from there.
    """

    name = "hugging-face"
    supported_options = frozenset[str]()

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A name that begins with ``hf:``, or a folder with the files of ``save_to_disk``."""
        folder = Path(data.path)
        of_one_split = all((folder / name).is_file() for name in ("dataset_info.json", "state.json"))
        hub = data.path.startswith(_HUB)
        if hub or of_one_split or (folder / "dataset_dict.json").is_file() or data.is_explicit(self.name):
            how = "the rows of a data set of the library datasets"
            yield Reading(how, Evidence.CERTAIN, [data.path], partial(self._list, data.path))

    def _list(self, data: str) -> Manifest:
        """All images of the splits train, validation and test."""
        if importlib.util.find_spec("datasets") is None:
            raise MissingDependency(f"The data set {data!r}", "datasets")
        splits, license = _load(data)
        state = [(name, getattr(table, "_fingerprint", "")) for name, table in sorted(splits.items())]
        copies = copy_images(data, state, partial(_images, splits))
        return Manifest(copies.root, copies.rows, storage.slug(data.removeprefix(_HUB)), copies.ignored, license)


def _images(splits: dict[str, Any], ignored: dict[str, str]) -> Iterator[ImageCopy]:
    """The images of all splits; what has no label is added to ``ignored``."""
    named = split_of(splits)
    for name, table in splits.items():
        if len(splits) > 1 and name not in named:
            ignored[name] = "split beside train, validation and test"
            continue
        split = named[name] if len(splits) > 1 else ""
        unlabeled: list[str] = []
        yield from _labeled(table, name, split, unlabeled)
        if len(unlabeled) < len(table):
            ignored.update(dict.fromkeys(unlabeled, UNLABELED))
        else:
            ignored[name] = f"a split of {len(unlabeled):,} rows without a label"


def _load(data: str) -> tuple[dict[str, Any], str]:
    """Split name to table, and the license."""
    import datasets

    try:
        if data.startswith(_HUB):
            owner, *rest = data.removeprefix(_HUB).split("/")
            found = datasets.load_dataset("/".join([owner, *rest[:1]]), "/".join(rest[1:]) or None)
        else:
            found = datasets.load_from_disk(data)
    except Exception as error:  # the library raises many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"{data} cannot be loaded by the library datasets: {reason}. Check the name.") from error
    splits: dict[str, Any] = (
        {str(name): table for name, table in found.items()}
        if isinstance(found, dict)
        else {str(getattr(found, "split", None) or "train"): found}
    )
    return splits, next((str(table.info.license) for table in splits.values() if table.info.license), "")


def _columns(table: Any) -> tuple[str, str]:
    """The first column of images, and that of labels: the first with class names, else ``label``."""
    import datasets

    features = table.features
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    labels += [name for name in ("label", "labels", "class") if name in features]
    if not images or not labels:
        what = "images" if not images else "labels (class names, or a column 'label')"
        raise DataError(f"The data set has no column of {what}, but {', '.join(features)}. Choose another one.")
    return images[0], labels[0]


def _labeled(table: Any, name: str, split: str, unlabeled: list[str]) -> Iterator[ImageCopy]:
    """The images with a label; rows without one are added to ``unlabeled``."""
    import datasets

    image, label = _columns(table)
    names = getattr(table.features[label], "names", None)
    rows = table.select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
    for number, row in enumerate(rows):
        value, number_or_name = row[image] or {}, row[label]
        text = label_text(number_or_name, f"row {number} of split {name}")
        if not text or number_or_name == -1:
            unlabeled.append(f"{name}:{number}")
            continue
        data, path = value.get("bytes"), Path(value.get("path") or "")
        if data is None:
            data = path.read_bytes() if path.is_file() else b""
        text = names[number_or_name] if names else text
        yield ImageCopy(f"{storage.slug(name)}/{number:07d}", text, split, data)
