"""``finetune``: a linear head fitted on frozen features, then every layer trained, earlier ones more slowly.

LP-FT: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features" (arXiv 2202.10054). Starting from a fitted head
keeps the first gradients from tearing up features that a random head would blame for its own errors.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from topwork.config import ImageTrainingConfig
from topwork.strategies.base import Context, Fitted, LogitScores, linear_head, network_groups, whole_network
from topwork.training.images import Classifier, image_task, resolve
from topwork.training.linear_head import fit_linear_head
from topwork.training.loop import Task, fit


class FinetuneConfig(ImageTrainingConfig):
    """Settings of ``finetune``."""

    lr: float = Field(default=5e-4, gt=0)
    layer_decay: float = Field(default=0.85, gt=0, le=1)
    head: Literal["fitted", "random"] = "fitted"
    """Start from a linear head fitted on the frozen features (LP-FT), or from a random one."""
    batch_norm: Literal["update", "frozen"] = "frozen"
    """frozen: the fitted head keeps seeing the features it was fitted on."""
    ema: float = Field(default=0.98, ge=0, lt=1)


class Finetune(LogitScores):
    """Train every layer from pretrained weights."""

    name = "finetune"
    Config = FinetuneConfig

    def resolve(self, config: FinetuneConfig, context: Context) -> FinetuneConfig:
        """Epochs: 5 to 40 by the number of images, on a CPU what some five minutes allow."""
        new = lambda settings: self._task(settings, context, fitted=False)  # noqa: E731
        return resolve(config, context.images, new, limits=(5, 40), cpu_minutes=4.75)

    def _task(self, config: FinetuneConfig, context: Context, fitted: bool) -> Task:
        backbone = context.new_backbone(True)
        head = nn.Linear(backbone.features, context.classes)
        if fitted:
            weight, bias = fit_linear_head(context.features, context.split, str(context.compute.device))
            head.weight.data, head.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        else:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        model = Classifier(backbone.module, head)
        context.compute.images(model)
        groups = network_groups(model, config.weight_decay, config.layer_decay)
        return image_task(model, groups, config, context.images)

    def fit(self, config: FinetuneConfig, context: Context) -> Fitted:
        """Fit the head, train all layers, keep the best epoch on val."""
        task = self._task(config, context, fitted=config.head == "fitted")
        position = fit(task, config, context.seed, context.session(self.name, config), self.name)
        statistics = (
            "follow the training images" if config.batch_norm == "update" else "keep their pretrained statistics"
        )
        averaged = "; the figures are those of the averaged weights" if config.ema else ""
        notes = [f"finetune: BatchNorm layers {statistics}{averaged}."]
        return whole_network(task.model, position, context, notes)

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """A linear layer."""
        return linear_head(tensors)
