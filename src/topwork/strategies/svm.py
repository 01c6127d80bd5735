"""``svm``: one-vs-rest support vector machine on the normalised features of the frozen backbone.

Linear: L2 penalty and squared hinge (Fan et al. 2008, LIBLINEAR); C is chosen on val. RBF is an option for small sets.
The scores are margins. Probabilities come from a calibration that is fitted on val: for two classes a logistic curve
(Platt 1999), for more a softmax with one temperature (Guo et al. 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import time
import warnings
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import minimize, minimize_scalar

from topwork.config import Component
from topwork.features import fit_normaliser
from topwork.strategies.base import Context, Fitted, softmax


class SVMConfig(Component):
    """Settings of ``svm``."""

    kernel: Literal["linear", "rbf"] = "linear"
    """rbf also bends the border between classes; its cost grows with the square of the number of images."""
    grid: tuple[float, ...] = Field(default=(), min_length=0)
    """Values of C to choose from on val; empty: 1e-4 to 3e-2 for linear, 0.1 to 100 for rbf."""


class SVM:
    """Support vector machine on frozen features."""

    name = "svm"
    Config = SVMConfig

    def resolve(self, config: SVMConfig, context: Context) -> SVMConfig:
        """The grid of C that suits the kernel."""
        usual = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2) if config.kernel == "linear" else (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
        return config.model_copy(update={"grid": config.grid or usual})

    def fit(self, config: SVMConfig, context: Context) -> Fitted:
        """Fit one machine per C, keep the one that is best on val."""
        labels = context.split.labels
        normalise = fit_normaliser(context.features.part("train"))
        data = {part: normalise(context.features.part(part)) for part in ("train", "val", "test")}
        start = time.monotonic()
        tried: list[tuple[float, float, Any]] = []
        with context.progress.step(self.name, len(config.grid), "values of C") as bar:
            for c in config.grid:
                machine = _machine(config.kernel, c).fit(data["train"], labels["train"])
                tried.append((float(machine.score(data["val"], labels["val"])), c, machine))
                bar.advance()
                context.signals.check()
        accuracy, c, machine = max(tried, key=lambda trial: trial[0])  # the smallest C of equals
        seconds = time.monotonic() - start

        def scores(part: str) -> np.ndarray:
            margins = machine.decision_function(data[part]).astype(np.float64)
            return np.stack([-margins, margins], axis=1) if margins.ndim == 1 else margins

        slope, offset = _calibrate(scores("val"), labels["val"])
        tensors = {
            "mean": normalise.mean,
            "scale": np.array(normalise.scale),
            "calibration": np.array([slope, offset]),
        } | _arrays(machine)
        size = sum(a.size for name, a in tensors.items() if name in ("weight", "bias", "dual"))
        return Fitted(
            scores=scores,
            kind="margin",
            probabilities=lambda margins: _probabilities(margins, slope, offset),
            tensors={name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in tensors.items()},
            whole=False,
            trained=(sum(name in ("weight", "bias", "dual") for name in tensors), size),
            selection={"C": c, "kernel": config.kernel, "val accuracy": accuracy},
            seconds=seconds,
            notes=["svm scores are margins; its probabilities come from a calibration fitted on val."],
        )


def _machine(kernel: str, c: float) -> Any:
    from sklearn.svm import SVC, LinearSVC

    if kernel == "rbf":
        return SVC(C=c, kernel="rbf", gamma="scale", cache_size=1000)
    machine: Any = LinearSVC  # its stubs do not know dual="auto"
    return _Quiet(machine(C=c, dual="auto", random_state=0, max_iter=300))


class _Quiet:
    """LinearSVC without its convergence warning: C is chosen on val, so a loose optimum only costs itself."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def fit(self, x: np.ndarray, y: np.ndarray) -> Any:
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self.machine.fit(x, y)


def _arrays(machine: Any) -> dict[str, np.ndarray]:
    if hasattr(machine, "support_vectors_"):
        return {
            "support": machine.support_vectors_,
            "dual": machine.dual_coef_,
            "bias": machine.intercept_,
            "counts": machine.n_support_,
            "gamma": np.array([machine._gamma]),
        }
    return {"weight": machine.coef_, "bias": machine.intercept_}


def _calibrate(margins: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and offset that minimise the log-loss on val; the offset is 0 for more than two classes."""

    def loss(slope: float, offset: float) -> float:
        p = _probabilities(margins, slope, offset)[np.arange(len(labels)), labels]
        return float(-np.log(np.clip(p, 1e-12, None)).mean())

    if margins.shape[1] == 2:
        found = minimize(lambda v: loss(np.exp(v[0]), v[1]), x0=[0.0, 0.0], method="Nelder-Mead")
        return float(np.exp(found.x[0])), float(found.x[1])
    found = minimize_scalar(lambda v: loss(np.exp(v), 0.0), bounds=(-5, 5), method="bounded")
    return float(np.exp(found.x)), 0.0


def _probabilities(margins: np.ndarray, slope: float, offset: float) -> np.ndarray:
    logits = slope * margins
    if logits.shape[1] == 2:
        logits = logits + np.array([0.0, offset])
    return softmax(logits)
