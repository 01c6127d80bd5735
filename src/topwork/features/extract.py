"""Features of the images of one split assignment: from the cache, or computed by the frozen backbone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from topwork.backbones.build import Backbone
from topwork.backbones.joined import join_features
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

    Joined networks have the caches that they have alone; images are decoded once for all that miss them.

    Args:
        backbone: The frozen network; it is moved to the device.
        manifest: Where the images are.
        splits: Which images are in which split.
        compute: Device and precision.
        folder: Of the feature cache.
        progress: Where the extraction is reported.
        signals: A request to stop ends the extraction between batches; what was computed is kept.

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
    ) -> None:
        self._backbone, self._networks = backbone, backbone.members or (backbone,)
        self._manifest, self._splits = manifest, splits
        self._compute, self._folder, self._progress, self._signals = compute, folder, progress, signals
        self._content = {row.id: bytes.fromhex(row.sha256) for row in manifest.used}
        self._caches: dict[tuple[int, str, bool], FeatureCache] = {}
        self._loaded: dict[tuple[str, bool], np.ndarray] = {}
        self._forwards: dict[int, engines.Forward] = {}
        self.engine = ""
        self.seconds = 0.0
        self.views: set[bool] = set()

    def _cache(self, network: int, engine: str, mirrored: bool) -> FeatureCache:
        if (network, engine, mirrored) not in self._caches:
            key = feature_key(self._networks[network], self._compute, engine, BATCH) | {"mirrored": mirrored}
            self._caches[network, engine, mirrored] = FeatureCache(self._folder, key, self._progress.log)
        return self._caches[network, engine, mirrored]

    def _caches_of(self, engine: str, mirrored: bool) -> list[FeatureCache]:
        return [self._cache(network, engine, mirrored) for network in range(len(self._networks))]

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """Features of a split in the order of its images, float32 (N, D); not to be changed, they are kept in memory.

        The first call computes what is missing of all splits; of the mirrored view the test set only on request.
        """
        self.views.add(mirrored)
        if (split, mirrored) in self._loaded:
            return self._loaded[split, mirrored]
        splits = ("train", "val") if mirrored and split != "test" else ("train", "val", "test")
        ids = [i for name in splits for i in self._splits.ids[name]]
        if not self.engine:
            self.engine = self._best_engine(ids, mirrored)
        self._compute_missing(ids, mirrored)
        content = [self._content[i] for i in self._splits.ids[split]]
        parts = [cache.get(content) for cache in self._caches_of(self.engine, mirrored)]
        self._loaded[split, mirrored] = join_features(parts) if self._backbone.members else parts[0]
        return self._loaded[split, mirrored]

    def training_seconds(self) -> float:
        """The time that the features in ``views`` of training and validation images took, now or earlier."""
        images = [self._content[i] for split in ("train", "val") for i in self._splits.ids[split]]
        caches = [cache for mirrored in self.views for cache in self._caches_of(self.engine, mirrored)]
        return sum(cache.seconds(images) for cache in caches)

    def _best_engine(self, ids: list[str], mirrored: bool) -> str:
        """The engine that has computed at least half of these images before, by any network, else the fastest."""
        content = [self._content[i] for i in ids]
        missing = {
            name: min(len(cache.missing(content)) for cache in self._caches_of(name, mirrored))
            for name in engines.available(self._compute)
        }
        name = min(missing, key=lambda name: missing[name])  # of equals the first, which is the fastest
        if missing[name] <= len(set(content)) / 2:
            return name
        return engines.choose_engine(self._backbone, self._compute, missing[name])

    def _compute_missing(self, ids: list[str], mirrored: bool) -> None:
        content, missed_by = [self._content[i] for i in ids], dict[tuple[int, ...], list[int]]()
        for network, cache in enumerate(self._caches_of(self.engine, mirrored)):
            missed_by.setdefault(tuple(cache.missing(content)), []).append(network)
        for missing, networks in missed_by.items():
            if missing:
                self._compute_features([ids[i] for i in missing], mirrored, networks)

    def _compute_features(self, ids: list[str], mirrored: bool, networks: list[int]) -> None:
        title = "features (mirrored)" if mirrored else "features"
        names = [self._networks[network].model for network in networks] if self._backbone.members else []
        of = f" of {', '.join(names)}" if names else ""
        start = time.monotonic()
        broadcast({"extract": ids, "mirrored": mirrored, "engine": self.engine, "networks": networks})
        self._build_engines(networks)
        columns = np.cumsum([self._networks[network].feature_dim for network in networks])[:-1]
        done, last = 0, start
        with self._progress.track(title, len(ids)) as step:
            for features in self._extract(ids, mirrored, networks, step.advance):
                now, content = time.monotonic(), [self._content[i] for i in ids[done : done + len(features)]]
                for network, own in zip(networks, np.split(features, columns, axis=1), strict=True):
                    self._cache(network, self.engine, mirrored).add(content, own, (now - last) / len(networks))
                done, last = done + len(features), now
            self._signals.raise_if_stopped()
        if len(ids) >= RELEASE_MIN_IMAGES:
            self._forwards.clear()  # the features need its memory; building it again takes seconds
        seconds = time.monotonic() - start
        self.seconds += seconds
        speed = f"{len(ids) / seconds:.0f} per second; {self.engine}"
        self._progress.log(f"Features{of}: {len(ids):,} {title[9:] or 'images'} in {seconds:.1f} s ({speed})")

    def _build_engines(self, networks: list[int]) -> None:
        for network in networks:
            if network not in self._forwards:
                built = engines.build_engines(self.engine, self._networks[network], self._compute, [BATCH])
                self._forwards[network] = built[BATCH]

    def extract_as_worker(self) -> Files:
        """Extract together with rank 0, which calls ``broadcast_from_main``, until it has finished; its result."""
        while True:
            message, files = receive_broadcast()
            if message is None:
                return files
            self.engine = message["engine"]
            self._build_engines(message["networks"])
            extracted = self._extract(message["extract"], message["mirrored"], message["networks"], lambda count: None)
            for _ in extracted:
                pass
            self._signals.raise_if_stopped()

    def _extract(
        self, ids: list[str], mirrored: bool, networks: list[int], advance: Callable[[int], None]
    ) -> Iterator[np.ndarray]:
        """Features of the images in order, by networks side by side, float32 (at most CACHE_FILE_ROWS, D) at a time.

        Each array is valid until the next one is requested. It ends early on a signal.
        """
        batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        process = world()
        own = [i for batch in batches[process.rank :: process.size] for i in batch]
        pixels = eval_batches(self._manifest.refs, own, self._backbone.spec, BATCH, self._compute.workers)
        width = sum(self._networks[network].feature_dim for network in networks)
        rows, filled = np.empty((CACHE_FILE_ROWS, width), dtype=np.float32), 0  # small arrays would fragment the heap
        for features in gather_round_robin(
            self._prefetch(pixels, mirrored, networks), [*map(len, batches)], width, self._signals
        ):
            rows[filled : filled + len(features)] = features
            filled += len(features)
            advance(len(features))
            if filled == CACHE_FILE_ROWS:
                yield rows
                filled = 0
        if filled:
            yield rows[:filled]

    def _prefetch(
        self, batches: Iterator[tuple[torch.Tensor, int]], mirrored: bool, networks: list[int]
    ) -> Iterator[np.ndarray]:
        """Features of the batches in order; while one is computed the next are loaded and the last are written."""
        compute, spec = self._compute, self._backbone.spec
        buffers = _buffers(spec.size) if compute.device.type == "cpu" else repeat(None)
        inputs = (
            (transforms.normalize(pixels.flip(3) if mirrored else pixels, spec, compute.device, buffer), count)
            for (pixels, count), buffer in zip(batches, buffers, strict=False)
        )
        return (features for _, features in prefetch(partial(self._features, networks), inputs, compute.threads))

    def _features(self, networks: list[int], batch: tuple[torch.Tensor, int]) -> np.ndarray:
        """Features float32 (count, D) of the first images of a normalized batch (BATCH, 3, S, S)."""
        (x, count), spec = batch, self._backbone.spec
        with torch.inference_mode(), self._compute.autocast():
            parts = [
                self._forwards[network](transforms.renormalize(x, spec, self._networks[network].spec))[:count]
                for network in networks
            ]
            return np.concatenate([part.float().cpu().numpy() for part in parts], axis=1)


def _buffers(size: int) -> Iterator[torch.Tensor]:
    """Buffers for normalized batches, in rotation: a new one per batch would fragment the heap."""
    shape = (BATCH, 3, size, size)
    return cycle([torch.empty(shape, memory_format=torch.channels_last) for _ in range(MAX_WAITING + 1)])
