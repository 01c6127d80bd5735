"""Truncated Newton method (Newton-CG) with line search for 0.5 |w|^2 + loss, many problems side by side.

As in LIBLINEAR: Keerthi & DeCoste 2005 for the squared hinge, Lin, Weng & Keerthi 2008 for the logistic loss, with a
diagonal preconditioner (Hsia, Chiang & Lin 2018). Weights, scores and the stopping rule are float64; the direction of
a step is solved for in float32. Problems that have converged leave the matrices.
Shapes: N images, R weights, K columns, G problems: K if each column is a problem of its own, else 1.
"""

from __future__ import annotations

import torch

from topwork.linear.eigenbasis import Eigenbasis
from topwork.linear.losses import Loss

MAX_NEWTON_STEPS = 100
MAX_CG_STEPS = 250
MAX_HALVINGS = 30
FORCING = 0.1  # CG stops when the preconditioned norm of its residual has fallen to this share


def minimize(basis: Eigenbasis, loss: Loss, start: torch.Tensor, tolerance: float) -> torch.Tensor:
    """The weights float64 (R, K) at the minimum of each problem.

    Args:
        start: Initial weights float64 (R, K).
        tolerance: How far above its minimum each objective may end, as a share of it; a proven bound.
    """
    solved, index = start.clone(), torch.arange(start.shape[1], device=start.device)
    w, scores = start, basis.scores(start)
    for _ in range(MAX_NEWTON_STEPS):
        objective = 0.5 * loss.sum_per_problem(w.square()) + loss.value(scores)
        gradient = w + basis.weight_gradient(loss.score_gradient(scores))
        # the objective is 1-strongly convex, so the minimum is at most |gradient|^2 / 2 below
        active = (0.5 * loss.sum_per_problem(gradient.square()) > tolerance * objective).expand(len(index))
        if not bool(active.all()):
            solved[:, index[~active]] = w[:, ~active]
            index, loss = index[active], loss.select(active)
            if len(index) == 0:
                return solved
            w, scores, gradient = w[:, active], scores[:, active], gradient[:, active]
        step = _newton_direction(basis, loss, loss.curvature(scores), gradient.float()).double()
        score_step = basis.scores(step)
        length = _line_search(loss, w, scores, step, score_step)
        w, scores = w + length * step, scores + length * score_step
    solved[:, index] = w
    return solved


def _newton_direction(basis: Eigenbasis, loss: Loss, curvature: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """An approximate solution of (I + Z' H Z) step = -gradient by preconditioned conjugate gradients."""
    z, index = basis.coordinates, torch.arange(gradient.shape[1], device=gradient.device)
    preconditioner = 1 + basis.weighted_gram_diagonal(loss.hessian_diagonal(curvature))
    solved, step, residual = torch.zeros_like(gradient), torch.zeros_like(gradient), -gradient
    direction = residual / preconditioner
    rho = loss.sum_per_problem(residual * direction)
    target = FORCING**2 * rho
    for _ in range(MAX_CG_STEPS):
        active = (rho > target).expand(len(index))
        if not bool(active.all()):
            solved[:, index[~active]] = step[:, ~active]
            index, loss = index[active], loss.select(active)
            if len(index) == 0:
                return solved
            curvature, preconditioner = curvature[:, active], preconditioner[:, active]
            rho, target = rho[active], target[active]
            step, residual, direction = step[:, active], residual[:, active], direction[:, active]
        hessian_direction = direction + z.T @ loss.hvp(curvature, z @ direction)
        length = rho / loss.sum_per_problem(direction * hessian_direction)
        step, residual = step + length * direction, residual - length * hessian_direction
        preconditioned = residual / preconditioner
        new = loss.sum_per_problem(residual * preconditioned)
        direction, rho = preconditioned + (new / rho) * direction, new
    solved[:, index] = step
    return solved


def _line_search(
    loss: Loss, w: torch.Tensor, scores: torch.Tensor, step: torch.Tensor, score_step: torch.Tensor
) -> torch.Tensor:
    """The largest of 1, 1/2, 1/4, ... that does not raise the objective of each problem, float64 (G,)."""

    def objective(length: torch.Tensor) -> torch.Tensor:
        return 0.5 * loss.sum_per_problem((w + length * step).square()) + loss.value(scores + length * score_step)

    before = objective(torch.zeros((), dtype=w.dtype, device=w.device))
    length = torch.ones_like(before)
    for _ in range(MAX_HALVINGS):
        too_long = objective(length) > before
        if not bool(too_long.any()):
            break
        length = torch.where(too_long, length / 2, length)
    return length
