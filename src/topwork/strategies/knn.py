"""``knn``: the classes of the most similar training images, by cosine similarity of the frozen backbone's features.

Nothing is trained; the validation set chooses k. Votes are weighted by exp(similarity / 0.07) (Wu et al. 2018, arXiv
1805.01978). The scores are logarithms of the shares of votes, so that a temperature calibrates them like logits.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core.strategy_config import KNNConfig
from topwork.linear.normalize import NormalizerModule, fit_normalizer
from topwork.strategies.base import Strategy, TrainedStrategy, head_scores, split_scores
from topwork.strategies.linear_head import head_tensors
from topwork.training.context import RunContext
from topwork.training.search_space import Categorical, space

TEMPERATURE = 0.07
SMOOTHING = 1e-3  # added to each class's share of votes, so that its logarithm is finite


class _KNNHead(nn.Module):
    """Features (B, D) to logarithms of weighted shares of votes (B, K).

    Args:
        tensors: ``mean`` and ``scale`` of the normalizer; ``bank`` float16 (N, D) of length 1, ``labels`` int64 (N,),
            ``k`` and ``classes`` int64.
    """

    bank: torch.Tensor
    one_hot: torch.Tensor

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.normalize = NormalizerModule(tensors["mean"], tensors["scale"].float())
        self.k = int(tensors["k"])
        self.register_buffer("bank", tensors["bank"].float())
        one_hot = functional.one_hot(tensors["labels"], int(tensors["classes"])).float()
        if "weights" in tensors:  # of the vote of each image
            one_hot *= tensors["weights"][:, None]
        self.register_buffer("one_hot", one_hot)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        similarity = functional.normalize(self.normalize(x.float()), dim=1) @ self.bank.T
        nearest = similarity.topk(self.k, dim=1).values[:, -1:]
        weights = ((similarity - 1) / TEMPERATURE).exp() * (similarity >= nearest)
        votes = weights @ self.one_hot
        return (votes / votes.sum(dim=1, keepdim=True) + SMOOTHING).log()


class KNN(Strategy):
    """k nearest neighbors on normalized features."""

    name = "knn"
    Config = KNNConfig
    search = space(neighbours=Categorical(tuple((k,) for k in (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100))))

    def resolve(self, config: KNNConfig, context: RunContext) -> KNNConfig:
        """At most as many neighbours as training images."""
        images = len(context.splits.ids["train"])
        allowed = tuple(sorted({min(k, images) for k in config.neighbours}))
        return config.model_copy(update={"neighbours": allowed})

    def fit(self, config: KNNConfig, context: RunContext) -> TrainedStrategy:
        """Store the training features, choose k on the validation set."""
        start = time.monotonic()
        features, labels = context.features.load("train"), context.splits.labels
        normalizer = fit_normalizer(features)
        tensors = head_tensors(normalizer, {"labels": labels["train"], "classes": np.array(context.num_classes)})
        tensors["bank"] = functional.normalize(torch.from_numpy(normalizer(features)), dim=1).half()
        if context.image_weights is not None:
            tensors["weights"] = torch.from_numpy(context.image_weights).float()
        val = context.features.load("val")

        def accuracy(k: int) -> float:
            scores = head_scores(self.head(tensors | {"k": torch.tensor(k)}), val)
            return float((scores.argmax(axis=1) == labels["val"]).mean())

        accuracies = {k: accuracy(k) for k in config.neighbours}
        k = max(accuracies, key=accuracies.__getitem__)  # of equals the smallest
        tensors["k"] = torch.tensor(k)
        return TrainedStrategy(
            scores=split_scores(self.head(tensors), context),
            tensors=tensors,
            trained=(0, 0),
            selection={"k": k, "val accuracy": accuracies[k]},
            seconds=time.monotonic() - start,
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and the votes of the nearest training images."""
        return _KNNHead(tensors)
