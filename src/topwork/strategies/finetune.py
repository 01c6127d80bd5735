"""``finetune``: a linear head fitted on frozen features, then every layer trained, earlier ones more slowly.

LP-FT: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features" (arXiv 2202.10054). With a fitted head the first
gradients do not distort features to correct the errors of a random head.
"""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import nn

from topwork.backbones.batchnorm_fusion import cast_weights, fuse_batchnorm
from topwork.backbones.build import Backbone
from topwork.backbones.stage_split import StageSplit
from topwork.compute.ranks import world
from topwork.core import storage
from topwork.core.strategy_config import CPU_MINUTES, FinetuneConfig
from topwork.data.transforms import TrainTransform
from topwork.features import FeatureCache, feature_key
from topwork.strategies.base import Strategy, TrainedStrategy, param_groups, trained_network
from topwork.strategies.cached_stages import StageCache, stage_task
from topwork.strategies.linear_head import fit_linear_head
from topwork.strategies.out_of_fold import make_score
from topwork.training.context import RunContext
from topwork.training.image_task import EVAL_BATCH, Classifier, batch_norms, image_task
from topwork.training.loop import TrainingTask, fit
from topwork.training.plan import auto_epochs, resolve
from topwork.training.search_space import Categorical, LogUniform, space

EPOCHS = (5, 40)  # at least and at most, by the number of images
MANY_CLASSES = 10  # with two, small batches and the recipe of many steps were worse
MANY_STEPS = 1000  # of the optimizer, from which a network with BatchNorm trains better as ``_for_many_steps`` says
ENOUGH_STEPS = 250, MANY_STEPS  # for few and for many classes: with fewer steps smaller batches reach more
BATCH_SIZES = 32, 16, 8  # of which smaller ones cost a CPU about as much per image
MIN_BATCH = 8  # images, for the statistics of BatchNorm
STAGES = "stages"  # folder in the run, for it can be large


class Finetune(Strategy):
    """Train every layer from pretrained weights."""

    name = "finetune"
    Config = FinetuneConfig
    search = space(
        lr=LogUniform(1e-4, 2e-3),
        weight_decay=LogUniform(1e-3, 0.3),
        label_smoothing=Categorical((0.0, 0.05, 0.1)),
        min_crop_area=Categorical((0.3, 0.5, 0.8)),
        layer_decay=Categorical((0.7, 0.8, 0.85, 0.9, 1.0)),
    )

    def resolve(self, config: FinetuneConfig, context: RunContext) -> FinetuneConfig:
        """Epochs: 5 to 40 by the number of images; on a CPU what five minutes allow, but 5 where 15 minutes allow 5.

        What is left to the defaults then depends on the number of steps, see ``_for_many_steps``.
        """
        if config.freeze_stages:
            StageSplit(context.new_backbone(False).module, config.freeze_stages, context.spec.size)  # refuses
            config = config.model_copy(update={"compile": False})
        config = config.model_copy(update={"batch_size": _batch_size(config, context)})
        config = resolve(config, context, lambda c: self._task(c, context, False), EPOCHS, CPU_MINUTES[self.name])
        return _for_many_steps(config, context)

    def ordinary_epochs(self, images: int) -> int:
        """By the number of images."""
        return auto_epochs(images, *EPOCHS)

    def _task(self, config: FinetuneConfig, context: RunContext, fit_head: bool) -> TrainingTask:
        backbone, stages = context.new_backbone(True), config.freeze_stages
        stage_split = StageSplit(backbone.module, stages, backbone.spec.size) if stages else None
        head = nn.Linear(backbone.feature_dim, context.num_classes)
        if fit_head:
            device = str(context.compute.device)
            weight, bias = fit_linear_head(
                context.features, context.splits, device, context.image_weights, make_score(context.metric)
            )
            head.weight.data, head.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        else:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        model = Classifier(backbone.module, head)
        context.compute.to_channels_last(model)
        groups = param_groups(model, config.weight_decay, config.layer_decay)
        if stage_split:
            cache = self._stage_cache(stage_split, backbone, config, context)
            return stage_task(model, groups, config, config.views, cache)
        return image_task(model, groups, config, context)

    def _stage_cache(
        self, stage_split: StageSplit, backbone: Backbone, config: FinetuneConfig, context: RunContext
    ) -> StageCache:
        assert isinstance(config.train_size, int)
        compute = context.compute
        transform = TrainTransform(config, context.spec, config.train_size, context.seed)
        fused = fuse_batchnorm(backbone.module, context.spec.size)
        frozen = compute.to_channels_last(cast_weights(fused, compute.dtype))
        augmentation = config.model_dump(include={"train_size", "min_crop_area", "flip", "randaugment"})
        settings = {"stages": config.freeze_stages, "seed": context.seed, **augmentation}
        key = feature_key(backbone, compute, "folded", EVAL_BATCH) | settings
        cache = FeatureCache(context.folder / STAGES, key, context.progress.log)
        return StageCache(stage_split, frozen, context, transform, cache)

    def fit(self, config: FinetuneConfig, context: RunContext) -> TrainedStrategy:
        """Fit the head, then train all layers."""
        start, seconds = time.monotonic(), context.features.seconds
        task = self._task(config, context, fit_head=True)
        head_seconds = time.monotonic() - start - (context.features.seconds - seconds)
        state = fit(task, config, context, self.name)
        trained = trained_network(task.model, state, config, context, _notes(config))
        trained = replace(trained, seconds=head_seconds + trained.seconds)
        if not config.freeze_stages:
            return trained
        storage.remove_folder(context.folder / STAGES)
        ids = context.splits.ids
        return replace(trained, passes=len(ids["train"]) * max(1, config.views) + len(ids["val"]))


def _batch_size(config: FinetuneConfig, context: RunContext) -> int:
    """The largest that makes enough steps, as far as the epochs are known; one that was given stays."""
    if "batch_size" in config.model_fields_set or world().size > 1:
        return config.batch_size
    images, epochs = len(context.splits.ids["train"]), config.epochs
    if epochs == "auto":
        limited = config.minutes or context.compute.device.type == "cpu"
        epochs = EPOCHS[0] if limited else auto_epochs(images, *EPOCHS)
    enough = ENOUGH_STEPS[context.num_classes >= MANY_CLASSES]
    return next((size for size in BATCH_SIZES if epochs * (images // size) >= enough), BATCH_SIZES[-1])


def _for_many_steps(config: FinetuneConfig, context: RunContext) -> FinetuneConfig:
    """Twice the learning rate, the same for every layer, and BatchNorm that follows the images, if there is time.

    A network then changes more, and forgets the fitted head first: with few steps, or few classes, it ends below where
    it could (docs/explanation/recipe.md). Settings that were given stay; so do networks without BatchNorm, and
    batches too small for its statistics.
    """
    assert isinstance(config.epochs, int)
    steps = config.epochs * (len(context.splits.ids["train"]) // config.batch_size)
    small = config.batch_size < MIN_BATCH or not batch_norms(context.backbone.module)
    if steps < MANY_STEPS or context.num_classes < MANY_CLASSES or small or config.freeze_stages:
        return config
    values = {"lr": 2 * config.lr, "layer_decay": 1.0, "batch_norm": "update"}
    changed = {name: value for name, value in values.items() if name not in config.model_fields_set}
    return config.model_copy(update=changed)


def _notes(config: FinetuneConfig) -> list[str]:
    follow = config.batch_norm == "update"
    statistics = "follow the training images" if follow else "keep their pretrained statistics"
    notes = [f"finetune: BatchNorm layers {statistics}"]
    if config.ema_decay:
        notes[0] += "; the metrics are those of the averaged weights"
    if config.freeze_stages:
        seen = f"{config.views} augmented views of each image" if config.views else "the images without augmentation"
        notes.append(f"finetune: the stem and {config.freeze_stages} stages stay as pretrained; trained on {seen}")
    return [f"{note}." for note in notes]
