"""Run the frozen backbone over the images that are not in the cache yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from topwork.backbones import Backbone
from topwork.compute.collectives import Files, broadcast, broadcast_from_main, gather_round_robin, receive_broadcast
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
from topwork.features.subset import Features

BATCH = 32  # part of the cache key: features depend on the batch shape in their last bits
SHARD = 2048
RELEASE_MIN_IMAGES = 20_000  # images from which the features take more memory than what computes them


def feature_key(backbone: Backbone, compute: DeviceContext, engine: str, batch: int) -> dict[str, Any]:
    """Everything but the image that decides what a backbone makes of it, as JSON.

    Args:
        backbone: Its weights count, and what it is fed.
        compute: Its precision and device count.
        engine: What runs the backbone.
        batch: Images a pass.
    """
    return {
        "format": 2,
        "model": backbone.model,
        "weights": backbone.weights_hash,
        "input": str(backbone.spec),
        "mean": backbone.spec.mean,
        "std": backbone.spec.std,
        "pixels": images.POLICY,
        "pillow": PIL.__version__,
        "torch": torch.__version__,
        "engine": engines.version(engine),
        "precision": compute.precision,
        "device": compute.device.type,
        "batch": batch,
    }


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

    Attributes:
        engine: What runs the backbone; empty until it is chosen.
        seconds: Spent in computing features.
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
    ) -> None:
        self._backbone, self._manifest, self._split = backbone, manifest, splits
        self._compute, self._folder, self._progress, self._signals = compute, folder, progress, signals
        self._content = {row.id: bytes.fromhex(row.sha256) for row in manifest.used}
        self._caches: dict[tuple[str, bool], FeatureCache] = {}
        self.engine = "" if compute.engine == "best" else compute.engine
        self._forward: engines.Forward | None = None
        self.seconds = 0.0

    def _cache(self, engine: str, mirrored: bool) -> FeatureCache:
        if (engine, mirrored) not in self._caches:
            backbone, compute = self._backbone, self._compute
            key = feature_key(backbone, compute, engine, BATCH) | {"mirrored": mirrored}
            self._caches[engine, mirrored] = FeatureCache(self._folder, key, self._progress.log)
        return self._caches[engine, mirrored]

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """Features of a part in the order of the split, float32 (N, D).

        The first call computes what is missing of all parts, or of train alone for the mirrored view.
        """
        splits = ("train",) if mirrored else ("train", "val", "test")
        ids = [i for p in splits for i in self._split.ids[p]]
        if not self.engine:
            self.engine = self._best_engine(ids, mirrored)
        cache = self._cache(self.engine, mirrored)
        self._compute_missing(cache, ids, mirrored)
        return cache.get([self._content[i] for i in self._split.ids[split]])

    def _best_engine(self, ids: list[str], mirrored: bool) -> str:
        """The one that has computed at least half of these images before, else the fastest."""
        content = [self._content[i] for i in ids]
        missing = {name: len(self._cache(name, mirrored).missing(content)) for name in engines.available(self._compute)}
        name = min(missing, key=lambda name: missing[name])  # of equals the first, which is the fastest
        if missing[name] <= len(set(content)) / 2:
            return name
        return engines.choose_engine(self._backbone, self._compute, missing[name])

    def _compute_missing(self, cache: FeatureCache, ids: list[str], mirrored: bool) -> None:
        fresh = [ids[i] for i in cache.missing([self._content[i] for i in ids])]
        if not fresh:
            return
        title = "features (mirrored)" if mirrored else "features"
        start = time.monotonic()
        broadcast({"extract": fresh, "mirrored": mirrored, "engine": self.engine})
        self._start()
        done = 0
        with self._progress.track(title, len(fresh)) as step:
            for features in self._extract(fresh, mirrored, step.advance):
                cache.add([self._content[i] for i in fresh[done : done + len(features)]], features)
                done += len(features)
            self._signals.raise_if_stopped()
        if len(fresh) >= RELEASE_MIN_IMAGES:
            self._forward = None  # whoever asked needs its memory for the features; starting it anew takes seconds
        seconds = time.monotonic() - start
        self.seconds += seconds
        rate = len(fresh) / seconds
        self._progress.log(
            f"Features: {len(fresh):,} {title[9:] or 'images'} in {seconds:.1f} s ({rate:.0f} a second; {self.engine})"
        )

    def _start(self) -> None:
        if self._forward is None:
            self._forward = engines.build_engine(self.engine, self._backbone, self._compute, BATCH)

    def extract_as_worker(self) -> Files:
        """Extract with rank 0, which calls ``on_main_process``, until that is done; what it gave."""
        while True:
            message, files = receive_broadcast()
            if message is None:
                return files
            self.engine = message["engine"]
            self._start()
            for _ in self._extract(message["extract"], message["mirrored"], lambda count: None):
                pass
            self._signals.raise_if_stopped()

    def _extract(self, ids: list[str], mirrored: bool, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Features of the images in order, float32 (at most SHARD, D) at a time; ends early if a signal came.

        What is given is valid until the next is asked for.
        """
        batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        place = world()
        own = [i for batch in batches[place.rank :: place.size] for i in batch]
        pixels = eval_batches(self._manifest.root, own, self._backbone.spec, BATCH, self._compute.workers)
        width = self._backbone.feature_dim
        shard, filled = np.empty((SHARD, width), dtype=np.float32), 0  # small pieces split the heap
        for features in gather_round_robin(
            self._prefetch(pixels, mirrored), [*map(len, batches)], width, self._signals
        ):
            shard[filled : filled + len(features)] = features
            filled += len(features)
            advance(len(features))
            if filled == SHARD:
                yield shard
                filled = 0
        if filled:
            yield shard[:filled]

    def _prefetch(self, batches: Iterator[tuple[torch.Tensor, int]], mirrored: bool) -> Iterator[np.ndarray]:
        """Features of the batches in order; while one is computed the next are fetched and the last are written."""
        compute, spec = self._compute, self._backbone.spec
        rooms = _buffers(spec.size) if compute.device.type == "cpu" else repeat(None)
        given = (
            (transforms.normalise(pixels.flip(3) if mirrored else pixels, spec, compute.device, room), count)
            for (pixels, count), room in zip(batches, rooms, strict=False)
        )
        for _, features in prefetch(self._features, given, compute.threads):
            yield features

    def _features(self, batch: tuple[torch.Tensor, int]) -> np.ndarray:
        """Features float32 (count, D) of the first images of a normalised batch (BATCH, 3, S, S)."""
        assert self._forward is not None
        x, count = batch
        with torch.inference_mode(), self._compute.autocast():
            return self._forward(x)[:count].float().cpu().numpy()


def on_main_process(features: Features, compute: Callable[[], Files]) -> Files:
    """What rank 0 makes of features, in every process; the others help to extract what it asks for meanwhile."""
    if not world().is_main:
        assert isinstance(features, FeatureStore)
        return features.extract_as_worker()
    return broadcast_from_main(compute)


def _buffers(size: int) -> Iterator[torch.Tensor]:
    """Room for normalised batches, in turn: made anew for each batch, it would split the heap and pile up."""
    shape = (BATCH, 3, size, size)
    return cycle([torch.empty(shape, memory_format=torch.channels_last) for _ in range(MAX_WAITING + 1)])
