"""Test class activation maps: how much of a class's score is lost when the highlighted pixels are blurred.

Pixels are removed in the order of the map, as in the deletion game of RISE (Petsiuk et al. 2018, arXiv 1806.07421), and
blurred rather than blackened, as in its insertion game, because black creates new edges. A map is compared with random
pixels, because any damage changes the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from topwork.core.errors import UsageError
from topwork.core.seeds import derive_seed
from topwork.explain.attribution import ClassActivationMaps
from topwork.explain.inspected_model import InspectedModel

FRACTIONS = (0.05, 0.1, 0.2, 0.35, 0.5)
DRAWS = 3  # of random pixels
MAX_PATCHES = 14  # random patches side by side
BLUR = 1 / 12  # standard deviation, as a share of the side
RELATIVE_EPS = 1e-4  # of the scores: the smallest scale, well above the rounding of float32
BATCH_SIZE = 16


@dataclass(frozen=True)
class Deletion:
    """How far the margin of a class drops when pixels of an image are blurred.

    The margin of a class is its score less the mean score of all other classes. Drops are given relative to the largest
    absolute drop from blurring the whole image or random pixels. For a class that the image supports, that is nearly
    always the whole image: then ``drop_all`` is 1, and a drop of 0.6 means that 60 % of the margin over the blurred
    image is lost. For a class that gains from blurring, ``drop_all`` is negative. If nothing changes the margin by more
    than rounding, all values are near 0; no value is NaN.

    Attributes:
        fractions: Shares of blurred pixels, ascending.
        drop_marked: Drop with the highest pixels of the map blurred, per fraction.
        drop_random: Drop with random pixels blurred, mean of three draws, per fraction.
        drop_all: Drop with the whole image blurred, in [-1, 1].
        scale: The score difference that 1 stands for.
    """

    fractions: tuple[float, ...]
    drop_marked: tuple[float, ...]
    drop_random: tuple[float, ...]
    drop_all: float
    scale: float


def deletion(
    model: InspectedModel, x: torch.Tensor, maps: Sequence[ClassActivationMaps], seed: int = 0
) -> list[list[Deletion]]:
    """Evaluate class activation maps of one image by blurring the pixels they highlight.

    Random pixels come in square patches of the size of a cell of the map's grid (at most 14 x 14), because scattered
    pixels would damage an image far more than the connected area that a map highlights. All maps of one grid share
    them. Ties in a map are broken by the first draw, so that a constant map equals random pixels.

    Args:
        model: The model of the maps.
        x: A normalized image (1, 3, S, S).
        maps: Of this image, values (1, K', H, W).
        seed: Of the random pixels.

    Returns:
        One list per item of ``maps``, with one result per class, in their order.

    Raises:
        UsageError: ``x`` or a map belongs to more than one image.
    """
    if len(x) != 1 or any(len(one.values) != 1 for one in maps):
        raise UsageError(f"deletion evaluates maps of one image; got {len(x)} images. Call it once per image.")
    side = x.shape[3]
    x = x.to(model.device)
    blurred = blur(x, BLUR * side)
    scores = _scores(model, torch.cat([x, blurred]))
    margin, margin_blurred = margins(scores)
    min_scale = RELATIVE_EPS * float(np.abs(scores).max()) + np.finfo(float).tiny
    random_drops: dict[tuple[int, int], np.ndarray] = {}
    found = []
    for one in maps:
        grid = min(one.values.shape[2], MAX_PATCHES), min(one.values.shape[3], MAX_PATCHES)
        if grid not in random_drops:
            draws = [np.argsort(patches, kind="stable") for patches in _patches(grid, side, seed)]
            drops = margin - margins(_scores_when_blurred(model, x, blurred, draws))  # (DRAWS * fractions, K)
            random_drops[grid] = drops.reshape(DRAWS, len(FRACTIONS), -1).mean(axis=0)
        ties = _patches(grid, side, seed)[0]
        orders = [_descending(values, side, ties) for values in one.values[0]]
        marked = margin - margins(_scores_when_blurred(model, x, blurred, orders))
        marked = marked.reshape(len(orders), len(FRACTIONS), -1)
        random, drop_all = random_drops[grid], margin - margin_blurred
        found.append(
            [_deletion(marked[i, :, k], random[:, k], drop_all[k], min_scale) for i, k in enumerate(one.classes)]
        )
    return found


def _deletion(marked: np.ndarray, random: np.ndarray, drop_all: float, min_scale: float) -> Deletion:
    scale = max(float(np.abs(random).max()), float(abs(drop_all)), min_scale)
    drops = [tuple((values / scale).tolist()) for values in (marked, random)]
    return Deletion(FRACTIONS, *drops, drop_all=float(drop_all / scale), scale=scale)


def margins(scores: np.ndarray) -> np.ndarray:
    """Scores (N, K) to each class's score less the mean of the others', (N, K); with one class its score.

    >>> margins(np.array([[3.0, 1.0, 0.0]]))
    array([[ 2.5, -0.5, -2. ]])
    """
    others = scores.shape[1] - 1
    return scores - (scores.sum(axis=1, keepdims=True) - scores) / max(others, 1)


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images (B, 3, S, S) under a Gaussian of a standard deviation in pixels, renormalized at the borders."""
    position = torch.arange(x.shape[3], dtype=torch.float32)
    weights = (-0.5 * ((position[:, None] - position) / sigma) ** 2).exp()
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(x)
    return weights @ x @ weights.T


def _descending(values: np.ndarray, side: int, ties: np.ndarray) -> np.ndarray:
    """Pixels (S * S) by descending value of a map (H, W); ties in the order of random patches."""
    large = functional.interpolate(
        torch.from_numpy(values)[None, None].float(), (side, side), mode="bilinear", align_corners=False
    )
    return np.lexsort((ties, -large.numpy().ravel()))


def _patches(grid: tuple[int, int], side: int, seed: int) -> np.ndarray:
    """For every draw the random rank (DRAWS, S * S) of the patch that each pixel belongs to."""
    row, column = np.arange(side) * grid[0] // side, np.arange(side) * grid[1] // side
    ranks = []
    for draw in range(DRAWS):
        rng = np.random.default_rng(derive_seed(seed, "deleted patches", draw))
        ranks.append(rng.permutation(grid[0] * grid[1]).reshape(grid)[row[:, None], column].ravel())
    return np.stack(ranks)


def _scores_when_blurred(
    model: InspectedModel, x: torch.Tensor, blurred: torch.Tensor, orders: Sequence[np.ndarray]
) -> np.ndarray:
    """Scores (orders * fractions, K) of the image with the first pixels of each order blurred."""
    masks = np.zeros((len(orders), len(FRACTIONS), x.shape[2] * x.shape[3]), dtype=bool)
    for i, order in enumerate(orders):
        for j, fraction in enumerate(FRACTIONS):
            masks[i, j, order[: round(fraction * len(order))]] = True
    batches = torch.from_numpy(masks).view(-1, 1, *x.shape[2:]).split(BATCH_SIZE)
    return np.concatenate([_scores(model, torch.where(mask.to(x.device), blurred, x)) for mask in batches])


def _scores(model: InspectedModel, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return model.score(x).cpu().double().numpy()
