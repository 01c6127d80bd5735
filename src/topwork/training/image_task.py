"""Training a network end to end on images: the task that ``loop.fit`` needs, and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.backbones.build import convert_sync_batchnorm
from topwork.compute import collectives
from topwork.compute.devices import compile_quietly, keep_depthwise_in_float32
from topwork.compute.ranks import world
from topwork.core.base_config import Auto
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import TrainBatches, eval_batches
from topwork.data.transforms import Mixer, TrainTransform, normalize
from topwork.evaluation import target_metric
from topwork.evaluation.calibration import fit_temperature
from topwork.training.context import RunContext
from topwork.training.epoch_choice import Target, ValMetrics
from topwork.training.loop import Batch, TrainingTask

Load = Callable[[Sequence[str], int], Iterable[tuple[torch.Tensor, int]]]
EVAL_BATCH = 32
BN_MOMENTUM = 0.1


class Classifier(nn.Module):
    """A backbone (B, 3, S, S) -> (B, D) with a head (B, D) -> (B, K)."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) of normalized images (B, 3, S, S)."""
        return self.head(self.backbone(x))


def outputs(
    model: nn.Module, ids: Sequence[str], context: RunContext, mirrored: bool = False, load: Load | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (N, K) and features float32 (N, D) of images by a ``Classifier``.

    Args:
        mirrored: Features are the mean of those of an image and of its mirror image.
        load: Loads the batches, if workers have been started before; as ``eval_batches``.
    """
    assert isinstance(model, Classifier)
    model.eval()
    refs, workers = context.manifest.refs, context.compute.workers
    load = load or (lambda share, size: eval_batches(refs, share, context.spec, size, workers))
    logits, features = collectives.map_batches(
        ids, EVAL_BATCH, lambda share: _outputs(model, load(share, EVAL_BATCH), context, mirrored)
    )
    return logits.numpy(), features.numpy()


def _outputs(
    model: Classifier, batches: Iterable[tuple[torch.Tensor, int]], context: RunContext, mirrored: bool
) -> list[torch.Tensor]:
    spec, compute, logits, features = context.spec, context.compute, [], []
    # not inference_mode: the gathered weights of a sharded model would never train again
    with torch.no_grad(), compute.autocast():
        for pixels, count in batches:
            x = normalize(pixels, spec, compute.device)
            y = model.backbone(x)
            if mirrored:
                y = (y.float() + model.backbone(x.flip(3)).float()) * 0.5
            logits.append(model.head(y)[:count].float().cpu())
            features.append(y[:count].float().cpu())
    return [torch.cat(logits), torch.cat(features)]


class NetworkOutputs:
    """Logits and features of a trained ``Classifier`` for each split, computed once.

    Args:
        tta: Whether they are means over an image and its mirror image; ``"auto"``: if that lowers the log-loss on the
            validation images, after temperature scaling.

    Attributes:
        mirrored: What ``tta`` came to.
    """

    def __init__(self, model: nn.Module, context: RunContext, tta: bool | Auto = False) -> None:
        self._model, self._context = model, context
        self._known: dict[tuple[str, bool], tuple[np.ndarray, np.ndarray]] = {}
        self.mirrored = self._mirror_images_help() if tta == "auto" else tta

    def _load(self, split: str, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
        if (split, mirrored) not in self._known:
            ids = self._context.splits.ids[split]
            self._known[split, mirrored] = outputs(self._model, ids, self._context, mirrored)
        return self._known[split, mirrored]

    def _mirror_images_help(self) -> bool:
        labels = self._context.splits.labels["val"]
        if not len(labels):
            return False
        probabilities = [calibrated(self._load("val", mirrored)[0], labels) for mirrored in (False, True)]
        before, after = (float(-np.log(p[np.arange(len(labels)), labels]).mean()) for p in probabilities)
        self._context.progress.log(
            f"  tta {'on' if after < before else 'off'}: log-loss on the validation images {before:.3f}, with mirror "
            f"images {after:.3f}"
        )
        return after < before

    def scores(self, split: str) -> np.ndarray:
        """Logits float32 (N, K) in the order of the split."""
        return self._load(split, self.mirrored)[0]

    def features(self, split: str, indices: np.ndarray | None = None) -> np.ndarray:
        """Features float32 (N, D) of a split, or of some of its images."""
        if indices is None or (split, self.mirrored) in self._known:
            features = self._load(split, self.mirrored)[1]
            return features if indices is None else features[indices]
        ids = self._context.splits.ids[split]
        return outputs(self._model, [ids[i] for i in indices], self._context, self.mirrored)[1]


def val_metrics(
    logits: torch.Tensor, labels: np.ndarray, groups: np.ndarray | None = None, metric: str = "accuracy"
) -> ValMetrics:
    """Metrics of logits float (N, K) of the validation set.

    Args:
        labels: Class indices int (N,).
        groups: See ``ValMetrics``.
        metric: That decides.
    """
    target = torch.from_numpy(labels)
    correct = logits.argmax(1) == target
    loss = functional.cross_entropy(logits.double(), target)
    own = None
    if metric != "accuracy" and len(labels):
        scores = logits.double().numpy()
        probabilities = calibrated(scores, labels) if target_metric.needs_probabilities(metric) else None
        own = Target(metric, labels, target_metric.by_image(metric, labels, scores, probabilities))
    return ValMetrics(float(loss), float(correct.double().mean()), correct.numpy(), groups, own)


def calibrated(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities float64 (N, K) with the temperature that suits these images best, as at the end of a training."""
    scaled = torch.from_numpy(logits.astype(np.float64) / fit_temperature(logits, labels))
    return scaled.softmax(dim=1).numpy()


def make_train_mode(
    model: nn.Module, config: ImageTrainingConfig, frozen: Sequence[nn.Module] = ()
) -> Callable[[], None]:
    """A function that puts a model into training mode, except frozen modules and, as configured, BatchNorm layers."""
    for module in batch_norms(model):  # some networks ship a momentum for thousands of steps, more than there are
        module.momentum = max(BN_MOMENTUM, module.momentum or 0.0)

    def switch() -> None:
        model.train()
        for module in batch_norms(model):  # looked up again: they may have been replaced
            module.train(config.batch_norm == "update")
        for module in frozen:
            module.eval()

    return switch


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Its BatchNorm layers."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def image_task(
    model: Classifier, groups: list[dict[str, Any]], config: ImageTrainingConfig, context: RunContext
) -> TrainingTask:
    """The task of training a classifier, already on its device, on the training images."""
    assert isinstance(config.train_size, int)
    if world().size > 1 and config.batch_norm == "update" and context.compute.device.type == "cuda":
        model.backbone = convert_sync_batchnorm(model.backbone)
    keep_depthwise_in_float32(model, context.compute)
    splits, spec, device = context.splits, context.spec, context.compute.device
    train, val, related = splits.ids["train"], splits.ids["val"], context.groups("val")
    transform = TrainTransform(config, spec, config.train_size, context.seed)
    mixer, ranks = Mixer(config, len(splits.classes), context.seed), world()
    extra = int(ranks.size > 1 and bool(config.mixup or config.cutmix))  # the neighbour of the first image of a shard

    def prepare(batch: Batch, step: int) -> Batch:
        pixels, target = batch
        x, target = mixer(normalize(pixels, spec, device), target.to(device, non_blocking=True), step)
        return x[extra:], target[extra:]

    batches = TrainBatches(
        context.manifest.refs,
        train,
        context.targets,
        spec,
        transform,
        config.batch_size,
        context.seed,
        context.compute.workers,
        ranks.shard_bounds,
        prepend_previous=bool(extra),
        val=val,
    )
    return TrainingTask(
        model,
        groups,
        batches,
        prepare,
        evaluate=lambda: val_metrics(
            torch.from_numpy(outputs(model, val, context, load=batches.evaluation)[0]),
            splits.labels["val"],
            related,
            context.metric,
        ),
        train_mode=make_train_mode(model, config),
        forward=compile_quietly(model) if config.compile is True else None,
        shared=True,
    )
