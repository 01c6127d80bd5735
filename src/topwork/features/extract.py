"""Features of the images of one split assignment: from the cache, or computed by the frozen backbone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from topwork.backbones.build import Backbone
from topwork.compute.collectives import Files, broadcast, gather_round_robin, receive_broadcast
from topwork.compute.devices import DeviceContext
from topwork.compute.ranks import world
from topwork.core.artifacts import Manifest, Splits
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data import images, transforms
from topwork.data.batches import eval_batches
from topwork.features import engines
from topwork.features.cache import FeatureCache
from topwork.features.prefetch import MAX_WAITING, prefetch

BATCH = 32  # part of the cache key: features depend on the batch shape in their last bits
CACHE_FILE_ROWS = 2048
RELEASE_MIN_IMAGES = 20_000  # their features take more memory than the engine: it is released


def feature_key(backbone: Backbone, compute: DeviceContext, engine: str, batch: int) -> dict[str, Any]:
    """The key of a feature cache as JSON: everything but the image that decides the bits of its features."""
    return {
        "format": 2,
        "model": backbone.model,
        "weights": backbone.weights_hash,
        "input": str(backbone.spec),
        "mean": backbone.spec.mean,
        "std": backbone.spec.std,
        "pixels": [images.PREPROCESSING_VERSION, asdict(backbone.spec.pixel_rules)],
        "pillow": PIL.__version__,
        "torch": torch.__version__,
        "engine": engines.version(engine),
        "precision": compute.precision,
        "device": compute.device.type,
        "batch": batch,
    }


class FeatureStore:
    """Features of the training, validation and test images, from the cache or computed on demand.

    Args:
        backbone: The frozen network; it is moved to the device.
        manifest: Where the images are.
        splits: Which images are in which split.
        compute: Device and precision.
        folder: Of the feature cache.
        progress: Where the extraction is reported.
        signals: A request to stop ends the extraction between batches; what was computed is kept.
        number: Of the network among those that are joined; None for one alone.

    Attributes:
        engine: What runs the backbone; empty until it is chosen.
        seconds: Spent in computing features.
        views: Whether features of the images, and of the mirrored ones, were loaded: ``False`` and ``True``.
    """

    def __init__(
        self,
        backbone: Backbone,
        manifest: Manifest,
        splits: Splits,
        compute: DeviceContext,
        folder: Path,
        progress: Progress,
        signals: Signals,
        number: int | None = None,
    ) -> None:
        self.number = number
        self._backbone, self._manifest, self._splits = backbone, manifest, splits
        self._compute, self._folder, self._progress, self._signals = compute, folder, progress, signals
        self._content = {row.id: bytes.fromhex(row.sha256) for row in manifest.used}
        self._caches: dict[tuple[str, bool], FeatureCache] = {}
        self._loaded: dict[tuple[str, bool], np.ndarray] = {}
        self.engine = ""
        self._forward: engines.Forward | None = None
        self.seconds = 0.0
        self.views: set[bool] = set()

    def _cache(self, engine: str, mirrored: bool) -> FeatureCache:
        if (engine, mirrored) not in self._caches:
            backbone, compute = self._backbone, self._compute
            key = feature_key(backbone, compute, engine, BATCH) | {"mirrored": mirrored}
            self._caches[engine, mirrored] = FeatureCache(self._folder, key, self._progress.log)
        return self._caches[engine, mirrored]

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """Features of a split in the order of its images, float32 (N, D); not to be changed, they are kept in memory.

        The first call computes what is missing of all splits; of the mirrored view the test set only on request.
        """
        if (split, mirrored) not in self._loaded:
            self._loaded[split, mirrored] = self.read(split, mirrored)
        self.views.add(mirrored)
        return self._loaded[split, mirrored]

    def read(self, split: str, mirrored: bool) -> np.ndarray:
        """Like ``load``, for a caller that keeps them."""
        ids = self._needed(split, mirrored)
        if not self.engine:
            self.engine = best_engine([self], split, mirrored)
        cache = self._cache(self.engine, mirrored)
        self._compute_missing(cache, ids, mirrored)
        return cache.get([self._content[i] for i in self._splits.ids[split]])

    def _needed(self, split: str, mirrored: bool) -> list[str]:
        splits = ("train", "val") if mirrored and split != "test" else ("train", "val", "test")
        return [i for name in splits for i in self._splits.ids[name]]

    def training_seconds(self) -> float:
        """The time that the features in ``views`` of training and validation images took, now or earlier."""
        images = [self._content[i] for split in ("train", "val") for i in self._splits.ids[split]]
        return sum(self._cache(self.engine, mirrored).seconds(images) for mirrored in self.views)

    def missing(self, split: str, mirrored: bool) -> tuple[dict[str, int], int]:
        """How many images each engine has not computed of those that ``load`` needs, and how many these are."""
        content = [self._content[i] for i in self._needed(split, mirrored)]
        names = engines.available(self._compute)
        return {name: len(self._cache(name, mirrored).missing(content)) for name in names}, len(set(content))

    def fastest_engine(self, images: int) -> str:
        """The engine that computes a number of images soonest."""
        return engines.choose_engine(self._backbone, self._compute, images)

    def _compute_missing(self, cache: FeatureCache, ids: list[str], mirrored: bool) -> None:
        fresh = [ids[i] for i in cache.missing([self._content[i] for i in ids])]
        if not fresh:
            return
        title = "features (mirrored)" if mirrored else "features"
        of = f" of {self._backbone.model}" if self.number is not None else ""
        start = time.monotonic()
        broadcast({"extract": fresh, "mirrored": mirrored, "engine": self.engine, "network": self.number})
        self._build_engine()
        done, last = 0, start
        with self._progress.track(title + of, len(fresh)) as step:
            for features in self._extract(fresh, mirrored, step.advance):
                now = time.monotonic()
                cache.add([self._content[i] for i in fresh[done : done + len(features)]], features, now - last)
                done, last = done + len(features), now
            self._signals.raise_if_stopped()
        if len(fresh) >= RELEASE_MIN_IMAGES:
            self._forward = None  # the features need its memory; building it again takes seconds
        seconds = time.monotonic() - start
        self.seconds += seconds
        speed = f"{len(fresh) / seconds:.0f} per second; {self.engine}"
        self._progress.log(f"Features{of}: {len(fresh):,} {title[9:] or 'images'} in {seconds:.1f} s ({speed})")

    def _build_engine(self) -> None:
        if self._forward is None:
            self._forward = engines.build_engines(self.engine, self._backbone, self._compute, [BATCH])[BATCH]

    def extract_as_worker(self) -> Files:
        """Extract together with rank 0, which calls ``broadcast_from_main``, until it has finished; its result."""
        return follow([self])

    def extract_with_rank_0(self, message: dict[str, Any]) -> None:
        """Extract what rank 0 extracts."""
        self.engine = message["engine"]
        self._build_engine()
        for _ in self._extract(message["extract"], message["mirrored"], lambda count: None):
            pass
        self._signals.raise_if_stopped()

    def _extract(self, ids: list[str], mirrored: bool, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Features of the images in order, float32 (at most CACHE_FILE_ROWS, D) at a time; ends early on a signal.

        Each array is valid until the next one is requested.
        """
        batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        process = world()
        own = [i for batch in batches[process.rank :: process.size] for i in batch]
        pixels = eval_batches(self._manifest.refs, own, self._backbone.spec, BATCH, self._compute.workers)
        width = self._backbone.feature_dim
        rows, filled = np.empty((CACHE_FILE_ROWS, width), dtype=np.float32), 0  # small arrays would fragment the heap
        for features in gather_round_robin(
            self._prefetch(pixels, mirrored), [*map(len, batches)], width, self._signals
        ):
            rows[filled : filled + len(features)] = features
            filled += len(features)
            advance(len(features))
            if filled == CACHE_FILE_ROWS:
                yield rows
                filled = 0
        if filled:
            yield rows[:filled]

    def _prefetch(self, batches: Iterator[tuple[torch.Tensor, int]], mirrored: bool) -> Iterator[np.ndarray]:
        """Features of the batches in order; while one is computed the next are loaded and the last are written."""
        compute, spec = self._compute, self._backbone.spec
        buffers = _buffers(spec.size) if compute.device.type == "cpu" else repeat(None)
        inputs = (
            (transforms.normalize(pixels.flip(3) if mirrored else pixels, spec, compute.device, buffer), count)
            for (pixels, count), buffer in zip(batches, buffers, strict=False)
        )
        return (features for _, features in prefetch(self._features, inputs, compute.threads))

    def _features(self, batch: tuple[torch.Tensor, int]) -> np.ndarray:
        """Features float32 (count, D) of the first images of a normalized batch (BATCH, 3, S, S)."""
        assert self._forward is not None
        x, count = batch
        with torch.inference_mode(), self._compute.autocast():
            return self._forward(x)[:count].float().cpu().numpy()


def best_engine(stores: Sequence[FeatureStore], split: str, mirrored: bool) -> str:
    """The engine that has computed at least half of the images of a network before, else the fastest."""
    found = [store.missing(split, mirrored) for store in stores]
    missing = {name: min(counts[name] / max(1, images) for counts, images in found) for name in found[0][0]}
    name = min(missing, key=lambda name: missing[name])  # of equals the first, which is the fastest
    if missing[name] <= 0.5:
        return name
    return stores[0].fastest_engine(found[0][0][name])


def follow(stores: Sequence[FeatureStore]) -> Files:
    """Extract together with rank 0 until it has finished; what it then sends."""
    while True:
        message, files = receive_broadcast()
        if message is None:
            return files
        stores[message["network"] or 0].extract_with_rank_0(message)


def _buffers(size: int) -> Iterator[torch.Tensor]:
    """Buffers for normalized batches, in rotation: a new one per batch would fragment the heap."""
    shape = (BATCH, 3, size, size)
    return cycle([torch.empty(shape, memory_format=torch.channels_last) for _ in range(MAX_WAITING + 1)])
