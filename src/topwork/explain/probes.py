"""How well a linear classifier tells the classes apart from each layer's output alone.

Linear classifier probes (Alain & Bengio 2016, arXiv 1610.01644), on outputs averaged over places. The classifier is
logistic regression with an L2 penalty on standardised features.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from topwork.core.errors import DataError
from topwork.core.seeds import derive_seed
from topwork.evaluation.intervals import wilson

GRID = (0.1, 1.0, 10.0, 100.0)  # C times the number of features: one scale for narrow and wide layers
ITERATIONS = 200
VAL_FRACTION = 0.25


@dataclass(frozen=True)
class Probe:
    """What a linear classifier on one layer gets right.

    Attributes:
        layer: Name.
        accuracy: Share of test images, in [0, 1].
        low, high: Its 95 % Wilson interval.
        c: Inverse strength of the penalty, as scikit-learn's ``C``, that was chosen on a part of the training images.
    """

    layer: str
    accuracy: float
    low: float
    high: float
    c: float


def linear_probes(
    train: Mapping[str, np.ndarray],
    train_labels: np.ndarray,
    test: Mapping[str, np.ndarray],
    test_labels: np.ndarray,
    seed: int = 0,
) -> list[Probe]:
    """Fit one probe per layer; C is chosen on a quarter of each class of the training images, then all are used.

    Args:
        train: Layer name to features float (N, C).
        train_labels: Class indices int (N,).
        test: The same layers, float (M, C).
        test_labels: Class indices int (M,); those of classes without a training image count as wrong.
        seed: Of the choice of that quarter.

    Returns:
        One probe per layer, in the order of ``train``.

    Raises:
        DataError: There are no training or no test images.
    """
    if not len(train_labels) or not len(test_labels):
        raise DataError("A probe needs training images and test images; one of them has none. Give more images.")
    held_out = _held_out(train_labels, np.random.default_rng(derive_seed(seed, "probes")))
    probes = []
    for layer, values in train.items():
        x, x_test = _standardised(values, test[layer])
        scores = [_right(x[~held_out], train_labels[~held_out], x[held_out], train_labels[held_out], c) for c in GRID]
        best = GRID[int(np.argmax(scores))]  # the strongest penalty among equals
        right = _right(x, train_labels, x_test, test_labels, best)
        low, high = wilson(right, len(test_labels))
        probes.append(Probe(layer, right / len(test_labels), low, high, best / x.shape[1]))
    return probes


def _held_out(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool (N,): a quarter of each class, rounded, but at least one image of a class that has two or more."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        images = rng.permutation(np.flatnonzero(labels == label))
        count = max(1, round(VAL_FRACTION * len(images))) if len(images) > 1 else 0
        chosen[images[:count]] = True
    return chosen


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both float64 with the mean and deviation of training; features that are constant there become 0."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    varies = deviation > 1e-6 * np.abs(mean)  # below lies the rounding of float32
    scale = np.where(varies, deviation, np.inf)
    return (train - mean) / scale, (test - mean) / scale


def _right(x: np.ndarray, labels: np.ndarray, x_test: np.ndarray, test_labels: np.ndarray, c: float) -> int:
    """Number of test images that a classifier of strength ``c / C`` names rightly."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not len(x_test):
        return 0
    if len(np.unique(labels)) == 1:
        return int((test_labels == labels[0]).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties may stop early, which regularises too
        fit = LogisticRegression(C=c / x.shape[1], max_iter=ITERATIONS).fit(x, labels)
    return int((fit.predict(x_test) == test_labels).sum())
