"""``mlp``: features of the frozen backbone, computed once, and a two-layer head trained on them in seconds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core import seeds
from topwork.core.strategy_config import MLPConfig
from topwork.data.batches import Targets
from topwork.linear.normalize import NormaliserModule, fit_normaliser
from topwork.strategies.base import CalibratedScores, TrainedStrategy, count_parameters, head_scores
from topwork.training.context import RunContext
from topwork.training.image_task import class_weights
from topwork.training.loop import Batch, TrainingTask, fit
from topwork.training.search_space import Categorical, LogUniform, space


class _FeatureBatches:
    """Cached features in random order, each image as it is or mirrored."""

    def __init__(self, views: torch.Tensor, targets: Targets, batch_size: int, seed: int) -> None:
        self._views, self._targets, self._seed = views, targets, seed  # (2, N, D), (N,)
        self._size = min(batch_size, len(targets))

    def __len__(self) -> int:
        return len(self._targets) // self._size

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        order = seeds.epoch_permutation(self._seed, epoch, len(self._targets))
        mirrored = np.random.default_rng(seeds.derive_seed(self._seed, "mirror", epoch)).integers(0, 2, len(order))
        for step in range(first, len(self)):
            chunk = order[step * self._size : (step + 1) * self._size]
            yield self._views[mirrored[chunk], chunk], self._targets[chunk]


def _layers(mean: torch.Tensor, scale: torch.Tensor, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        NormaliserModule(mean, scale),
        nn.Linear(len(mean), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )


class MLP(CalibratedScores):
    """Linear(D, hidden) - ReLU - Dropout - Linear(hidden, K) on normalised features."""

    name = "mlp"
    Config = MLPConfig
    search = space(
        lr=LogUniform(1e-4, 3e-3),
        weight_decay=LogUniform(1e-3, 0.5),
        dropout=Categorical((0.2, 0.35, 0.5, 0.65, 0.8)),
        hidden=Categorical((256, 512, 1024, 2048)),
        label_smoothing=Categorical((0.0, 0.05, 0.1, 0.2)),
    )

    def resolve(self, config: MLPConfig, context: RunContext) -> MLPConfig:
        """There is nothing to resolve."""
        return config

    def _head(self, config: MLPConfig, context: RunContext) -> nn.Sequential:
        normaliser = fit_normaliser(context.features.load("train"))
        torch.manual_seed(seeds.derive_seed(context.seed, "head"))
        mean, scale = torch.from_numpy(normaliser.mean), torch.tensor(normaliser.scale)
        return _layers(mean, scale, config.hidden, context.num_classes, config.dropout).to(context.compute.device)

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalisation and the two layers."""
        hidden, classes = len(tensors["1.bias"]), len(tensors["4.bias"])
        head = _layers(tensors["0.mean"], tensors["0.scale"], hidden, classes, dropout=0.0)
        head.load_state_dict(tensors)
        return head

    def fit(self, config: MLPConfig, context: RunContext) -> TrainedStrategy:
        """Train the head, keep the best validation epoch."""
        device, labels = context.compute.device, context.splits.labels
        model = self._head(config, context)
        views = np.stack([context.features.load("train"), context.features.load("train", mirrored=True)])
        val, target = (
            torch.from_numpy(context.features.load("val")).to(device),
            torch.from_numpy(labels["val"]).to(device),
        )

        def evaluate() -> tuple[float, float]:
            with torch.inference_mode():
                logits = model(val).double()
            return float(functional.cross_entropy(logits, target)), float((logits.argmax(1) == target).double().mean())

        weights = [p for p in model.parameters() if p.ndim > 1]
        biases = [p for p in model.parameters() if p.ndim == 1]
        task = TrainingTask(
            model,
            [
                {"params": weights, "weight_decay": config.weight_decay, "lr_scale": 1.0},
                {"params": biases, "weight_decay": 0.0, "lr_scale": 1.0},
            ],
            _FeatureBatches(
                torch.from_numpy(views).to(device),
                context.targets,
                config.batch_size,
                context.seed,
            ),
            lambda batch, _: (batch[0], batch[1].to(device)),
            evaluate,
            class_weights(config, labels["train"], context.num_classes, device),
            quick=True,
        )
        state = fit(task, config, context, self.name)
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        head = self.head(tensors)
        return TrainedStrategy(
            scores=lambda split: head_scores(head, context.features.load(split)),
            kind="logit",
            tensors=tensors,
            trains_network=False,
            trained=count_parameters(list(model.parameters())),
            selection={"epoch": state.best_epoch, "epochs trained": len(state.history)},
            seconds=state.seconds,
            history=state.history,
            passes=2 * len(labels["train"]) + len(labels["val"]),  # plain and mirrored
        )
