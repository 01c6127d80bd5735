"""Training behind frozen stages: what they compute for each view of an image is kept on disk and read every epoch.

A view is an image as an epoch would show it: view v of an image is what epoch v of an ordinary training sees of it, and
view 0 is what evaluation sees. With V views, epoch e trains on view 1 + (e - 1) mod V; with none, always on view 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.backbones.stage_split import StageSplit
from topwork.core import seeds
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import Targets, augmented_batches, eval_batches
from topwork.data.transforms import TrainTransform, normalise
from topwork.features import FeatureCache
from topwork.training.context import RunContext
from topwork.training.image_task import EVAL_BATCH, Classifier, class_weights, make_train_mode, val_metrics
from topwork.training.loop import Batch, TrainingTask

SHARD_BYTES = 64 * 2**20


@dataclass
class StageCache:
    """What the frozen stages make of images: computed when first asked for, kept in a cache with SHA-256 guards.

    Attributes:
        cut: Where the network is cut.
        front: The network up to the cut, as fast as can be; on its device.
        context: Of the training.
        transform: Makes views 1, 2, ...
        cache: Where it is kept; its key holds everything but image and view.
    """

    stage_split: StageSplit
    front: nn.Module
    context: RunContext
    transform: TrainTransform
    cache: FeatureCache

    def __post_init__(self) -> None:
        self._content = {row.id: bytes.fromhex(row.sha256) for row in self.context.manifest.used}

    def _key(self, view: int, image: str) -> bytes:
        return hashlib.sha256(
            b"%d\0%b\0%b" % (view, self._content[image], image.encode(errors="surrogateescape"))
        ).digest()

    def read(self, view: int, images: Sequence[str]) -> torch.Tensor:
        """A view of images, (B, ...) in the precision of the forward pass, on the CPU."""
        rows = torch.from_numpy(self.cache.rows([self._key(view, image) for image in images]))
        return rows.view(torch.bfloat16) if rows.dtype == torch.int16 else rows

    def ensure_cached(self, views: Sequence[int], images: Sequence[str]) -> None:
        """Compute missing views; a request to stop is checked between batches, finished views are kept."""
        pairs = [(view, image) for view in views for image in images]
        missing = [pairs[i] for i in self.cache.missing([self._key(*pair) for pair in pairs])]
        if not missing:
            return
        size = int(np.prod(self.stage_split.shape)) * self.context.compute.dtype.itemsize
        self.context.progress.log(
            f"  Frozen stages: {len(missing):,} views of images are computed once; up to "
            f"{len(missing) * size / 1e9:.1f} GB on disk until the training is done"
        )
        waiting: list[np.ndarray] = []
        done = held = 0
        with self.context.progress.track("frozen stages", len(missing)) as step:
            for z in self._computed(missing):
                waiting.append(z)
                held += len(z)
                step.advance(len(z))
                stop = self.context.signals.stop_requested()
                if held * z[0].nbytes >= SHARD_BYTES or done + held == len(missing) or stop:
                    keys = [self._key(*pair) for pair in missing[done : done + held]]
                    self.cache.add(keys, np.concatenate(waiting))
                    done, held, waiting = done + held, 0, []
                if stop:
                    self.context.signals.raise_if_stopped()

    def _computed(self, missing: Sequence[tuple[int, str]]) -> Iterator[np.ndarray]:
        """Pieces of at most a batch, in the order of ``missing``, in which view 0 comes first."""
        plain = [image for view, image in missing if view == 0]
        augmented = [(view, image) for view, image in missing if view]
        number = {image: i for i, image in enumerate(dict.fromkeys(image for _, image in augmented))}
        refs, spec, workers = self.context.manifest.refs, self.context.spec, self.context.compute.workers
        keys = [(view, number[image]) for view, image in augmented]
        if plain:
            yield from self._run(eval_batches(refs, plain, spec, EVAL_BATCH, workers))
        if keys:
            yield from self._run(augmented_batches(refs, list(number), spec, self.transform, keys, EVAL_BATCH, workers))

    def _run(self, batches: Iterator[tuple[torch.Tensor, int]]) -> Iterator[np.ndarray]:
        compute = self.context.compute
        for pixels, count in batches:
            with torch.inference_mode(), compute.autocast():
                z = self.stage_split.forward_frozen(self.front, normalise(pixels, self.context.spec, compute.device))
            z = z[:count].to(compute.dtype).contiguous().cpu()
            yield (z.view(torch.int16) if z.dtype == torch.bfloat16 else z).numpy()


class StageBatches:
    """Training batches of what the frozen stages made of images.

    Args:
        store: Where it is.
        images: Training images, (N,).
        targets: Their labels, (N,).
        batch_size: Images a step; at most N are used, an incomplete last batch is left out.
        seed: Of the run.
        views: V, how many augmented views there are; 0 for images as evaluation sees them.
    """

    def __init__(
        self, store: StageCache, images: Sequence[str], targets: Targets, batch_size: int, seed: int, views: int
    ) -> None:
        self._store, self._images, self._targets = store, images, targets
        self._size, self._seed, self._views = min(batch_size, len(images)), seed, views
        self._filled = False

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._images) // self._size

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Batches ``first``, ``first + 1``, ... of an epoch: (B, ...) and ``Targets``."""
        if not self._filled:
            self._store.ensure_cached(range(1, self._views + 1) if self._views else [0], self._images)
            self._filled = True
        view = 1 + (epoch - 1) % self._views if self._views else 0
        order = seeds.epoch_permutation(self._seed, epoch, len(self._images))
        for step in range(first, len(self)):
            chunk = order[step * self._size : (step + 1) * self._size]
            yield self._store.read(view, [self._images[i] for i in chunk]), self._targets[chunk]


def stage_task(
    model: Classifier, groups: list[dict[str, Any]], config: ImageTrainingConfig, views: int, store: StageCache
) -> TrainingTask:
    """The task of training what is behind a cut.

    Args:
        model: The whole network, on its device; its backbone is the one that was cut.
        groups: Of the parameters behind the cut.
        config: Resolved settings.
        views: Augmented views of each image.
        store: Of the frozen stages.
    """
    context, stage_split, device = store.context, store.stage_split, store.context.compute.device
    splits = context.splits

    def forward(z: torch.Tensor) -> torch.Tensor:
        return model.head(stage_split.forward_rest(z))

    def prepare(batch: Batch, _: int) -> Batch:
        return batch[0].to(device, non_blocking=True), batch[1].to(device, non_blocking=True)

    def evaluate() -> tuple[float, float]:
        images, logits = splits.ids["val"], []
        store.ensure_cached([0], images)
        with torch.inference_mode(), context.compute.autocast():
            for start in range(0, len(images), EVAL_BATCH):
                logits.append(forward(store.read(0, images[start : start + EVAL_BATCH]).to(device)).float().cpu())
        return val_metrics(torch.cat(logits), splits.labels["val"])

    batches = StageBatches(store, splits.ids["train"], context.targets, config.batch_size, context.seed, views)
    weights = class_weights(config, splits.labels["train"], len(splits.classes), device)
    return TrainingTask(
        model, groups, batches, prepare, evaluate, weights, make_train_mode(model, config, stage_split.frozen), forward
    )
