"""Linear support vector machines of all classes at once.

For each class k against the rest, with signs y in {-1, +1} and a constant feature 1 appended for the bias, as in
LIBLINEAR (Fan et al. 2008) the minimum over w of

    0.5 |w|^2 + C sum_i max(0, 1 - y_i w.x_i)^2

Newton steps with conjugate gradients (Keerthi & DeCoste 2005), the K problems side by side as columns, so that all work
is products of whole matrices. Legend: N images, D features and the constant, K problems.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

NEWTON = 100
CONJUGATE = 250


@dataclass(frozen=True)
class LinearMachine:
    """Separating planes: margins = features @ weight.T + bias.

    Attributes:
        weight: float64 (K, D), or (1, D) for two classes.
        bias: float64 (K,) or (1,).
    """

    weight: np.ndarray
    bias: np.ndarray

    def margins(self, features: np.ndarray) -> np.ndarray:
        """float64 (N, K); for two classes the second column is the machine's own margin, the first its negative."""
        margins = features @ self.weight.T + self.bias
        return np.concatenate([-margins, margins], axis=1) if margins.shape[1] == 1 else margins


def fit_path(
    features: np.ndarray, labels: np.ndarray, grid: tuple[float, ...], tolerance: float = 1e-6
) -> Iterator[LinearMachine]:
    """Fit the machines of every C of a grid, each started from the one before.

    Args:
        features: float (N, D), on a common scale.
        labels: Class indices int64 (N,); every class of 0 .. K-1 occurs.
        grid: Values of C, rising.
        tolerance: How far above its minimum each objective may end, as a share of it; proven, not estimated.

    Yields:
        One machine per C; the next is fitted when it is asked for.
    """
    x = torch.from_numpy(np.pad(features.astype(np.float64), ((0, 0), (0, 1)), constant_values=1.0))  # (N, D)
    classes = int(labels.max()) + 1
    positive = torch.from_numpy(labels)[:, None] == torch.arange(classes)  # (N, K)
    y = torch.where(positive[:, 1:] if classes == 2 else positive, 1.0, -1.0).to(torch.float64)
    w = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)  # (D, K)
    for c in grid:
        w = _newton(x, y, w, c, tolerance)
        table = w.T.numpy().copy()
        yield LinearMachine(table[:, :-1], table[:, -1])


def _newton(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, c: float, tolerance: float) -> torch.Tensor:
    scores = x @ w  # (N, K)
    for _ in range(NEWTON):
        violation = (1 - y * scores).clamp(min=0)
        active = (violation > 0).to(x.dtype)
        objective = 0.5 * w.square().sum(dim=0) + c * violation.square().sum(dim=0)
        gradient = w + 2 * c * (x.T @ (active * (scores - y)))
        # curvature is at least 1 everywhere, so the minimum lies at most |gradient|^2 / 2 below
        if bool((0.5 * gradient.square().sum(dim=0) <= tolerance * objective).all()):
            break
        step = _conjugate_gradients(x, active, gradient, c)
        moved = x @ step
        length = _line_search(y, w, scores, step, moved, c)
        w, scores = w + length * step, scores + length * moved
    return w


def _conjugate_gradients(x: torch.Tensor, active: torch.Tensor, gradient: torch.Tensor, c: float) -> torch.Tensor:
    """Solve H step = -gradient for each column, H = I + 2 C X' A X; to a tenth of the gradient's norm."""
    step = torch.zeros_like(gradient)
    residual = -gradient
    direction = residual.clone()
    old = (residual * residual).sum(dim=0)
    goal = 0.01 * old
    for _ in range(CONJUGATE):
        running = old > goal
        if not bool(running.any()):
            break
        curved = direction + 2 * c * (x.T @ (active * (x @ direction)))
        length = torch.where(running, old / (direction * curved).sum(dim=0).clamp(min=1e-300), 0.0)
        step += length * direction
        residual -= length * curved
        new = (residual * residual).sum(dim=0)
        direction = residual + torch.where(running, new / old.clamp(min=1e-300), 0.0) * direction
        old = torch.where(running, new, old)
    return step


def _line_search(
    y: torch.Tensor, w: torch.Tensor, scores: torch.Tensor, step: torch.Tensor, moved: torch.Tensor, c: float
) -> torch.Tensor:
    """The largest of 1, 1/2, 1/4, ... that lowers the objective of each column."""

    def objective(length: torch.Tensor) -> torch.Tensor:
        violation = (1 - y * (scores + length * moved)).clamp(min=0)
        return 0.5 * (w + length * step).square().sum(dim=0) + c * violation.square().sum(dim=0)

    length = torch.ones(y.shape[1], dtype=y.dtype)
    before = objective(torch.zeros_like(length))
    for _ in range(30):
        worse = objective(length) > before
        if not bool(worse.any()):
            break
        length = torch.where(worse, length / 2, length)
    return length
