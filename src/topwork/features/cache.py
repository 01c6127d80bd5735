"""Features on disk, found by the content of the image and everything else that decides them.

A cache folder belongs to one key (weights, input, pixels, precision, versions). Its files are safetensors with
``features`` (N, ...) and ``images`` uint8 (N, 32), the SHA-256 of the images' bytes. The name of a file is the SHA-256
of its content, so corruption is detected: the file is removed and its images are computed again. Beside it are the
seconds that it took, so that the cost of a training does not depend on what was cached.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from topwork.core import storage

SECONDS = ".seconds"


class FeatureCache:
    """The features of one key.

    Args:
        folder: Of all feature caches.
        key: Everything but the image that decides a feature, as JSON; it is also written to the cache folder.
        log: Receives a line for each corrupt file.
    """

    def __init__(self, folder: Path, key: dict[str, Any], log: Callable[[str], None]) -> None:
        self.folder = folder / storage.sha256_json(key)[:32]
        if not (self.folder / "key.json").is_file():
            storage.write_json(self.folder / "key.json", key)
        self._log = log
        self._open: dict[Path, Any] = {}
        self._seconds: dict[Path, float] = {}  # per image

    @cached_property
    def index(self) -> dict[bytes, tuple[Path, int]]:
        """Content hash of an image (32 bytes) to its file and row; the features themselves stay on disk."""
        index: dict[bytes, tuple[Path, int]] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if storage.sha256_file(path) != path.stem:
                self._log(f"Feature cache: {path.name} is corrupt. It was removed; its images are computed again.")
                path.unlink()
                continue
            with safetensors.safe_open(path, "np") as file:
                images = file.get_tensor("images")
            with contextlib.suppress(OSError, ValueError):
                self._seconds[path] = float(path.with_suffix(SECONDS).read_text()) / len(images)
            index.update((bytes(image), (path, row)) for row, image in enumerate(images))
        return index

    def missing(self, images: Sequence[bytes]) -> list[int]:
        """Indices of the images that are not cached; of equal images only the first."""
        first: dict[bytes, int] = {}
        for i, image in enumerate(images):
            if image not in self.index:
                first.setdefault(image, i)
        return [*first.values()]

    def add(self, images: Sequence[bytes], features: np.ndarray, seconds: float = 0.0) -> None:
        """Write a file durably: features float32 (N, D) of images given by content hash, and the time they took."""
        table = np.frombuffer(b"".join(images), dtype=np.uint8).reshape(-1, 32)
        arrays = {"features": np.ascontiguousarray(features), "images": table}
        data = safetensors.numpy.save(arrays)
        path = self.folder / f"{storage.sha256_bytes(data)}.safetensors"
        storage.write_bytes(path, data)
        # beside it, so that equal features are equal files
        storage.write_text(path.with_suffix(SECONDS), repr(seconds))
        self.index.update((image, (path, row)) for row, image in enumerate(images))
        self._seconds[path] = seconds / len(images)

    def seconds(self, images: Sequence[bytes]) -> float:
        """The time in which features of cached images were computed, each counted once."""
        return sum(self._seconds.get(self.index[image][0], 0.0) for image in set(images))

    def get(self, images: Sequence[bytes]) -> np.ndarray:
        """Features of cached images, float32 (N, D); one file at a time is in memory beside them."""
        by_file: dict[Path, tuple[list[int], list[int]]] = {}
        for i, image in enumerate(images):
            path, row = self.index[image]
            positions, rows = by_file.setdefault(path, ([], []))
            positions.append(i)
            rows.append(row)
        found = np.empty((len(images), 0), dtype=np.float32)
        for path, (positions, rows) in by_file.items():
            features = safetensors.numpy.load_file(path)["features"]
            if not found.size:
                found = np.empty((len(images), features.shape[1]), dtype=np.float32)
            found[positions] = features[rows]
        return found

    def rows(self, images: Sequence[bytes]) -> np.ndarray:
        """Like ``get`` for a few of many large features (N, ...): only their rows are read from the mapped files."""
        found = []
        for image in images:
            path, row = self.index[image]
            if path not in self._open:
                self._open[path] = safetensors.safe_open(path, "np")
            found.append(self._open[path].get_slice("features")[row : row + 1])
        return np.concatenate(found)
