"""Attribution to pixels by Captum (Kokhlikyan et al. 2020, arXiv 2009.07896), an optional package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch

from topwork.core.errors import MissingDependency

Score = Callable[[torch.Tensor], torch.Tensor]
Method = Callable[[Score, torch.Tensor, Sequence[int]], torch.Tensor]
IG_STEPS = 32  # on the path of integrated gradients
OCCLUSION_GRID = 7  # occluding squares side by side
BATCH_SIZE = 16


def _captum(method: str) -> Any:
    try:
        return import_module("captum.attr")
    except ImportError as error:
        raise MissingDependency(f"--method {method}", "explain") from error


def integrated_gradients(score: Score, x: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
    """Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) from 0, the mean color, to an image.

    Args:
        score: Normalized images (B, 3, S, S) to scores (B, K).
        x: Normalized images (B, 3, S, S).
        classes: Indices of K' classes.

    Returns:
        Float (B, K', S, S), summed over the colors; all pixels sum to the difference of the scores, up to the error of
        the integral.

    Raises:
        MissingDependency: Captum is not installed.
    """
    method = _captum("integrated-gradients").IntegratedGradients(score)
    maps = []
    for k in classes:
        found = method.attribute(x, target=k, n_steps=IG_STEPS, internal_batch_size=max(BATCH_SIZE, len(x)))
        maps.append(found.detach().sum(dim=1))
    return torch.stack(maps, dim=1)


def occlusion(score: Score, x: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
    """Occlusion (Zeiler & Fergus 2014, arXiv 1311.2901): drop of a score under squares of the mean color.

    The squares have a seventh of the image's side and move by half their side. Arguments and errors are those of
    ``integrated_gradients``.

    Returns:
        Float (B, K', S, S): the mean over the squares that cover a pixel.
    """
    method = _captum("occlusion").Occlusion(score)
    side = max(x.shape[3] // OCCLUSION_GRID, 1)
    step = max(side // 2, 1)
    per_pass = max(BATCH_SIZE // len(x), 1)
    maps = []
    with torch.inference_mode():
        for k in classes:
            found = method.attribute(
                x, (3, side, side), strides=(3, step, step), target=k, perturbations_per_eval=per_pass
            )
            maps.append(found.mean(dim=1))
    return torch.stack(maps, dim=1)
