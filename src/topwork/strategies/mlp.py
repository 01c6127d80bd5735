"""``mlp``: features of the frozen backbone, computed once, and a two-layer head trained on them.

Beside the head that is kept, one for each fold is trained on the same batches: an image has no weight in the loss of
the head that is to predict it. These out-of-fold predictions choose the epoch and calibrate the probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core import seeds
from topwork.core.strategy_config import MLPConfig
from topwork.data.batches import Targets
from topwork.linear.normalize import NormalizerModule, fit_normalizer
from topwork.linear.selection import join_folds
from topwork.strategies.base import CachedBatches, Strategy, TrainedStrategy, head_scores, split_scores
from topwork.strategies.mirroring import mirrored_context, resolve_tta
from topwork.strategies.out_of_fold import join_validation
from topwork.training.context import Features, RunContext
from topwork.training.epoch_choice import ValMetrics
from topwork.training.image_task import val_metrics
from topwork.training.loop import TrainingTask, fit
from topwork.training.search_space import Categorical, LogUniform, space

NAMES = ("1.weight", "1.bias", "4.weight", "4.bias")  # of the parameters of ``_layers``


def _layers(mean: torch.Tensor, scale: torch.Tensor, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        NormalizerModule(mean, scale),
        nn.Linear(len(mean), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )


class _Heads(nn.Module):
    """H heads side by side: features (B, D) to logits (B, K, H).

    Args:
        head: From ``_layers``; all heads start with its weights.
        count: H.
    """

    def __init__(self, head: nn.Sequential, count: int) -> None:
        super().__init__()
        self.normalize, self.dropout = head[0], head[3]
        parameters = dict(head.named_parameters())
        self.parts = nn.ParameterList(torch.stack([parameters[name].detach()] * count) for name in NAMES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias, last_weight, last_bias = self.parts
        hidden = functional.linear(self.normalize(x), weight.flatten(0, 1), bias.flatten())  # one product for all heads
        hidden = self.dropout(hidden.relu()).unflatten(1, bias.shape).transpose(0, 1)
        return torch.baddbmm(last_bias[:, None], hidden, last_weight.mT).permute(1, 2, 0)

    def logits(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of features (N, D) by one head, as in evaluation."""
        weight, bias, last_weight, last_bias = (part[number] for part in self.parts)
        return functional.linear(functional.linear(self.normalize(x), weight, bias).relu(), last_weight, last_bias)

    def tensors(self, number: int) -> dict[str, torch.Tensor]:
        """The tensors of one head, as ``_layers`` names them, on the CPU."""
        fixed = {f"0.{name}": buffer for name, buffer in self.normalize.named_buffers()}
        parts = fixed | {name: part[number] for name, part in zip(NAMES, self.parts, strict=True)}
        return {name: part.detach().cpu().clone() for name, part in parts.items()}


class _TargetsByHead(Targets):
    """Targets float32 (B, K, H) of some images.

    Args:
        labels, classes, weights: Of N images, as for ``Targets``; no weights: 1.
        shares: Weight of each image in the loss of each head, float32 (N, H).
    """

    def __init__(self, labels: np.ndarray, classes: int, weights: np.ndarray | None, shares: np.ndarray) -> None:
        super().__init__(labels, classes, np.ones(len(labels)) if weights is None else weights)
        self._shares = torch.from_numpy(shares)

    def __getitem__(self, index: np.ndarray) -> torch.Tensor:
        return super().__getitem__(index)[:, :, None] * self._shares[index][:, None]


class MLP(Strategy):
    """Linear(D, hidden) - ReLU - Dropout - Linear(hidden, K) on normalized features."""

    name = "mlp"
    Config = MLPConfig
    search = space(
        lr=LogUniform(1e-4, 3e-3),
        weight_decay=LogUniform(1e-3, 0.5),
        dropout=Categorical((0.2, 0.35, 0.5, 0.65, 0.8)),
        hidden=Categorical((256, 512, 1024, 2048)),
        label_smoothing=Categorical((0.0, 0.05, 0.1, 0.2)),
    )

    def ordinary_epochs(self, images: int) -> int:
        """The default of its settings."""
        return MLPConfig().epochs

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and the two layers."""
        hidden, classes = len(tensors["1.bias"]), len(tensors["4.bias"])
        head = _layers(tensors["0.mean"], tensors["0.scale"], hidden, classes, dropout=0.0)
        head.load_state_dict(tensors)
        return head

    def resolve(self, config: MLPConfig, context: RunContext) -> MLPConfig:
        """Whether predictions are by means over mirrored images; not if these are not to be seen."""
        tta = config.flip != "none" and resolve_tta(config, context)
        return config.model_copy(update={"tta": tta})

    def fit(self, config: MLPConfig, context: RunContext) -> TrainedStrategy:
        """Train the heads; out-of-fold predictions choose the epoch."""
        fitted, folds = join_validation(config.folds, context)
        predicted = mirrored_context(config.tta is True, fitted).features
        labels = fitted.splits.labels
        task = self._task(config, fitted, folds, predicted)
        state = fit(task, config, context, self.name)
        heads, out_of_fold = task.model, None
        assert isinstance(heads, _Heads)
        if folds:
            features = predicted.load("train")
            by_fold = [self.head(heads.tensors(number)) for number in range(len(folds))]
            scores = [head_scores(head, features[fold]) for head, fold in zip(by_fold, folds, strict=True)]
            out_of_fold = join_folds(folds, scores)
        tensors = heads.tensors(len(folds))
        return TrainedStrategy(
            scores=split_scores(self.head(tensors), mirrored_context(config.tta is True, context), out_of_fold),
            tensors=tensors,
            trained=(len(NAMES), sum(tensors[name].numel() for name in NAMES)),
            selection={"epoch": state.kept_epoch, "epochs trained": len(state.history)},
            seconds=state.seconds,
            history=state.history,
            passes=(1 if config.flip == "none" else 2) * (len(labels["train"]) + len(labels["val"])),
            out_of_fold=out_of_fold,
            folds=len(folds),
            mirrored=config.tta is True,
        )

    def _task(
        self, config: MLPConfig, context: RunContext, folds: Sequence[np.ndarray], predicted: Features
    ) -> TrainingTask:
        """Of a head for each fold and one for all training images of the context; ``predicted`` is for evaluation."""
        device, labels, count = context.compute.device, context.splits.labels, len(folds) + 1
        flips = (False,) if config.flip == "none" else (False, True)
        views = np.stack([context.features.load("train", mirrored) for mirrored in flips])  # (V, N, D)
        normalizer = fit_normalizer(views[0])
        torch.manual_seed(seeds.derive_seed(context.seed, "head"))
        mean, scale = torch.from_numpy(normalizer.mean), torch.tensor(normalizer.scale)
        heads = _Heads(_layers(mean, scale, config.hidden, context.num_classes, config.dropout), count).to(device)
        inputs = torch.from_numpy(views).to(device)
        split = "train" if folds else "val"
        held_out, related = torch.from_numpy(predicted.load(split)).to(device), context.groups(split)
        shares = np.ones((len(labels["train"]), count), dtype=np.float32)
        for number, fold in enumerate(folds):
            shares[:, number] = len(shares) / (len(shares) - len(fold))  # the mean over its own images is 1
            shares[fold, number] = 0

        def load(epoch: int) -> Callable[[np.ndarray], torch.Tensor]:
            rng = np.random.default_rng(seeds.derive_seed(context.seed, "mirror", epoch))
            view = rng.integers(0, len(flips), len(labels["train"]))
            return lambda rows: inputs[view[rows], rows]

        @torch.inference_mode()
        def evaluate() -> ValMetrics:
            if not folds:
                return val_metrics(heads.logits(0, held_out).cpu(), labels["val"], related, context.metric)
            logits = [heads.logits(number, held_out[fold]).cpu().numpy() for number, fold in enumerate(folds)]
            joined = torch.from_numpy(join_folds(folds, logits))
            return val_metrics(joined, labels["train"], related, context.metric)

        weight, bias, last_weight, last_bias = heads.parts
        targets = _TargetsByHead(labels["train"], context.num_classes, context.image_weights, shares)
        return TrainingTask(
            heads,
            [
                {"params": [weight, last_weight], "weight_decay": config.weight_decay, "lr_scale": 1.0},
                {"params": [bias, last_bias], "weight_decay": 0.0, "lr_scale": 1.0},
            ],
            CachedBatches(load, targets, config.batch_size, context.seed),
            lambda batch, _: (batch[0], batch[1].to(device)),
            evaluate,
            quick=True,
            models=count,
        )
