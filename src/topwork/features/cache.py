"""Features on disk, found by the content of the image and everything else that decides them.

A cache folder belongs to one key (weights, input, pixels, precision, versions). In it lie shards, each a safetensors
file of ``features`` float32 (N, D) and ``images`` uint8 (N, 32): the SHA-256 of the images' bytes. The name of a shard
is the SHA-256 of its content, so damage is noticed; a damaged shard is removed and its images are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from topwork import storage


class FeatureCache:
    """The features of one key.

    Args:
        folder: Of all feature caches.
        key: Everything but the image that decides a feature, as JSON; it is also written beside the shards.
        say: Where a damaged shard is reported to.
    """

    def __init__(self, folder: Path, key: dict[str, Any], say: Callable[[str], None]) -> None:
        self.folder = folder / storage.sha256_json(key)[:32]
        if not (self.folder / "key.json").is_file():
            storage.write_json(self.folder / "key.json", key)
        self._say = say
        self._rows: dict[bytes, np.ndarray] | None = None

    def _load(self) -> dict[bytes, np.ndarray]:
        rows: dict[bytes, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if storage.sha256_file(path) != path.stem:
                self._say(f"Feature cache: {path.name} is damaged; it is removed and its images are computed again.")
                path.unlink()
                continue
            shard = safetensors.numpy.load_file(path)
            rows.update(zip(map(bytes, shard["images"]), shard["features"], strict=True))
        return rows

    @property
    def rows(self) -> dict[bytes, np.ndarray]:
        """Content hash of an image (32 bytes) to its features, float32 (D,)."""
        if self._rows is None:
            self._rows = self._load()
        return self._rows

    def missing(self, images: Sequence[bytes]) -> list[int]:
        """Positions of the images that are not cached; of equal images only the first."""
        seen: set[bytes] = set()
        fresh = []
        for i, image in enumerate(images):
            if image not in self.rows and image not in seen:
                seen.add(image)
                fresh.append(i)
        return fresh

    def add(self, images: Sequence[bytes], features: np.ndarray) -> None:
        """Write a shard durably: features float32 (N, D) of images given by content hash."""
        table = np.frombuffer(b"".join(images), dtype=np.uint8).reshape(-1, 32)
        data = safetensors.numpy.save({"features": np.ascontiguousarray(features), "images": table})
        storage.write_bytes(self.folder / f"{storage.sha256_bytes(data)}.safetensors", data)
        self.rows.update(zip(images, features, strict=True))

    def get(self, images: Sequence[bytes]) -> np.ndarray:
        """Features of cached images, float32 (N, D)."""
        return np.stack([self.rows[image] for image in images])
