"""Newton's method with preconditioned conjugate gradients for 0.5 |w|^2 + loss, many problems side by side.

After Keerthi & DeCoste 2005 (squared hinge) and Lin, Weng & Keerthi 2008 (logistic). What decides when to stop, and
where the weights are, is float64; the direction of a step need not be exact and is found in float32. Problems that are
solved leave the matrices. Legend: N images, R weights, K columns: K problems of their own, or one over all columns.
"""

from __future__ import annotations

from typing import Protocol

import torch

from topwork.linear.eigenbasis import Eigenbasis

NEWTON = 100
CONJUGATE = 250
FORCING = 0.1  # a step leaves this share of the gradient's (preconditioned) norm


class Loss(Protocol):
    """A convex loss of scores (N, K), summed over the images. G is K if each column is a problem of its own, else 1."""

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sums (G,) of values (any, K) over each problem."""
        ...

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        """float64 (G,)."""
        ...

    def slope(self, scores: torch.Tensor) -> torch.Tensor:
        """Derivatives float64 (N, K)."""
        ...

    def curvature(self, scores: torch.Tensor) -> torch.Tensor:
        """What ``bend`` and ``product`` need of the second derivatives: float32 (N, K)."""
        ...

    def bend(self, curvature: torch.Tensor) -> torch.Tensor:
        """Second derivatives of each score by itself, float32 (N, K)."""
        ...

    def product(self, curvature: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """Second derivatives times a change of the scores, float32 (N, K)."""
        ...

    def columns(self, keep: torch.Tensor) -> Loss:
        """The loss of some problems only: bool (K,)."""
        ...


def minimise(basis: Eigenbasis, loss: Loss, start: torch.Tensor, tolerance: float) -> torch.Tensor:
    """The weights float64 (R, K) at the minimum of each problem.

    Args:
        basis: The images.
        loss: What is added to half the squared weights.
        start: float64 (R, K).
        tolerance: How far above its minimum each objective may end, as a share of it; proven, not estimated.
    """
    solved, index = start.clone(), torch.arange(start.shape[1], device=start.device)
    w, scores = start, basis.scores(start)
    for _ in range(NEWTON):
        objective = 0.5 * loss.total(w.square()) + loss.value(scores)
        gradient = w + basis.pull(loss.slope(scores))
        # curvature is at least 1 everywhere, so the minimum lies at most |gradient|^2 / 2 below
        running = (0.5 * loss.total(gradient.square()) > tolerance * objective).expand(len(index))
        if not bool(running.all()):
            solved[:, index[~running]] = w[:, ~running]
            index, loss = index[running], loss.columns(running)
            if len(index) == 0:
                return solved
            w, scores, gradient = w[:, running], scores[:, running], gradient[:, running]
        step = _step(basis, loss, loss.curvature(scores), gradient.float()).double()
        moved = basis.scores(step)
        length = _line_search(loss, w, scores, step, moved)
        w, scores = w + length * step, scores + length * moved
    solved[:, index] = w
    return solved


def _step(basis: Eigenbasis, loss: Loss, curvature: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Solve (I + Z' curvature Z) step = -gradient roughly, by conjugate gradients."""
    z, columns = basis.rotated, torch.arange(gradient.shape[1], device=gradient.device)
    steepness = 1 + basis.diagonal(loss.bend(curvature))
    solved, step, residual = torch.zeros_like(gradient), torch.zeros_like(gradient), -gradient
    direction = residual / steepness
    rho = loss.total(residual * direction)
    goal = FORCING**2 * rho
    for _ in range(CONJUGATE):
        running = (rho > goal).expand(len(columns))
        if not bool(running.all()):
            solved[:, columns[~running]] = step[:, ~running]
            columns, loss = columns[running], loss.columns(running)
            if len(columns) == 0:
                return solved
            curvature, steepness, rho, goal = curvature[:, running], steepness[:, running], rho[running], goal[running]
            step, residual, direction = step[:, running], residual[:, running], direction[:, running]
        curved = direction + z.T @ loss.product(curvature, z @ direction)
        length = rho / loss.total(direction * curved)
        step, residual = step + length * direction, residual - length * curved
        scaled = residual / steepness
        new = loss.total(residual * scaled)
        direction, rho = scaled + (new / rho) * direction, new
    solved[:, columns] = step
    return solved


def _line_search(
    loss: Loss, w: torch.Tensor, scores: torch.Tensor, step: torch.Tensor, moved: torch.Tensor
) -> torch.Tensor:
    """The largest of 1, 1/2, 1/4, ... that does not raise the objective of each problem, float64 (G,)."""

    def objective(length: torch.Tensor) -> torch.Tensor:
        return 0.5 * loss.total((w + length * step).square()) + loss.value(scores + length * moved)

    before = objective(torch.zeros((), dtype=w.dtype, device=w.device))
    length = torch.ones_like(before)
    for _ in range(30):
        worse = objective(length) > before
        if not bool(worse.any()):
            break
        length = torch.where(worse, length / 2, length)
    return length
