"""A linear softmax head on frozen features, fitted to the optimum: where fine-tuning starts."""

from __future__ import annotations

import numpy as np

from topwork.artifacts import Split
from topwork.features import FeatureStore, fit_normaliser

GRID = (1e-3, 1e-2, 1e-1)


def fit_linear_head(features: FeatureStore, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression on the features, its L2 strength chosen on val, as a layer on the raw features.

    Returns:
        Weight float32 (K, D) and bias float32 (K,): logits = features @ weight.T + bias.
    """
    from sklearn.linear_model import LogisticRegression

    train, val = features.part("train"), features.part("val")
    normalise = fit_normaliser(train, power=False)  # a linear layer on raw features can hold a shift and a scale only
    x, x_val = normalise(train), normalise(val)
    fits = [LogisticRegression(C=c, max_iter=300, tol=1e-3).fit(x, split.labels["train"]) for c in GRID]
    best = max(fits, key=lambda fit: fit.score(x_val, split.labels["val"]))  # the first of equals
    weight, bias = best.coef_.astype(np.float64), best.intercept_.astype(np.float64)
    if len(split.classes) == 2:  # one row that separates two classes, as two rows
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / normalise.scale
    return weight.astype(np.float32), (bias - weight @ normalise.mean).astype(np.float32)
