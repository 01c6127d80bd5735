"""``knn``: the classes of the most similar training images, by cosine similarity of the frozen backbone's features.

Nothing is trained; k is chosen by out-of-fold predictions, or on the validation set. Votes are weighted by
exp(similarity / 0.07) (Wu et al. 2018, arXiv 1805.01978). The scores are logarithms of the shares of votes, so that a
temperature calibrates them like logits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core.strategy_config import KNNConfig
from topwork.evaluation import target_metric
from topwork.linear.normalize import NormalizerModule, fit_normalizer
from topwork.linear.selection import join_folds
from topwork.strategies.base import Strategy, TrainedStrategy, head_scores, split_scores
from topwork.strategies.linear_head import head_tensors
from topwork.strategies.mirroring import mirrored_context, resolve_tta
from topwork.strategies.out_of_fold import join_validation, make_score, selection_entry
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
        return self.votes(self.similarity(x), self.k)

    def similarity(self, x: torch.Tensor) -> torch.Tensor:
        """Cosine similarity (B, N) of features (B, D) to the bank."""
        return functional.normalize(self.normalize(x.float()), dim=1) @ self.bank.T

    def votes(self, similarity: torch.Tensor, k: int) -> torch.Tensor:
        """Scores (B, K) by the k nearest images, or all if there are fewer."""
        nearest = similarity.topk(min(k, len(self.bank)), dim=1).values[:, -1:]
        weights = ((similarity - 1) / TEMPERATURE).exp() * (similarity >= nearest)
        votes = weights @ self.one_hot
        return (votes / votes.sum(dim=1, keepdim=True) + SMOOTHING).log()


class _PredictedByK(nn.Module):
    """Features (B, D) to the predicted classes (B, number of values) for several values of k."""

    def __init__(self, head: _KNNHead, values: Sequence[int]) -> None:
        super().__init__()
        self.knn, self.values = head, values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        similarity = self.knn.similarity(x)
        return torch.stack([self.knn.votes(similarity, k).argmax(dim=1) for k in self.values], dim=1)


class KNN(Strategy):
    """k nearest neighbors on normalized features."""

    name = "knn"
    Config = KNNConfig
    search = space(neighbours=Categorical(tuple((k,) for k in (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100))))

    def resolve(self, config: KNNConfig, context: RunContext) -> KNNConfig:
        """At most as many neighbours as training images, and whether features are means over mirrored images."""
        images = len(context.splits.ids["train"])
        allowed = tuple(sorted({min(k, images) for k in config.neighbours}))
        return config.model_copy(update={"neighbours": allowed, "tta": resolve_tta(config, context)})

    def fit(self, config: KNNConfig, context: RunContext) -> TrainedStrategy:
        """Store the features, and choose k on images that are not among those stored."""
        context = mirrored_context(config.tta is True, context)
        fitted, folds = join_validation(config.folds, context)
        features, labels = fitted.features.load("train"), fitted.splits.labels["train"]
        start = time.monotonic()
        normalizer = fit_normalizer(features)
        tensors = head_tensors(normalizer, {"labels": labels, "classes": np.array(context.num_classes)})
        tensors["bank"] = functional.normalize(torch.from_numpy(normalizer(features)), dim=1).half()
        if fitted.image_weights is not None:
            tensors["weights"] = torch.from_numpy(fitted.image_weights).float()

        def head_without(fold: np.ndarray, k: int) -> _KNNHead:
            kept = torch.from_numpy(np.setdiff1d(np.arange(len(labels)), fold))
            own = {name: tensors[name][kept] for name in ("bank", "labels", "weights") if name in tensors}
            return _KNNHead(tensors | own | {"k": torch.tensor(k)})

        if folds:
            truth, held_out = labels, [(fold, features[fold]) for fold in folds]
        else:
            truth, held_out = fitted.splits.labels["val"], [(np.array([], dtype=np.int64), fitted.features.load("val"))]
        rows, ks, metric = folds or [np.arange(len(truth))], config.neighbours, context.metric

        def scores_by(k: int) -> np.ndarray:
            return join_folds(rows, [head_scores(head_without(fold, k), x) for fold, x in held_out])

        if target_metric.needs_probabilities(metric):
            values = [make_score(metric)(scores_by(k), truth) for k in ks]
        else:
            predicted = join_folds(rows, [head_scores(_PredictedByK(head_without(f, 1), ks), x) for f, x in held_out])
            known = predicted.astype(np.int64) if metric == "macro-f1" else predicted == truth[:, None]
            values = [target_metric.gain(metric, truth, known[:, number]) for number in range(len(ks))]
        k = ks[int(np.argmax(values))]  # of equals the smallest
        out_of_fold = scores_by(k) if folds else None
        tensors["k"] = torch.tensor(k)
        return TrainedStrategy(
            scores=split_scores(self.head(tensors), context, out_of_fold),
            tensors=tensors,
            trained=(0, 0),
            selection={"k": k, **selection_entry(folds, metric, max(values))},
            seconds=time.monotonic() - start,
            out_of_fold=out_of_fold,
            folds=len(folds),
            mirrored=config.tta is True,
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and the votes of the nearest training images."""
        return _KNNHead(tensors)
