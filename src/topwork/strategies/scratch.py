"""``scratch``: the backbone with random weights, all layers trained. It shows what pretraining is worth."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from topwork.core import seeds
from topwork.core.strategy_config import CPU_MINUTES, ScratchConfig
from topwork.strategies.base import Strategy, TrainedStrategy, param_groups, trained_network
from topwork.training.context import RunContext
from topwork.training.image_task import Classifier, image_task
from topwork.training.loop import TrainingTask, fit
from topwork.training.plan import auto_epochs, resolve
from topwork.training.search_space import Categorical, LogUniform, space

EPOCHS = (10, 100)  # at least and at most, by the number of images


class Scratch(Strategy):
    """Train every layer from random weights."""

    name = "scratch"
    Config = ScratchConfig
    search = space(
        lr=LogUniform(3e-4, 1e-2),
        weight_decay=LogUniform(1e-3, 0.3),
        label_smoothing=Categorical((0.0, 0.05, 0.1)),
        min_crop_area=Categorical((0.3, 0.5, 0.8)),
    )

    def resolve(self, config: ScratchConfig, context: RunContext) -> ScratchConfig:
        """Epochs: 10 to 100 by the number of images, on a CPU what two minutes allow."""
        return resolve(config, context, lambda c: self._task(c, context), EPOCHS, CPU_MINUTES[self.name])

    def ordinary_epochs(self, images: int) -> int:
        """By the number of images."""
        return auto_epochs(images, *EPOCHS)

    def _task(self, config: ScratchConfig, context: RunContext) -> TrainingTask:
        backbone = context.new_backbone(False)
        torch.manual_seed(seeds.derive_seed(context.seed, "head"))
        model = Classifier(backbone.module, nn.Linear(backbone.feature_dim, context.num_classes))
        context.compute.to_channels_last(model)
        return image_task(model, param_groups(model, config.weight_decay, 1.0), config, context)

    def fit(self, config: ScratchConfig, context: RunContext) -> TrainedStrategy:
        """Train all layers."""
        context = replace(context, backbone=replace(context.backbone, weights_hash=""))  # no matter to a resume
        task = self._task(config, context)
        state = fit(task, config, context, self.name)
        notes = [
            f"scratch saw {len(state.history)} epochs. Published trainings from random weights take hundreds to "
            "over a thousand; its metrics show what this budget gives, not what the network could reach."
        ]
        return trained_network(task.model, state, config, context, notes)
