"""``svm``: a support vector machine on the normalized features of the frozen backbone.

Linear: one class against the rest, L2 penalty and squared hinge (Fan et al. 2008, LIBLINEAR). RBF:
``sklearn.svm.SVC``, an option for small sets. C is chosen by out-of-fold predictions, or on the validation set.
The scores are margins. Probabilities are their softmax with one temperature (Guo et al. 2017, arXiv 1706.04599), which
is fitted to the margins that chose C. Targets are those of Platt 1999: of n correct images one more may be wrong, so
that margins without an error do not make every image certain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from topwork.core.errors import ConfigError
from topwork.core.predictions import scaled_softmax
from topwork.core.strategy_config import SVMConfig
from topwork.linear.heads import LinearHead, RBFHead
from topwork.linear.selection import Score, Selected, join_folds, select_c, select_first_best
from topwork.strategies.base import Strategy, TrainedStrategy, split_scores
from topwork.strategies.linear_head import head_tensors, normalized_splits, track_values_of_c
from topwork.strategies.mirroring import mirrored_context, resolve_tta
from topwork.strategies.out_of_fold import join_validation, make_score, selection_entry
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
        """The values of C that suit the kernel, and whether features are means over mirrored images.

        Raises:
            ConfigError: The RBF kernel with too many classes.
        """
        rbf = config.kernel == "rbf"
        if rbf and context.num_classes > MAX_RBF_CLASSES:
            raise ConfigError(
                f"svm.kernel = 'rbf' supports at most {MAX_RBF_CLASSES} classes, and there are "
                f"{context.num_classes:,}. Use svm.kernel = 'linear'."
            )
        Cs = config.Cs or (RBF_CS if rbf else LINEAR_CS)
        return config.model_copy(update={"Cs": Cs, "tta": resolve_tta(config, context)})

    def fit(self, config: SVMConfig, context: RunContext) -> TrainedStrategy:
        """Fit one SVM per C and fold, and the one with the C of the best out-of-fold predictions on all."""
        context = mirrored_context(config.tta is True, context)
        fitted, folds = join_validation(config.folds, context)
        normalizer, data = normalized_splits(fitted.features, fitted.splits)
        start, device, weights = time.monotonic(), str(context.compute.device), fitted.image_weights
        classes = context.num_classes

        def calibrate(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
            return scaled_softmax(scores, _calibrate(scores, labels))

        score = make_score(context.metric, calibrate)
        with track_values_of_c(self.name, config, context) as on_step:
            if config.kernel == "linear":
                found = select_c("hinge", config.Cs, data, classes, device, folds, on_step, weights, score)
                arrays = {"weight": found.model.weight, "bias": found.model.bias}
            else:
                found = _select_rbf(sorted(config.Cs), data, classes, folds, on_step, weights, score)
                arrays = found.model
        seconds = time.monotonic() - start
        trained = [arrays[name] for name in ("weight", "dual", "bias") if name in arrays]
        tensors = head_tensors(normalizer, {"scale": np.array(normalizer.scale), **arrays})
        out_of_fold = found.scores if folds else None
        scores = split_scores(self.head(tensors), context, out_of_fold)
        held_out = (found.scores, data["train"][1]) if folds else (scores("val"), data["val"][1])
        tensors["calibration"] = torch.tensor(_calibrate(*held_out), dtype=torch.float64)
        return TrainedStrategy(
            scores=scores,
            tensors=tensors,
            trained=(len(trained), sum(array.size for array in trained)),
            selection={"C": found.c, "kernel": config.kernel, **selection_entry(folds, context.metric, found.value)},
            seconds=seconds,
            kind="margin",
            notes=["svm scores are margins; its probabilities come from a calibration fitted on images held out."],
            out_of_fold=out_of_fold,
            folds=len(folds),
            mirrored=config.tta is True,
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """Normalization and the SVM; its scores are margins."""
        return LinearHead(tensors) if "weight" in tensors else RBFHead(tensors)

    def calibration(self, tensors: dict[str, torch.Tensor]) -> float:
        """Slope that was fitted on images held out."""
        return float(tensors["calibration"])


def _select_rbf(
    Cs: list[float],
    data: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    folds: Sequence[np.ndarray],
    on_step: Callable[[], None],
    weights: np.ndarray | None,
    score: Score,
) -> Selected[dict[str, np.ndarray]]:
    """As ``select_c``; the model is the arrays of ``RBFHead``."""
    from sklearn.svm import SVC

    (x, labels), (x_val, labels_val) = data["train"], data["val"]
    rows = np.arange(len(labels))
    gamma = 1 / (x.shape[1] * x.astype(np.float64).var())  # scikit-learn's "scale"

    def fit(c: float, kept: np.ndarray) -> SVC:
        svc = SVC(C=c, kernel="rbf", gamma=gamma, cache_size=1000)
        return svc.fit(x[kept], labels[kept], None if weights is None else weights[kept])

    def margins_without(c: float, fold: np.ndarray) -> np.ndarray:
        kept = np.setdiff1d(rows, fold)
        if len(present := np.unique(labels[kept])) == 1:  # one unit has all images of the only other class
            return np.tile(np.where(np.arange(classes) == present, 1.0, -1.0), (len(fold), 1))
        return _margins(fit(c, kept), x[fold], classes)

    def trials() -> Iterator[Selected[SVC | None]]:
        for c in Cs:
            svc = None if folds else fit(c, rows)
            if svc:
                scores, truth = _margins(svc, x_val, classes), labels_val
            else:
                scores, truth = join_folds(folds, [margins_without(c, fold) for fold in folds]), labels
            on_step()
            yield Selected(score(scores, truth), c, svc, scores)

    best = select_first_best(trials())
    svc = best.model or fit(best.c, rows)
    arrays = {"support": svc.support_vectors_, "dual": svc.dual_coef_, "bias": svc.intercept_, "counts": svc.n_support_}
    return Selected(best.value, best.c, {**arrays, "gamma": np.array([gamma])}, best.scores)


def _margins(svc: Any, x: np.ndarray, classes: int) -> np.ndarray:
    """Margins float64 (N, K) of an ``SVC``; a class that it was fitted without is below all others."""
    found = svc.decision_function(x)
    found = np.stack([-found, found], axis=1) if found.ndim == 1 else found
    margins = np.full((len(x), classes), found.min(initial=0.0) - 1.0)
    margins[:, svc.classes_] = found
    return margins


def _calibrate(margins: np.ndarray, labels: np.ndarray) -> float:
    """Slope of ``scaled_softmax`` that minimizes the log loss of images held out.

    The target of the true class is (n + 1) / (n + 2), where n is the number of images of the class, as in Platt 1999;
    of all images for more than two classes. His offset is left out: with it the class of the larger margin could be the
    less probable one.
    """
    images, classes = margins.shape
    n = np.bincount(labels, minlength=classes)[labels] if classes == 2 else np.full(images, images)
    targets = np.repeat((1 / (n + 2) / (classes - 1))[:, None], classes, axis=1)
    targets[np.arange(images), labels] = (n + 1) / (n + 2)

    def loss(log_slope: float) -> float:
        log_p = np.log(np.clip(scaled_softmax(margins, np.exp(log_slope)), 1e-12, None))
        return float(-(targets * log_p).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))
