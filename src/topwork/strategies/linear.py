"""``linear``: a linear softmax classifier (multinomial logistic regression) on the features of the frozen backbone.

Fitted to its optimum; nothing in it is random. ``finetune`` starts from one.
"""

from __future__ import annotations

import time

import torch
from pydantic import Field
from torch import nn

from topwork.core.config import LinearClassifierConfig
from topwork.features import fit_normaliser
from topwork.linear.selection import choose
from topwork.linear.svm_head import SVMHead
from topwork.strategies.base import Context, LogitScores, TrainedStrategy, head_scores
from topwork.training.search_space import LogRange, space


class LinearConfig(LinearClassifierConfig):
    """Settings of ``linear``."""

    grid: tuple[float, ...] = Field(default=(1e-3, 1e-2, 1e-1, 1.0), min_length=1)


class Linear(LogitScores):
    """Softmax regression on normalised features."""

    name = "linear"
    Config = LinearConfig
    search = space(grid=LogRange(1e-4, 10.0, single=True))

    def resolve(self, config: LinearConfig, context: Context) -> LinearConfig:
        """There is nothing to resolve."""
        return config

    def fit(self, config: LinearConfig, context: Context) -> TrainedStrategy:
        """Fit one classifier per C, keep the one that is best on val, or over the held-out folds."""
        normalise = fit_normaliser(context.features.load("train"))
        labels = context.splits.labels
        data = {split: (normalise(context.features.load(split)), labels[split]) for split in ("train", "val")}
        start = time.monotonic()
        with context.progress.track(self.name, len(config.grid), "values of C") as bar:

            def tick() -> None:
                bar.advance()
                context.signals.raise_if_stopped()

            device, weights = str(context.compute.device), context.weights
            choice = choose("softmax", config, data, context.classes, device, context.seed, tick, weights)
        seconds = time.monotonic() - start
        weight, bias = choice.fit.weight, choice.fit.bias
        tensors = {
            "mean": torch.from_numpy(normalise.mean),
            "scale": torch.tensor(normalise.scale),
            "weight": torch.from_numpy(weight),
            "bias": torch.from_numpy(bias),
        }
        head = self.head(tensors)
        return TrainedStrategy(
            scores=lambda split: head_scores(head, context.features.load(split)),
            kind="logit",
            tensors=tensors,
            whole=False,
            trained=(2, weight.size + bias.size),
            selection={"C": choice.c, config.selection_metric: choice.accuracy},
            seconds=seconds,
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalisation and a linear layer, in float64 as it was fitted."""
        return SVMHead(tensors)
