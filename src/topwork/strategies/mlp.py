"""``mlp``: features of the frozen backbone, computed once, and a two-layer head trained on them in seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from topwork.core import seeds
from topwork.core.strategy_config import MLPConfig
from topwork.linear.normalize import NormalizerModule, fit_normalizer
from topwork.strategies.base import CachedBatches, Strategy, TrainedStrategy, count_parameters, split_scores
from topwork.training.context import RunContext
from topwork.training.image_task import val_metrics
from topwork.training.loop import TrainingTask, fit
from topwork.training.search_space import Categorical, LogUniform, space


def _layers(mean: torch.Tensor, scale: torch.Tensor, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        NormalizerModule(mean, scale),
        nn.Linear(len(mean), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )


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

    def _head(self, config: MLPConfig, context: RunContext) -> nn.Sequential:
        normalizer = fit_normalizer(context.features.load("train"))
        torch.manual_seed(seeds.derive_seed(context.seed, "head"))
        mean, scale = torch.from_numpy(normalizer.mean), torch.tensor(normalizer.scale)
        return _layers(mean, scale, config.hidden, context.num_classes, config.dropout).to(context.compute.device)

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and the two layers."""
        hidden, classes = len(tensors["1.bias"]), len(tensors["4.bias"])
        head = _layers(tensors["0.mean"], tensors["0.scale"], hidden, classes, dropout=0.0)
        head.load_state_dict(tensors)
        return head

    def fit(self, config: MLPConfig, context: RunContext) -> TrainedStrategy:
        """Train the head, keep the best validation epoch."""
        device, labels = context.compute.device, context.splits.labels
        model = self._head(config, context)
        arrays = [context.features.load("train", mirrored=mirrored) for mirrored in (False, True)]
        views = torch.from_numpy(np.stack(arrays)).to(device)  # (2, N, D)
        val = torch.from_numpy(context.features.load("val")).to(device)

        def load(epoch: int) -> Callable[[np.ndarray], torch.Tensor]:
            rng = np.random.default_rng(seeds.derive_seed(context.seed, "mirror", epoch))
            mirrored = rng.integers(0, 2, len(labels["train"]))
            return lambda rows: views[mirrored[rows], rows]

        def evaluate() -> tuple[float, float]:
            with torch.inference_mode():
                return val_metrics(model(val).cpu(), labels["val"])

        weights = [p for p in model.parameters() if p.ndim > 1]
        biases = [p for p in model.parameters() if p.ndim == 1]
        task = TrainingTask(
            model,
            [
                {"params": weights, "weight_decay": config.weight_decay, "lr_scale": 1.0},
                {"params": biases, "weight_decay": 0.0, "lr_scale": 1.0},
            ],
            CachedBatches(load, context.targets, config.batch_size, context.seed),
            lambda batch, _: (batch[0], batch[1].to(device)),
            evaluate,
            quick=True,
        )
        state = fit(task, config, context, self.name)
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        return TrainedStrategy(
            scores=split_scores(self.head(tensors), context),
            tensors=tensors,
            trained=count_parameters(list(model.parameters())),
            selection={"epoch": state.best_epoch, "epochs trained": len(state.history)},
            seconds=state.seconds,
            history=state.history,
            passes=2 * len(labels["train"]) + len(labels["val"]),  # plain and mirrored
        )
