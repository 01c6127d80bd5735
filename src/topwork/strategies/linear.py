"""``linear``: a linear softmax classifier (multinomial logistic regression) on the features of the frozen backbone.

Fitted to its optimum; nothing in it is random. ``finetune`` starts from one.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from topwork.core.strategy_config import LinearConfig
from topwork.linear.heads import LinearHead
from topwork.linear.selection import select_c
from topwork.strategies.base import CalibratedScores, TrainedStrategy, head_scores
from topwork.strategies.linear_head import head_tensors, normalised_splits
from topwork.training.context import RunContext
from topwork.training.search_space import LogUniform, space


class Linear(CalibratedScores):
    """Softmax regression on normalised features."""

    name = "linear"
    Config = LinearConfig
    search = space(grid=LogUniform(1e-4, 10.0, as_grid=True))

    def resolve(self, config: LinearConfig, context: RunContext) -> LinearConfig:
        """As it is: no setting is ``auto``."""
        return config

    def fit(self, config: LinearConfig, context: RunContext) -> TrainedStrategy:
        """Fit one classifier per C, keep the one that is best on the validation set or over the held-out folds."""
        normalise, data = normalised_splits(context.features, context.splits)
        start = time.monotonic()
        with context.progress.track(self.name, len(config.grid), "values of C") as bar:

            def on_step() -> None:
                bar.advance()
                context.signals.raise_if_stopped()

            device, weights = str(context.compute.device), context.image_weights
            found = select_c("softmax", config, data, context.num_classes, device, context.seed, on_step, weights)
        seconds = time.monotonic() - start
        weight, bias = found.model.weight, found.model.bias
        tensors = head_tensors(normalise, {"weight": weight, "bias": bias})
        head = self.head(tensors)
        return TrainedStrategy(
            scores=lambda split: head_scores(head, context.features.load(split)),
            kind="logit",
            tensors=tensors,
            trains_network=False,
            trained=(2, weight.size + bias.size),
            selection={"C": found.c, config.selection_metric: found.accuracy},
            seconds=seconds,
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalisation and a linear layer, in float64 as it was fitted."""
        return LinearHead(tensors)
