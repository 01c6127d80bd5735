"""The metric that decides (``--metric``): by it epochs, C, k, trials and strategies are chosen and compared on test.

All but the arithmetic of a metric follows from two functions: ``by_image`` keeps of each image what the metric needs,
and ``paired_differences`` says how much each image contributes to the difference of two classifiers. Accuracy,
balanced accuracy and log-loss are means over images, so that this is exact. Macro-F1 is linearized halfway between the
two confusion matrices; the area under the ROC curve has the placements of DeLong et al. 1988.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from topwork.evaluation import metrics

NAMES = {
    "accuracy": "accuracy",
    "balanced-accuracy": "balanced accuracy",
    "macro-f1": "macro-F1",
    "roc-auc": "ROC AUC",
    "log-loss": "log-loss",
}
"""What ``--metric`` takes, and how a sentence calls it."""
FREQUENT = 0.8  # share of the most frequent class from which accuracy is called a bad choice
RARE = 10  # times that the largest class is larger than the smallest from which it is
MAX_LOG_LOSS = -float(np.log(np.finfo(np.float64).eps))


def resolve(metric: str) -> str:
    """``auto`` is accuracy; see ``advice``."""
    return "accuracy" if metric == "auto" else metric


def key(metric: str) -> str:
    """Its key in ``metrics.json``."""
    return metric.replace("-", "_")


def lower_is_better(metric: str) -> bool:
    """Whether it is a loss."""
    return metric == "log-loss"


def needs_probabilities(metric: str) -> bool:
    """Whether predicted classes do not suffice."""
    return metric in ("roc-auc", "log-loss")


def in_percent(metric: str) -> bool:
    """Whether pages show it in percent."""
    return not needs_probabilities(metric)


def describe(metric: str, value: float) -> str:
    """A value in a line of the log.

    >>> describe("macro-f1", 0.861), describe("log-loss", 0.4567)
    ('86.1%', '0.457')
    """
    return f"{value:.1%}" if in_percent(metric) else f"{value:.3f}"


def by_image(
    metric: str, labels: np.ndarray, scores: np.ndarray, probabilities: np.ndarray | None = None
) -> np.ndarray:
    """What a metric needs to know of each image, (N,).

    Args:
        metric: A key of ``NAMES``.
        labels: Class indices int (N,).
        scores: float (N, K).
        probabilities: float (N, K); for ``roc-auc`` of more than two classes and ``log-loss``.

    Returns:
        Whether it is correct (bool) for accuracies, the predicted class (int) for macro-F1, the loss for log-loss, and
        numbers whose mean is the area under the ROC curve.
    """
    if metric == "log-loss":
        assert probabilities is not None
        return np.nan_to_num(metrics.log_losses(probabilities, labels), nan=MAX_LOG_LOSS)
    if metric == "roc-auc":
        if scores.shape[1] == 2:
            return metrics.roc_auc_by_image(labels == 1, scores[:, 1] - scores[:, 0])
        assert probabilities is not None
        return metrics.macro_roc_auc_by_image(labels, probabilities)
    predicted = scores.argmax(axis=1)
    return predicted if metric == "macro-f1" else predicted == labels


def value(metric: str, labels: np.ndarray, known: np.ndarray) -> float:
    """The metric of images, from what ``by_image`` gives; NaN without images.

    >>> labels, correct = np.array([0, 0, 0, 1]), np.array([True, True, True, False])
    >>> value("accuracy", labels, correct), value("balanced-accuracy", labels, correct)
    (0.75, 0.5)
    """
    if not len(labels):
        return float("nan")
    if metric == "balanced-accuracy":
        return float((class_weights(labels) * known).mean())
    if metric == "macro-f1":
        return float(metrics.macro_f1(*_counts(labels, known, int(max(labels.max(), known.max())) + 1)))
    return float(known.mean())


def mean_value(metric: str, labels: np.ndarray, known: np.ndarray) -> float:
    """``value`` of several seeds, (R, N), and their mean."""
    return float(known.mean()) if metric == "accuracy" else float(np.mean([value(metric, labels, k) for k in known]))


def gain(metric: str, labels: np.ndarray, known: np.ndarray) -> float:
    """``value`` with its sign changed where lower is better."""
    found = value(metric, labels, known)
    return -found if lower_is_better(metric) else found


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weights float64 (N,) of mean 1 with which each class counts as much as every other."""
    counts = np.bincount(labels)
    return len(labels) / (np.count_nonzero(counts) * counts[labels])


def paired_differences(metric: str, labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How much each image adds to the difference of two classifiers: (N,), positive where the first is better.

    Args:
        labels: Class indices int (N,).
        a, b: What ``by_image`` gives for the two, (N,).

    Returns:
        Its mean is the difference of ``gain``; int for accuracy, else float.
    """
    if metric == "accuracy":
        return a.astype(np.int64) - b
    if metric == "balanced-accuracy":
        return class_weights(labels) * (a.astype(np.int64) - b)
    if metric != "macro-f1":
        return (b - a) if lower_is_better(metric) else a - b
    classes, differing = int(max(labels.max(), a.max(), b.max())) + 1, a != b
    counts = zip(_counts(labels, a, classes), _counts(labels, b, classes), strict=True)
    slopes = metrics.macro_f1_slopes(*((x + y) / 2 for x, y in counts))
    found = len(labels) * (slopes[labels, a] - slopes[labels, b])
    rest = len(labels) * (value(metric, labels, a) - value(metric, labels, b)) - float(found.sum())
    return found + np.where(differing, rest / max(1, int(differing.sum())), 0.0)


def baseline(metric: str, labels: np.ndarray) -> float:
    """The metric without looking: always the most frequent class, or for log-loss the shares of the classes.

    >>> labels = np.repeat([0, 1], [95, 5])
    >>> [round(baseline(metric, labels), 3) for metric in NAMES]
    [0.95, 0.5, 0.487, 0.5, 0.199]
    """
    counts = np.bincount(labels)
    shares = counts[counts > 0] / counts.sum()
    if metric == "roc-auc":
        return 0.5
    if metric == "log-loss":
        return float(-(shares * np.log(shares)).sum())
    most = np.full(len(labels), counts.argmax())
    return value(metric, labels, most if metric == "macro-f1" else most == labels)


def describe_baseline(metric: str) -> str:
    """What ``baseline`` is the metric of."""
    return (
        "predicting the share of each class" if lower_is_better(metric) else "always predicting the most frequent class"
    )


def advice(counts: Mapping[str, int]) -> str:
    """Why accuracy is a bad choice for classes of these numbers of images, and what to do; empty if it is not.

    >>> advice({"ok": 95, "crack": 5})
    "always predicting 'ok' would reach 95 % accuracy; for rare classes pass --metric balanced-accuracy"
    >>> advice({"ok": 60, "crack": 40})
    ''
    """
    sizes = {name: count for name, count in counts.items() if count}
    if len(sizes) < 2:
        return ""
    frequent, rare = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    share = sizes[frequent] / sum(sizes.values())
    what = "for rare classes pass --metric balanced-accuracy"
    if share >= FREQUENT:
        return f"always predicting {frequent!r} would reach {share:.0%} accuracy; {what}".replace("%", " %", 1)
    ratio = sizes[frequent] / sizes[rare]
    if ratio >= RARE:
        return f"{frequent!r} has {ratio:.0f} times as many images as {rare!r} and counts as much more; {what}"
    return ""


def _counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correct predictions, images and predictions of each class, int (K,) each."""
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    return hits, np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
