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
from topwork.strategies.base import Strategy, TrainedStrategy, split_scores
from topwork.strategies.linear_head import head_tensors, normalized_splits, track_values_of_c
from topwork.strategies.mirroring import mirrored_context, resolve_tta
from topwork.strategies.out_of_fold import join_validation, make_score, selection_entry
from topwork.training.context import RunContext
from topwork.training.search_space import LogUniform, space


class Linear(Strategy):
    """Softmax regression on normalized features."""

    name = "linear"
    Config = LinearConfig
    search = space(Cs=LogUniform(1e-4, 10.0, as_tuple=True))

    def resolve(self, config: LinearConfig, context: RunContext) -> LinearConfig:
        """Whether features are means over mirrored images."""
        return config.model_copy(update={"tta": resolve_tta(config, context)})

    def fit(self, config: LinearConfig, context: RunContext) -> TrainedStrategy:
        """Fit one classifier per C and fold, and the one with the C of the best out-of-fold predictions on all."""
        context = mirrored_context(config.tta is True, context)
        fitted, folds = join_validation(config.folds, context)
        normalizer, data = normalized_splits(fitted.features, fitted.splits)
        start = time.monotonic()
        with track_values_of_c(self.name, config, context) as on_step:
            device, weights = str(context.compute.device), fitted.image_weights
            score, classes = make_score(context.metric), context.num_classes
            found = select_c("softmax", config.Cs, data, classes, device, folds, on_step, weights, score)
        seconds = time.monotonic() - start
        weight, bias = found.model.weight, found.model.bias
        tensors = head_tensors(normalizer, {"weight": weight, "bias": bias})
        out_of_fold = found.scores if folds else None
        return TrainedStrategy(
            scores=split_scores(self.head(tensors), context, out_of_fold),
            tensors=tensors,
            trained=(2, weight.size + bias.size),
            selection={"C": found.c, **selection_entry(folds, context.metric, found.value)},
            seconds=seconds,
            out_of_fold=out_of_fold,
            folds=len(folds),
            mirrored=config.tta is True,
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and a linear layer, in float64 as it was fitted."""
        return LinearHead(tensors)
