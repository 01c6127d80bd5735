"""``svm``: one-vs-rest support vector machine on the normalised features of the frozen backbone.

Linear: L2 penalty and squared hinge (Fan et al. 2008, LIBLINEAR); C is chosen on val, or by cross-validation. RBF is an
option for small sets.
The scores are margins. Probabilities come from a calibration that is fitted on val: for two classes a logistic curve
(Platt 1999), for more a softmax with one temperature (Guo et al. 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from torch import nn

from topwork.core.config import LinearClassifierConfig
from topwork.core.errors import ConfigError
from topwork.features import fit_normaliser
from topwork.linear.classifiers import LinearModel
from topwork.linear.selection import Choice, choose, first_best
from topwork.linear.svm_head import SVMHead
from topwork.strategies.base import Context, TrainedStrategy, head_scores, softmax
from topwork.training.search_space import LogRange, space

GRIDS = {"linear": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1), "rbf": (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)}


class SVMConfig(LinearClassifierConfig):
    """Settings of ``svm``."""

    kernel: Literal["linear", "rbf"] = "linear"
    """rbf also bends the border between classes; its cost grows with the square of the number of images."""
    grid: tuple[float, ...] = ()
    """Values of C to choose from; empty: 1e-4 to 0.1 for linear, 0.1 to 100 for rbf."""


class SVM:
    """Support vector machine on frozen features."""

    name = "svm"
    Config = SVMConfig
    search = space(grid=LogRange(1e-5, 1.0, single=True))

    def resolve(self, config: SVMConfig, context: Context) -> SVMConfig:
        """The grid of C that suits the kernel."""
        if config.folds and config.kernel == "rbf":
            raise ConfigError("svm.folds is for the linear kernel; set folds = 0, and C is chosen on val.")
        default = (
            (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
            if config.kernel == "linear"
            else (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
        )
        return config.model_copy(update={"grid": config.grid or default})

    def fit(self, config: SVMConfig, context: Context) -> TrainedStrategy:
        """Fit one machine per C, keep the one that is best on val."""
        labels = context.splits.labels
        normalise = fit_normaliser(context.features.load("train"))
        data = {split: (normalise(context.features.load(split)), labels[split]) for split in ("train", "val")}
        start, device = time.monotonic(), str(context.compute.device)
        with context.progress.track(self.name, len(config.grid), "values of C") as bar:

            def tick() -> None:
                bar.advance()
                context.signals.raise_if_stopped()

            choice: Choice[Any] = (
                choose("hinge", config, data, context.classes, device, context.seed, tick, context.weights)
                if config.kernel == "linear"
                else _radial(sorted(config.grid), data, tick, context.weights)
            )
        seconds, machine = time.monotonic() - start, choice.fit

        arrays = {"mean": normalise.mean, "scale": np.array(normalise.scale)} | _arrays(machine)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
        head = self.head(tensors)

        def scores(split: str) -> np.ndarray:
            return head_scores(head, context.features.load(split))

        slope_and_offset = _calibrate(scores("val"), labels["val"])
        tensors["calibration"] = torch.tensor(slope_and_offset, dtype=torch.float64)
        size = sum(a.size for name, a in arrays.items() if name in ("weight", "bias", "dual"))
        return TrainedStrategy(
            scores=scores,
            kind="margin",
            tensors=tensors,
            whole=False,
            trained=(sum(name in ("weight", "bias", "dual") for name in tensors), size),
            selection={"C": choice.c, "kernel": config.kernel, config.selection_metric: choice.accuracy},
            seconds=seconds,
            notes=["svm scores are margins; its probabilities come from a calibration fitted on val."],
        )

    def head(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """The machine; its scores are margins."""
        return SVMHead(tensors)

    def probabilities(self, scores: np.ndarray, tensors: dict[str, torch.Tensor]) -> np.ndarray:
        """What the calibration makes of margins."""
        slope, offset = tensors["calibration"].tolist()
        return _probabilities(scores, slope, offset)

    def probability_layer(self, tensors: dict[str, torch.Tensor]) -> nn.Module:
        """The same calibration as a layer."""
        return _Calibration(tensors["calibration"])


class _Calibration(nn.Module):
    """``_probabilities`` of margins (B, K)."""

    def __init__(self, slope_and_offset: torch.Tensor) -> None:
        super().__init__()
        self.slope, self.offset = slope_and_offset.tolist()

    def forward(self, margins: torch.Tensor) -> torch.Tensor:
        logits = self.slope * margins
        if logits.shape[1] == 2:
            logits = torch.stack([logits[:, 0], logits[:, 1] + self.offset], dim=1)
        return logits.softmax(dim=1)


@dataclass(frozen=True)
class _RBF:
    """scikit-learn's machine with a radial kernel; its margins are those of one class against the rest."""

    svc: Any

    def scores(self, features: np.ndarray) -> np.ndarray:
        margins = self.svc.decision_function(features)
        return np.stack([-margins, margins], axis=1) if margins.ndim == 1 else margins


def _radial(
    grid: list[float], data: dict[str, Any], tick: Callable[[], None], weights: np.ndarray | None
) -> Choice[_RBF]:
    """The radial machine of the C that is best on val."""
    from sklearn.svm import SVC

    (x, labels), (x_val, val) = data["train"], data["val"]

    def tried() -> Iterator[Choice[_RBF]]:
        for c in grid:
            machine = _RBF(SVC(C=c, kernel="rbf", gamma="scale", cache_size=1000).fit(x, labels, weights))
            tick()
            yield Choice(float((machine.scores(x_val).argmax(axis=1) == val).mean()), c, machine)

    return first_best(tried())


def _arrays(machine: LinearModel | _RBF) -> dict[str, np.ndarray]:
    if isinstance(machine, LinearModel):
        return {"weight": machine.weight, "bias": machine.bias}
    svc = machine.svc
    return {
        "support": svc.support_vectors_,
        "dual": svc.dual_coef_,
        "bias": svc.intercept_,
        "counts": svc.n_support_,
        "gamma": np.array([svc._gamma]),
    }


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
