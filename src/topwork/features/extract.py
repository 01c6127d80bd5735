"""Run the frozen backbone over the images that are not in the cache yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch

from topwork.artifacts import Manifest, Split
from topwork.backbones import Backbone
from topwork.data import images, transforms
from topwork.data.batches import eval_batches
from topwork.devices import Compute
from topwork.features.cache import FeatureCache
from topwork.progress import Progress
from topwork.signals import Signals

BATCH = 32  # part of the cache key: features depend on the batch shape in their last bits
SHARD = 2048


class FeatureStore:
    """Features of the parts of one split, from the cache or computed on demand.

    Args:
        backbone: The frozen network; it is moved to the device.
        manifest: Where the images are.
        split: Which images belong to which part.
        compute: Device and precision.
        folder: Of the feature cache.
        progress: Reports to people.
        signals: A wish to stop is heard between batches; what was computed is kept.
    """

    def __init__(
        self,
        backbone: Backbone,
        manifest: Manifest,
        split: Split,
        compute: Compute,
        folder: Path,
        progress: Progress,
        signals: Signals,
    ) -> None:
        self._backbone, self._manifest, self._split = backbone, manifest, split
        self._compute, self._folder, self._progress, self._signals = compute, folder, progress, signals
        self._content = {row.id: bytes.fromhex(row.sha256) for row in manifest.used}
        self._caches: dict[bool, FeatureCache] = {}
        self.seconds = 0.0

    def _cache(self, mirrored: bool) -> FeatureCache:
        if mirrored not in self._caches:
            backbone, compute = self._backbone, self._compute
            key = {
                "format": 1,
                "model": backbone.model,
                "weights": backbone.digest,
                "input": str(backbone.spec),
                "mean": backbone.spec.mean,
                "std": backbone.spec.std,
                "pixels": images.POLICY,
                "pillow": PIL.__version__,
                "torch": torch.__version__,
                "precision": compute.precision,
                "device": compute.device.type,
                "batch": BATCH,
                "mirrored": mirrored,
            }
            self._caches[mirrored] = FeatureCache(self._folder, key, self._progress.say)
        return self._caches[mirrored]

    def part(self, part: str, mirrored: bool = False) -> np.ndarray:
        """Features of a part in the order of the split, float32 (N, D).

        The first call computes what is missing of all parts, or of train alone for the mirrored view.
        """
        cache = self._cache(mirrored)
        parts = ("train",) if mirrored else ("train", "val", "test")
        self._compute_missing(cache, [i for p in parts for i in self._split.ids[p]], mirrored)
        return cache.get([self._content[i] for i in self._split.ids[part]])

    def _compute_missing(self, cache: FeatureCache, ids: list[str], mirrored: bool) -> None:
        fresh = [ids[i] for i in cache.missing([self._content[i] for i in ids])]
        if not fresh:
            return
        title = "features (mirrored)" if mirrored else "features"
        start = time.monotonic()
        with self._progress.step(title, len(fresh)) as step:
            for first in range(0, len(fresh), SHARD):
                piece = fresh[first : first + SHARD]
                features = self._extract(piece, mirrored, step.advance)
                cache.add([self._content[i] for i in piece[: len(features)]], features)
                self._signals.check()
        seconds = time.monotonic() - start
        self.seconds += seconds
        rate = len(fresh) / seconds
        self._progress.say(f"Features: {len(fresh):,} {title[9:] or 'images'} in {seconds:.1f} s ({rate:.0f} a second)")

    def _extract(self, ids: list[str], mirrored: bool, advance: Callable[[int], None]) -> np.ndarray:
        compute, spec = self._compute, self._backbone.spec
        module = compute.images(self._backbone.module).eval()
        rows = []
        with torch.inference_mode(), compute.autocast():
            for pixels, count in eval_batches(self._manifest.root, ids, spec, BATCH, compute.workers):
                x = transforms.normalise(pixels, spec, compute.device)
                rows.append(module(x.flip(3) if mirrored else x)[:count].float().cpu().numpy())
                advance(count)
                if self._signals.asked():
                    break
        return np.concatenate(rows)
