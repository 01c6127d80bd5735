"""What a linear softmax classifier says about each image when it was fitted without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from topwork.linear.classifiers import Problem

GRID = (1e-3, 1e-2, 1e-1)


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, classes: int, folds: Sequence[np.ndarray], device: str = "cpu"
) -> np.ndarray:
    """Out-of-fold probabilities float64 (N, K), by the C of ``GRID`` that gets most images right.


    Args:
        features: float (N, D), on a common scale.
        labels: Class indices int64 (N,).
        classes: K.
        folds: Row numbers that are held out in turn; together every row once.
        device: Where to compute.
    """
    problem = Problem(features, labels, classes, "softmax", device)
    best, most = np.empty((0, 0)), -1.0
    w = problem.start()
    for c in GRID:
        found = np.empty((len(labels), classes))
        for fold in folds:
            w = problem.fit(c, w, np.setdiff1d(np.arange(len(labels)), fold))
            model = problem.model(w)
            scores = torch.from_numpy(model.scores(features[fold].astype(np.float64)))
            found[fold] = torch.softmax(scores, dim=1).numpy()
        right = float((found.argmax(axis=1) == labels).mean())
        if right > most:
            best, most = found, right
    return best
