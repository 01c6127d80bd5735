"""A data set of the library ``datasets``: a local one, or one of the hub by ``hf:NAME``. Needs an extra."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from topwork.core import run_folders, storage
from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.errors import DataError, MissingDependency, UsageError
from topwork.core.image_ref import ImageRef
from topwork.data.labels import UNLABELED, label_text
from topwork.data.sources.base import SPLIT_NAMES, DataArgument
from topwork.data.sources.reading import Evidence, Reading

_HUB = "hf:"
_SUFFIXES = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"),
             (b"II*\0", ".tif"), (b"MM\0*", ".tif"))  # fmt: skip


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
        root = run_folders.cache_folder() / "datasets" / _key(data, splits)
        rows: list[ImageRow] = []
        ignored: dict[str, str] = {}
        for name, table in splits.items():
            if len(splits) > 1 and name.lower() not in SPLIT_NAMES:
                ignored[name] = "split beside train, validation and test"
                continue
            split = SPLIT_NAMES.get(name.lower(), "") if len(splits) > 1 else ""
            unlabeled: list[str] = []
            found = list(_copy(table, root, name, split, unlabeled))
            rows += found
            if found:
                ignored |= dict.fromkeys(unlabeled, UNLABELED)
            else:
                ignored[name] = f"a split of {len(unlabeled):,} rows without a label"
        return Manifest(root, tuple(rows), storage.slug(data.removeprefix(_HUB)), ignored, license)


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


def _key(data: str, splits: dict[str, Any]) -> str:
    prints = " ".join(f"{name} {getattr(table, '_fingerprint', '')}" for name, table in sorted(splits.items()))
    return f"{storage.slug(data)[-40:]}-{hashlib.sha256(f'{data} {prints}'.encode()).hexdigest()[:12]}"


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


def _copy(table: Any, root: Path, name: str, split: str, unlabeled: list[str]) -> Iterator[ImageRow]:
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
        suffix = next((suffix for start, suffix in _SUFFIXES if data.startswith(start)), ".img")
        file = f"{storage.slug(name)}/{number:07d}{suffix}"
        _write(root / file, data)
        text = names[number_or_name] if names else text
        yield ImageRow(file, text, split=split, ref=ImageRef(str(root), file))


def _write(path: Path, data: bytes) -> None:
    """Write a file once; a copy that a kill has truncated is noticed by its size."""
    if path.is_file() and path.stat().st_size == len(data):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:  # not durable: it is a cache
        file.write(data)
