"""Which labels look wrong, by predictions of classifiers that were fitted without the image."""

from __future__ import annotations

import importlib.util

import numpy as np


def suspects(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, str]:
    """Images whose label looks wrong, the least likely label first.

    With cleanlab by confident learning (Northcutt et al. 2021, arXiv 1911.00068). Without it by a plain ranking: images
    that look like another class at least as much as that class's own images do on average.

    Args:
        labels: Class indices int64 (N,).
        probabilities: Out of fold, float64 (N, K).

    Returns:
        Row numbers int64 (M,), and how they were found, in words.
    """
    if importlib.util.find_spec("cleanlab") is not None:
        from cleanlab.filter import find_label_issues

        found = find_label_issues(
            labels, probabilities, return_indices_ranked_by="self_confidence", filter_by="confident_learning", n_jobs=1
        )
        return np.asarray(found, dtype=np.int64), "confident learning (cleanlab)"
    rows, guess = np.arange(len(labels)), probabilities.argmax(axis=1)
    given = probabilities[rows, labels]
    default = np.array(
        [given[labels == k].mean() if (labels == k).any() else 1.0 for k in range(probabilities.shape[1])]
    )
    wrong = np.flatnonzero((guess != labels) & (probabilities[rows, guess] >= default[guess]))
    order = np.argsort(given[wrong], kind="stable")
    return wrong[order], "how likely the label is (the extra 'check' brings confident learning)"
