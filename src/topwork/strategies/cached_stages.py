"""Training behind frozen stages: their activations for each view of an image are kept on disk and read every epoch.

A view is an image as an epoch would show it: view v of an image is what epoch v of an ordinary training sees of it, and
view 0 is what evaluation sees. With V views, epoch e trains on view 1 + (e - 1) mod V; with none, always on view 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.backbones.stage_split import StageSplit
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import augmented_batches, eval_batches
from topwork.data.transforms import TrainTransform, normalize
from topwork.features import FeatureCache
from topwork.strategies.base import CachedBatches
from topwork.training.context import RunContext
from topwork.training.epoch_choice import ValMetrics
from topwork.training.image_task import EVAL_BATCH, Classifier, make_train_mode, val_metrics
from topwork.training.loop import Batch, TrainingTask

SHARD_BYTES = 64 * 2**20


@dataclass
class StageCache:
    """The activations of the frozen stages, in a cache that is guarded by SHA-256.

    Attributes:
        stage_split: The network, split behind the frozen stages.
        frozen: The network up to the split, optimized for inference; on its device.
        context: Of the training.
        transform: Makes views 1, 2, ...
        cache: Holds the activations; its key has everything but image and view.
    """

    stage_split: StageSplit
    frozen: nn.Module
    context: RunContext
    transform: TrainTransform
    cache: FeatureCache

    def __post_init__(self) -> None:
        self._content = {row.id: bytes.fromhex(row.sha256) for row in self.context.manifest.used}

    def _key(self, view: int, image: str) -> bytes:
        name = image.encode(errors="surrogateescape")
        return hashlib.sha256(b"%d\0%b\0%b" % (view, self._content[image], name)).digest()

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
        pending: list[np.ndarray] = []
        done = held = 0
        with self.context.progress.track("frozen stages", len(missing)) as bar:
            for z in self._compute(missing):
                pending.append(z)
                held += len(z)
                bar.advance(len(z))
                stop = self.context.signals.stop_requested()
                if held * z[0].nbytes >= SHARD_BYTES or done + held == len(missing) or stop:
                    keys = [self._key(*pair) for pair in missing[done : done + held]]
                    self.cache.add(keys, np.concatenate(pending))
                    done, held, pending = done + held, 0, []
                if stop:
                    self.context.signals.raise_if_stopped()

    def _compute(self, missing: Sequence[tuple[int, str]]) -> Iterator[np.ndarray]:
        """Activations of at most a batch at a time, in the order of ``missing``, in which view 0 comes first."""
        plain = [image for view, image in missing if view == 0]
        augmented = [(view, image) for view, image in missing if view]
        index = {image: i for i, image in enumerate(dict.fromkeys(image for _, image in augmented))}
        refs, spec, workers = self.context.manifest.refs, self.context.spec, self.context.compute.workers
        if plain:
            yield from self._run(eval_batches(refs, plain, spec, EVAL_BATCH, workers))
        if augmented:
            keys = [(view, index[image]) for view, image in augmented]
            yield from self._run(augmented_batches(refs, list(index), spec, self.transform, keys, EVAL_BATCH, workers))

    def _run(self, batches: Iterator[tuple[torch.Tensor, int]]) -> Iterator[np.ndarray]:
        compute = self.context.compute
        for pixels, count in batches:
            with torch.inference_mode(), compute.autocast():
                z = self.stage_split.forward_frozen(self.frozen, normalize(pixels, self.context.spec, compute.device))
            z = z[:count].to(compute.dtype).contiguous().cpu()
            yield (z.view(torch.int16) if z.dtype == torch.bfloat16 else z).numpy()


def stage_task(
    model: Classifier, groups: list[dict[str, Any]], config: ImageTrainingConfig, views: int, cache: StageCache
) -> TrainingTask:
    """The task of training the layers behind the frozen stages.

    Args:
        model: The complete network, on its device; its backbone is the one that was split.
        groups: Of the parameters behind the split.
        config: Resolved settings.
        views: Augmented views of each image; 0 for images as evaluation sees them.
        cache: Of the frozen stages.
    """
    context, stage_split, device = cache.context, cache.stage_split, cache.context.compute.device
    splits = context.splits
    train, related = splits.ids["train"], context.groups("val")

    def load(epoch: int) -> Callable[[np.ndarray], torch.Tensor]:
        cache.ensure_cached(range(1, views + 1) if views else [0], train)
        view = 1 + (epoch - 1) % views if views else 0
        return lambda rows: cache.read(view, [train[i] for i in rows])

    def forward(z: torch.Tensor) -> torch.Tensor:
        return model.head(stage_split.forward_rest(z))

    def prepare(batch: Batch, _: int) -> Batch:
        return batch[0].to(device, non_blocking=True), batch[1].to(device, non_blocking=True)

    def evaluate() -> ValMetrics:
        images, logits = splits.ids["val"], []
        cache.ensure_cached([0], images)
        with torch.inference_mode(), context.compute.autocast():
            for start in range(0, len(images), EVAL_BATCH):
                logits.append(forward(cache.read(0, images[start : start + EVAL_BATCH]).to(device)).float().cpu())
        return val_metrics(torch.cat(logits), splits.labels["val"], related, context.metric)

    batches = CachedBatches(load, context.targets, config.batch_size, context.seed)
    train_mode = make_train_mode(model, config, stage_split.frozen)
    return TrainingTask(model, groups, batches, prepare, evaluate, train_mode, forward)
