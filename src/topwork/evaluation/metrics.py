"""Classification figures as plain functions of arrays.

Shapes: ``labels`` and ``predicted`` are int (N,) class indices in [0, K); ``scores`` and ``probabilities`` are
float (N, K); ``confusion`` is int (..., K, K), rows true, columns predicted. A figure that is not defined is ``None``
for one data set and NaN inside arrays. All fractions lie in [0, 1].
"""

from __future__ import annotations

import numpy as np

TOP = 5


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each true class was predicted as each class.

    Args:
        labels: True class indices, int (N,).
        predicted: Predicted class indices, int (N,).
        classes: K.

    Returns:
        int64 (K, K), rows true, columns predicted, summing to N.
    """
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: np.ndarray) -> float | None:
    """Share of images on the diagonal of ``confusion`` (K, K); None without images."""
    images = confusion.sum()
    return float(np.trace(confusion) / images) if images else None


def recall(true_positives: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Per class, right over all images of the class; NaN for a class without images.

    Args:
        true_positives: Counts, (..., K).
        support: Images of each class, (..., K).

    Returns:
        float64 (..., K).
    """
    return _ratio(true_positives, support)


def precision(true_positives: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Per class, right over all images predicted as it, shaped as ``recall``; NaN for a class never predicted."""
    return _ratio(true_positives, predictions)


def f1(true_positives: np.ndarray, support: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Per class, the harmonic mean of precision and recall, 2 TP / (support + predictions).

    Returns:
        float64 (..., K); NaN for a class that neither occurs nor is predicted.
    """
    return _ratio(2 * true_positives, support + predictions)


def balanced_accuracy(true_positives: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have images (Brodersen et al. 2010).

    Args:
        true_positives: Counts, (..., K).
        support: Images of each class, (K,); at least one is above 0.

    Returns:
        float64 (...).
    """
    present = support > 0
    return (true_positives[..., present] / support[present]).mean(axis=-1)


def macro_f1(true_positives: np.ndarray, support: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that have images; arguments as ``f1``, with ``support`` (K,).

    A class that has no images but was predicted is left out; what it took from the others shows in their recall.
    This is ``sklearn.metrics.f1_score`` with ``labels`` set to the classes that have images.

    Returns:
        float64 (...).
    """
    present = support > 0
    return (2 * true_positives[..., present] / (support + predictions)[..., present]).mean(axis=-1)


def in_top(scores: np.ndarray, labels: np.ndarray, top: int = TOP) -> np.ndarray:
    """Whether the true class is among the ``top`` highest scores; of equal scores the lower class index wins.

    Returns:
        bool (N,). With ``top=1`` it is whether the argmax is right.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return (order == labels[:, None]).any(axis=1)


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve by the Mann-Whitney statistic; ties count one half.

    Args:
        positive: Whether an image is of the positive class, bool (N,).
        score: Higher means more positive, float (N,).

    Returns:
        In [0, 1]; None if one of the two classes has no images or a score is not finite.
    """
    if positive.all() or not positive.any() or not np.isfinite(score).all():
        return None
    above, below = score_counts(positive, score)
    return float(mann_whitney(above, below))


def score_counts(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many positive and how many negative images have each distinct score.

    Returns:
        Two int64 (U,) in the order of rising scores.
    """
    values, place = np.unique(score, return_inverse=True)
    return np.bincount(place[positive], minlength=len(values)), np.bincount(place[~positive], minlength=len(values))


def mann_whitney(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Share of pairs of a positive and a negative image in which the positive one scores higher; ties count one half.

    Args:
        above: Positive images by rising distinct score, int (..., U), at least one in each row.
        below: Negative images likewise.

    Returns:
        float64 (...).
    """
    lower = np.cumsum(below, axis=-1) - below
    wins = (above * (lower + 0.5 * below)).sum(axis=-1)
    return wins / (above.sum(axis=-1) * below.sum(axis=-1))


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log of the probability given to the true class, of each image; their mean is the log-loss.

    Probabilities are kept at or above the float64 machine epsilon (2.2e-16), so that one certain mistake costs at most
    36 and not infinity, as in scikit-learn.

    Returns:
        float64 (N,), >= 0; NaN where the probability is NaN.
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
