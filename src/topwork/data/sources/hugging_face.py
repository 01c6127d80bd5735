"""A data set of the library ``datasets``: one on this machine, or one of the hub by ``hf:NAME``. Needs an extra."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topwork.core import run_folders, storage
from topwork.core.errors import DataError, MissingDependency, UsageError
from topwork.data.sources.base import FoundImage, Listing, Reading

_HUB = "hf:"
_SPLITS = {"train": "train", "training": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val",
          "test": "test"}  # fmt: skip
_SUFFIXES = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"),
             (b"II*\0", ".tif"), (b"MM\0*", ".tif"))  # fmt: skip


class HuggingFaceSource:
    """``hf:owner/name`` or ``hf:owner/name/config``, or a folder that ``save_to_disk`` wrote.

    The bytes of the images are copied as they are into topwork's cache, once; what reads files can then read them.
    """

    name = "hugging-face"
    knows = frozenset[str]()

    def recognises(self, path: Path) -> bool:
        """A name that begins with ``hf:``, or a folder with the files of ``save_to_disk``."""
        if str(path).startswith(_HUB):
            return True
        return any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))

    def list(self, path: Path, reading: Reading) -> Listing:
        """All images of the parts train, validation and test.

        Raises:
            MissingExtra: The library is not installed.
            UsageError: There is no such data set.
            DataError: It has no column of images or of labels.
        """
        if importlib.util.find_spec("datasets") is None:
            raise MissingDependency(f"The data set {str(path)!r}", "datasets")
        splits, license = _load(path)
        root = run_folders.cache_folder() / "datasets" / _key(path, splits)
        images: list[FoundImage] = []
        ignored: dict[str, str] = {}
        for name, table in splits.items():
            if len(splits) > 1 and name.lower() not in _SPLITS:
                ignored[name] = "part beside train, validation and test"
                continue
            split = _SPLITS.get(name.lower(), "") if len(splits) > 1 else ""
            images += _copy(table, root, name, split)
        return Listing(root, storage.slug(str(path).removeprefix(_HUB)), tuple(images), ignored, license)


def _load(path: Path) -> tuple[dict[str, Any], str]:
    """Part name to table, and the licence."""
    import datasets

    words = str(path)
    try:
        if words.startswith(_HUB):
            name, _, config = _name_and_config(words.removeprefix(_HUB))
            found = datasets.load_dataset(name, config)
        else:
            found = datasets.load_from_disk(words)
    except Exception as error:  # the library raises many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"{words} cannot be loaded by the library datasets: {reason}. Check the name.") from error
    splits: dict[str, Any] = (
        {str(name): table for name, table in found.items()}
        if isinstance(found, dict)
        else {str(getattr(found, "split", None) or "train"): found}
    )
    return splits, next((str(table.info.license) for table in splits.values() if table.info.license), "")


def _name_and_config(words: str) -> tuple[str, str, str | None]:
    owner, *rest = words.split("/")
    name = "/".join([owner, *rest[:1]])
    return name, owner, "/".join(rest[1:]) or None


def _key(path: Path, splits: dict[str, Any]) -> str:
    prints = " ".join(f"{name} {getattr(table, '_fingerprint', '')}" for name, table in sorted(splits.items()))
    return f"{storage.slug(str(path))[-40:]}-{hashlib.sha256(f'{path} {prints}'.encode()).hexdigest()[:12]}"


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


def _copy(table: Any, root: Path, name: str, split: str) -> Iterator[FoundImage]:
    import datasets

    image, label = _columns(table)
    names = getattr(table.features[label], "names", None)
    rows = table.select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
    for number, row in enumerate(rows):
        value, given = row[image] or {}, row[label]
        data = value.get("bytes")
        if data is None and value.get("path"):
            data = Path(value["path"]).read_bytes() if Path(value["path"]).is_file() else b""
        if given is None or given == -1:  # the library's word for no label
            continue
        word = names[given] if names else str(given)
        place = f"{storage.slug(name)}/{number:07d}{_suffix(data or b'')}"
        _write(root / place, data or b"")
        yield FoundImage(place, root / place, word, split, word)


def _suffix(data: bytes) -> str:
    return next((suffix for start, suffix in _SUFFIXES if data.startswith(start)), ".img")


def _write(path: Path, data: bytes) -> None:
    """Once; a copy that a kill has cut short is noticed by its size."""
    if path.is_file() and path.stat().st_size == len(data):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:  # not durable: it is a cache
        file.write(data)
