"""A data set of the library ``datasets``: a local one, or one of the hub by ``hf:NAME``. Needs an extra."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from topwork.core.artifacts import Manifest
from topwork.core.errors import DataError, MissingDependency, UsageError
from topwork.core.names import slug
from topwork.data.sources.base import DataArgument
from topwork.data.sources.image_copies import ImageCopy, copy_images, stored_image, stored_label
from topwork.data.sources.label_column import command_with
from topwork.data.sources.reading import Evidence, Reading
from topwork.data.split_words import split_of

_HUB = "hf:"


class HuggingFaceSource:
    """``hf:owner/name`` or ``hf:owner/name/config``, or a folder that ``save_to_disk`` wrote.

    The bytes of the images are copied unchanged into topwork's cache, once, and read from there.
    """

    name = "hugging-face"
    supported_options = frozenset({"label_column"})

    def readings(self, data: DataArgument) -> Iterator[Reading]:
        """A name that begins with ``hf:``, or a folder with the files of ``save_to_disk``."""
        folder = Path(data.path)
        of_one_split = all((folder / name).is_file() for name in ("dataset_info.json", "state.json"))
        hub = data.path.startswith(_HUB)
        if hub or of_one_split or (folder / "dataset_dict.json").is_file() or data.is_explicit(self.name):
            how = "a data set of the library datasets"
            yield Reading(how, Evidence.CERTAIN, [data.path], partial(self._list, data))

    def _list(self, data: DataArgument) -> Manifest:
        """All images of the splits train, validation and test."""
        if importlib.util.find_spec("datasets") is None:
            raise MissingDependency(f"The data set {data.path!r}", "datasets")
        tables, license = _load(data.path)
        named = split_of(tables) if len(tables) > 1 else dict.fromkeys(tables, "")
        beside = dict.fromkeys(tables.keys() - named.keys(), "split beside train, validation and test")
        state: list[object] = [(name, getattr(table, "_fingerprint", "")) for name, table in sorted(tables.items())]
        state += [data.config.label_column] if data.config.label_column else []
        images = chain.from_iterable(_images(tables[name], name, split, data) for name, split in named.items())
        found = copy_images(data, sum(len(tables[name]) for name in named), state, images)
        name = slug(data.path.removeprefix(_HUB))
        return replace(found, name=name, ignored=beside | found.ignored, license=license)


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


def _columns(table: Any, data: DataArgument) -> tuple[str, str]:
    """The first column of images, and that of labels: the configured one, one with class names, or ``label``."""
    import datasets

    features = table.features
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    if not images:
        raise DataError(
            f"The data set has no column of images; its columns are {', '.join(features)}. Pass another data set."
        )
    requested = data.config.label_column
    if requested:
        labels = [name for name in features if name == requested]
    else:
        labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        labels = labels or [name for name in ("label", "labels", "class") if name in features][:1]
    if len(labels) > 1:
        ways = "".join(f"\n  {command_with(data.config, '--label-column', name)}" for name in labels)
        raise UsageError(
            f"{len(labels)} columns of {data.path} may be the label. Run the command for the right one:{ways}"
        )
    if not labels:
        command = command_with(data.config, "--label-column", "NAME")
        raise DataError(
            f"{data.path} has no column {requested or 'of labels (class names, or a column called label)'}; its "
            f"columns are {', '.join(features)}. Pass one as NAME: {command}"
        )
    return images[0], labels[0]


def _images(table: Any, name: str, split: str, data: DataArgument) -> Iterator[ImageCopy]:
    """The images of a split."""
    import datasets

    image, label = _columns(table, data)
    folders = _folders(data.path)
    classes = getattr(table.features[label], "names", None) or ()
    rows = table.select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
    for number, row in enumerate(rows):
        text = stored_label(row[label], classes, f"row {number} of split {name}")
        content = stored_image(row[image], folders, f"row {number} of split {name}")
        yield ImageCopy(name, slug(name), text, split, content)


def _folders(data: str) -> list[str]:
    """Where the files of a data set may be: in its folder, or in the caches of the library."""
    if not data.startswith(_HUB):
        return [os.path.abspath(data)]
    from datasets import config
    from huggingface_hub import constants

    return [str(config.HF_DATASETS_CACHE), str(constants.HF_HUB_CACHE)]
