"""Labels that may be wrong, by predictions of classifiers that were fitted without the image."""

from __future__ import annotations

import importlib.util

import numpy as np


def rank_label_issues(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, str]:
    """Images whose label may be wrong, the least likely label first.

    With cleanlab: confident learning (Northcutt et al. 2021, arXiv 1911.00068). Without it a simple ranking: images
    predicted as another class at least as confidently as that class's own images are on average.

    Args:
        labels: Class indices, int64 (N,).
        probabilities: Out-of-fold, float64 (N, K).

    Returns:
        Image indices, int64 (M,), and a description of the method.
    """
    if importlib.util.find_spec("cleanlab") is not None:
        import cleanlab.filter

        found = cleanlab.filter.find_label_issues(
            labels, probabilities, return_indices_ranked_by="self_confidence", filter_by="confident_learning", n_jobs=1
        )
        return np.asarray(found, dtype=np.int64), "confident learning (cleanlab)"
    rows, predicted = np.arange(len(labels)), probabilities.argmax(axis=1)
    own = probabilities[rows, labels]
    typical = np.array([own[labels == k].mean() if (labels == k).any() else 1.0 for k in range(probabilities.shape[1])])
    issues = np.flatnonzero((predicted != labels) & (probabilities[rows, predicted] >= typical[predicted]))
    order = np.argsort(own[issues], kind="stable")
    return issues[order], "how likely the label is (the extra 'check' adds confident learning)"
