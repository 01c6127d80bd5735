"""A linear softmax head on frozen features, fitted to the optimum: where fine-tuning starts."""

from __future__ import annotations

import numpy as np
import safetensors.numpy

from topwork.core.artifacts import Splits
from topwork.core.config import LinearClassifierConfig
from topwork.features import Features, fit_normaliser, on_main_process
from topwork.linear.selection import choose

GRID = LinearClassifierConfig(grid=(1e-3, 1e-2, 1e-1))


def fit_linear_head(
    features: Features, splits: Splits, device: str, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression on the features, its L2 strength chosen on val, as a layer on the raw features.

    Of several processes rank 0 fits it, and all get the same bits.

    Returns:
        Weight float32 (K, D) and bias float32 (K,): logits = features @ weight.T + bias.
    """

    def fit() -> dict[str, bytes]:
        weight, bias = _fit(features, splits, device, weights)
        return {"head": safetensors.numpy.save({"weight": np.ascontiguousarray(weight), "bias": bias})}

    head = safetensors.numpy.load(on_main_process(features, fit)["head"])
    return head["weight"].copy(), head["bias"].copy()


def _fit(features: Features, splits: Splits, device: str, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    normalise = fit_normaliser(features.load("train"), power=False)  # a linear layer can hold a shift and a scale only
    data = {split: (normalise(features.load(split)), splits.labels[split]) for split in ("train", "val")}
    model = choose("softmax", GRID, data, len(splits.classes), device, seed=0, weights=weights).fit
    weight = model.weight / normalise.scale
    return weight.astype(np.float32), (model.bias - weight @ normalise.mean).astype(np.float32)
