"""``svm``: a support vector machine on the normalized features of the frozen backbone.

Linear: one class against the rest, L2 penalty and squared hinge (Fan et al. 2008, LIBLINEAR); C is chosen on the
validation set, or by cross-validation. RBF: ``sklearn.svm.SVC``, an option for small sets.
The scores are margins. Probabilities come from a calibration on the validation set: for two classes a logistic curve
(Platt 1999), for more a softmax with one temperature (Guo et al. 2017, arXiv 1706.04599). Its targets are Platt's: of n
correct images one more may be wrong, so that a validation set without an error does not make every image certain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from torch import nn

from topwork.core.errors import ConfigError
from topwork.core.strategy_config import SVMConfig
from topwork.linear.heads import LinearHead, RBFHead
from topwork.linear.selection import Selected, select_c, select_first_best
from topwork.strategies.base import Strategy, TrainedStrategy, scaled_softmax, split_scores
from topwork.strategies.linear_head import head_tensors, normalized_splits, track_values_of_c
from topwork.training.context import RunContext
from topwork.training.search_space import LogUniform, space

MAX_RBF_CLASSES = 200  # 19,900 classifiers: one for each pair of classes
LINEAR_CS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
RBF_CS = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)


class SVM(Strategy):
    """Support vector machine on frozen features."""

    name = "svm"
    Config = SVMConfig
    search = space(Cs=LogUniform(1e-5, 1.0, as_tuple=True))

    def resolve(self, config: SVMConfig, context: RunContext) -> SVMConfig:
        """The values of C that suit the kernel.

        Raises:
            ConfigError: The RBF kernel with folds or with too many classes.
        """
        rbf = config.kernel == "rbf"
        if rbf and config.folds:
            raise ConfigError("svm.folds needs the linear kernel. Set svm.folds = 0; the validation set chooses C.")
        if rbf and context.num_classes > MAX_RBF_CLASSES:
            raise ConfigError(
                f"svm.kernel = 'rbf' supports at most {MAX_RBF_CLASSES} classes, and there are "
                f"{context.num_classes:,}. Use svm.kernel = 'linear'."
            )
        return config.model_copy(update={"Cs": config.Cs or (RBF_CS if rbf else LINEAR_CS)})

    def fit(self, config: SVMConfig, context: RunContext) -> TrainedStrategy:
        """Fit one SVM per C, keep the one that is best on the validation set or over the held-out folds."""
        normalizer, data = normalized_splits(context.features, context.splits)
        start, device = time.monotonic(), str(context.compute.device)
        with track_values_of_c(self.name, config, context) as on_step:
            if config.kernel == "linear":
                found = select_c(
                    "hinge", config, data, context.num_classes, device, context.seed, on_step, context.image_weights
                )
                c, accuracy = found.c, found.accuracy
                arrays = {"weight": found.model.weight, "bias": found.model.bias}
            else:
                c, accuracy, arrays = _fit_rbf(sorted(config.Cs), data, on_step, context.image_weights)
        seconds = time.monotonic() - start
        trained = [arrays[name] for name in ("weight", "dual", "bias") if name in arrays]
        tensors = head_tensors(normalizer, {"scale": np.array(normalizer.scale), **arrays})
        scores = split_scores(self.head(tensors), context)
        tensors["calibration"] = torch.tensor(_calibrate(scores("val"), data["val"][1]), dtype=torch.float64)
        return TrainedStrategy(
            scores=scores,
            tensors=tensors,
            trained=(len(trained), sum(array.size for array in trained)),
            selection={"C": c, "kernel": config.kernel, config.selection_metric: accuracy},
            seconds=seconds,
            kind="margin",
            notes=["svm scores are margins; its probabilities come from a calibration fitted on the validation set."],
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and the SVM; its scores are margins."""
        return LinearHead(tensors) if "weight" in tensors else RBFHead(tensors)

    def calibration(self, tensors: dict[str, torch.Tensor]) -> tuple[float, float]:
        """Slope and offset that were fitted on the validation set."""
        slope, offset = tensors["calibration"].tolist()
        return slope, offset


def _fit_rbf(
    Cs: list[float], data: dict[str, Any], on_step: Callable[[], None], weights: np.ndarray | None
) -> tuple[float, float, dict[str, np.ndarray]]:
    """The C that is best on the validation set, its accuracy there, and the arrays of ``RBFHead``."""
    from sklearn.svm import SVC

    (x, labels), (x_val, labels_val) = data["train"], data["val"]
    gamma = 1 / (x.shape[1] * x.astype(np.float64).var())  # scikit-learn's "scale"

    def trials() -> Iterator[Selected[SVC]]:
        for c in Cs:
            svc = SVC(C=c, kernel="rbf", gamma=gamma, cache_size=1000).fit(x, labels, weights)
            margins = svc.decision_function(x_val)
            on_step()
            predicted = margins > 0 if margins.ndim == 1 else margins.argmax(axis=1)
            yield Selected(float((predicted == labels_val).mean()), c, svc)

    best = select_first_best(trials())
    svc = best.model
    arrays = {"support": svc.support_vectors_, "dual": svc.dual_coef_, "bias": svc.intercept_, "counts": svc.n_support_}
    return best.c, best.accuracy, {**arrays, "gamma": np.array([gamma])}


def _calibrate(margins: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and offset that minimize the log loss on the validation set; the offset is 0 for more than two classes.

    The target of the true class is (n + 1) / (n + 2), where n is the number of images of the class, as in Platt 1999;
    of all images for more than two classes, which share one parameter.
    """
    images, classes = margins.shape
    n = np.bincount(labels, minlength=classes)[labels] if classes == 2 else np.full(images, images)
    targets = np.repeat((1 / (n + 2) / (classes - 1))[:, None], classes, axis=1)
    targets[np.arange(images), labels] = (n + 1) / (n + 2)

    def loss(slope: float, offset: float) -> float:
        log_p = np.log(np.clip(scaled_softmax(margins, slope, offset), 1e-12, None))
        return float(-(targets * log_p).sum(axis=1).mean())

    if classes == 2:
        found = minimize(lambda v: loss(np.exp(v[0]), v[1]), x0=[0.0, 0.0], method="Nelder-Mead")
        return float(np.exp(found.x[0])), float(found.x[1])
    found = minimize_scalar(lambda v: loss(np.exp(v), 0.0), bounds=(-5, 5), method="bounded")
    return float(np.exp(found.x)), 0.0
