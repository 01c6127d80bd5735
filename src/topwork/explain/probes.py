"""How well a linear classifier separates the classes by the activations of each layer.

Linear classifier probes (Alain & Bengio 2016, arXiv 1610.01644) on activations averaged over positions: logistic
regression with an L2 penalty on standardized features.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from topwork.core.errors import DataError
from topwork.core.seeds import derive_seed
from topwork.evaluation.intervals import wilson
from topwork.report.show_data import ProbePoint

GRID = (0.1, 1.0, 10.0, 100.0)  # C times the number of features: one scale for narrow and wide layers
ITERATIONS = 200
VAL_FRACTION = 0.25


def linear_probes(
    train: Mapping[str, np.ndarray],
    train_labels: np.ndarray,
    test: Mapping[str, np.ndarray],
    test_labels: np.ndarray,
) -> list[ProbePoint]:
    """Fit one probe per layer; C is chosen on a held-out quarter of each class, then all training images are used.

    Args:
        train: Layer name to features float (N, C).
        train_labels: Class indices int (N,).
        test: The same layers, float (M, C).
        test_labels: Class indices int (M,); images of classes without a training image count as incorrect.

    Returns:
        One probe per layer, in the order of ``train``.

    Raises:
        DataError: There are no training or no test images.

    >>> x, labels = np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 1, 1])
    >>> linear_probes({"conv1": x}, labels, {"conv1": x}, labels)[0].accuracy
    1.0
    """
    if not len(train_labels) or not len(test_labels):
        raise DataError("Probes need training images and test images; one set is empty. Pass more images.")
    held_out = _held_out(train_labels, np.random.default_rng(derive_seed(0, "probes")))
    probes = []
    for layer, values in train.items():
        x, x_test = _standardized(values, test[layer])
        scores = [
            _count_correct(x[~held_out], train_labels[~held_out], x[held_out], train_labels[held_out], c) for c in GRID
        ]
        best = GRID[int(np.argmax(scores))]  # the strongest penalty among equals
        correct = _count_correct(x, train_labels, x_test, test_labels, best)
        low, high = wilson(correct, len(test_labels))
        probes.append(ProbePoint(layer, correct / len(test_labels), low, high, best / x.shape[1]))
    return probes


def _held_out(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool (N,): a quarter of each class, rounded, and at least one image of a class with two or more."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        images = rng.permutation(np.flatnonzero(labels == label))
        count = max(1, round(VAL_FRACTION * len(images))) if len(images) > 1 else 0
        chosen[images[:count]] = True
    return chosen


def _standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, standardized by the training images; features that are constant there become 0."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    varies = deviation > 1e-6 * np.abs(mean)  # less is rounding of float32
    scale = np.where(varies, deviation, np.inf)
    return (train - mean) / scale, (test - mean) / scale


def _count_correct(x: np.ndarray, labels: np.ndarray, x_test: np.ndarray, test_labels: np.ndarray, c: float) -> int:
    """Number of test images that a classifier with ``C = c / features`` classifies correctly."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not len(x_test):
        return 0
    if len(np.unique(labels)) == 1:
        return int((test_labels == labels[0]).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties may stop early, which regularizes too
        fit = LogisticRegression(C=c / x.shape[1], max_iter=ITERATIONS).fit(x, labels)
    return int((fit.predict(x_test) == test_labels).sum())
