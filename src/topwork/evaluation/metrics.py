"""Classification metrics as plain functions of arrays.

Shapes: ``labels`` and ``predicted`` are int (N,) class indices in [0, K); ``scores`` and ``probabilities`` are
float (N, K); ``confusion`` is int (..., K, K), rows true, columns predicted. An undefined value is ``None`` for
one data set and NaN inside arrays. All fractions are in [0, 1].
"""

from __future__ import annotations

import numpy as np

TOP_K = 5
METRIC_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "roc_auc": "ROC AUC",
    "top5": "Top-5 accuracy",
    "log_loss": "Log-loss",
    "ece": "Expected calibration error",
}
"""What readers are shown: key in ``metrics.json`` to name, in the order of the tables."""


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each true class was predicted as each of the K ``classes``: int64 (K, K), summing to N.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(
    true_positives: np.ndarray, support: np.ndarray, predictions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class, TP / predictions, TP / support, and their harmonic mean 2 TP / (support + predictions).

    Args:
        true_positives, support, predictions: Correct predictions, images and predictions of each class, int (K,).

    Returns:
        float64 (K,) each; NaN where the denominator is 0.

    >>> precision_recall_f1(np.array([2, 0]), support=np.array([4, 1]), predictions=np.array([2, 0]))
    (array([ 1., nan]), array([0.5, 0. ]), array([0.66666667, 0.        ]))
    """
    with np.errstate(invalid="ignore"):
        f1 = 2 * true_positives / (support + predictions)
        return true_positives / predictions, true_positives / support, f1


def balanced_accuracy(true_positives: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have images (Brodersen et al. 2010).

    Args:
        true_positives: Counts, (..., K).
        support: Images of each class, (K,); at least one is above 0.

    >>> float(balanced_accuracy(np.array([90, 5]), np.array([90, 10])))
    0.75
    """
    present = support > 0
    return (true_positives[..., present] / support[present]).mean(axis=-1)


def macro_f1(true_positives: np.ndarray, support: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that have images; counts as for ``precision_recall_f1``, or (..., K).

    A class without images is excluded; images of other classes predicted as it lower the recall of those classes.
    This is ``sklearn.metrics.f1_score`` with ``labels`` set to the classes that have images, float64 (...).
    """
    present = support > 0
    return (2 * true_positives[..., present] / (support + predictions)[..., present]).mean(axis=-1)


def macro_f1_slopes(true_positives: np.ndarray, support: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """How much an image of the class of each row moves macro-F1 if it is predicted as that of each column, (K, K)."""
    present = support > 0
    size = np.maximum(support + predictions, 1e-12)
    by_prediction = np.where(present, 2 * true_positives / np.square(size), 0.0)
    slopes = np.tile(-by_prediction, (len(support), 1))
    slopes[np.diag_indices(len(support))] += np.where(present, 2 / size, 0.0)
    return slopes / np.count_nonzero(present)


def top_k_correct(scores: np.ndarray, labels: np.ndarray, k: int = TOP_K) -> np.ndarray:
    """Whether the true class is among the ``k`` highest scores, bool (N,); of equal scores the lower class index wins.

    >>> top_k_correct(np.array([[0.1, 0.3, 0.6]]), np.array([1]), k=2)
    array([ True])
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (order == labels[:, None]).any(axis=1)


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve by the Mann-Whitney statistic (Hanley & McNeil 1982); ties count one half.

    Args:
        positive: Whether an image is of the positive class, bool (N,).
        score: Higher means more positive, float (N,).

    Returns:
        In [0, 1]; None if one of the two classes has no images or a score is not finite.

    >>> roc_auc(np.array([True, True, False]), np.array([0.9, 0.4, 0.5]))
    0.5
    """
    if positive.all() or not positive.any() or not np.isfinite(score).all():
        return None
    above, below = counts_by_score(positive, score)
    return float(mann_whitney(above, below))


def counts_by_score(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of positive and of negative images with each distinct score, two int64 (U,), by rising score."""
    values, index = np.unique(score, return_inverse=True)
    return np.bincount(index[positive], minlength=len(values)), np.bincount(index[~positive], minlength=len(values))


def mann_whitney(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Share of pairs of a positive and a negative image in which the positive one scores higher; ties count one half.

    ``above`` and ``below`` count positive and negative images by rising distinct score, (..., U); float64 (...).
    """
    lower = np.cumsum(below, axis=-1) - below
    wins = (above * (lower + 0.5 * below)).sum(axis=-1)
    return wins / (above.sum(axis=-1) * below.sum(axis=-1))


def placements(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """How much each image moves the area under the ROC curve (DeLong et al. 1988), float64 (N,), with a sum of 0.

    Args:
        positive, score: As for ``roc_auc``, which is not None for them.
    """
    index = np.unique(score, return_inverse=True)[1]
    above, below = counts_by_score(positive, score)
    area = float(mann_whitney(above, below))
    wins = (np.cumsum(below) - below + 0.5 * below) / below.sum()
    losses = (above.sum() - np.cumsum(above) + 0.5 * above) / above.sum()
    return np.where(positive, (wins[index] - area) / positive.sum(), (losses[index] - area) / (~positive).sum())


def roc_auc_by_image(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Contributions float64 (N,) whose mean is the area under the ROC curve; all 0.5 where it is undefined.

    Half of the area is that of the positive images, half that of the negative ones; the rest is ``placements``.
    """
    area = roc_auc(positive, score)
    if area is None:
        return np.full(len(positive), 0.5)
    share = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    return len(positive) * (placements(positive, score) + share * area)


def macro_roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean over the classes that have images of the area of each against the rest; None without two such classes."""
    present = np.unique(labels)
    if len(present) < 2 or not np.isfinite(probabilities).all():
        return None
    return float(np.mean([roc_auc(labels == c, probabilities[:, c]) or 0.0 for c in present]))


def macro_roc_auc_by_image(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Contributions float64 (N,) whose mean is ``macro_roc_auc``; all 0.5 where it is undefined."""
    present = np.unique(labels)
    return np.mean([roc_auc_by_image(labels == c, probabilities[:, c]) for c in present], axis=0)


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log of the probability of the true class, per image; their mean is the log-loss.

    Probabilities are clipped at the float64 machine epsilon (2.2e-16), as in scikit-learn, so that one image adds at
    most 36; NaN where the probability is NaN.

    >>> log_losses(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1])).round(3)
    array([ 0.693, 36.044])
    """
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(own, np.finfo(np.float64).eps, 1.0))
