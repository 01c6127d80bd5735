"""Whether a class map shows what counts: take away what it marks, and see how much of the class goes with it.

As in the deletion game of RISE (Petsiuk et al. 2018, arXiv 1806.07421) the pixels are taken away in the order of the
map; as in its insertion game what is taken away is blurred rather than blackened, for black makes new edges. What
matters is the difference from random pixels: a network suffers from any damage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from topwork.core.errors import UsageError
from topwork.core.seeds import derive_seed
from topwork.explain.attribution import ClassMaps
from topwork.explain.subject import Subject

FRACTIONS = (0.05, 0.1, 0.2, 0.35, 0.5)
DRAWS = 3  # of random pixels
PATCHES = 14  # random patches side by side, at most
BLUR = 1 / 12  # standard deviation, as a share of the side
ROUNDING = 1e-4  # of the scores: the least unit, well above what float32 makes of equal photos
BATCH = 16


@dataclass(frozen=True)
class Deletion:
    """How a class falls when pixels of a photo are blurred.

    The lead of a class is its score less the mean score of all others. Falls of the lead are given in a unit of the
    photo and class: the most that blurring the whole photo, or random pixels, moves the lead, up or down. For a class
    that the photo speaks for, that is nearly always the whole photo: then ``whole`` is 1, and 0.6 says that 60 % of
    what the class has over the blurred photo is gone. For a class that gains by blurring ``whole`` is below 0. Where
    nothing moves the lead by more than rounding, all is near 0; no value is ever NaN.

    Attributes:
        fractions: Shares of pixels that are blurred, ascending.
        marked: Fall of the lead when the pixels with the highest values of the map go; one per fraction.
        random: The same for random pixels, mean of three draws.
        whole: The same for the whole photo, in [-1, 1].
        unit: What 1 stands for, in units of the score.
    """

    fractions: tuple[float, ...]
    marked: tuple[float, ...]
    random: tuple[float, ...]
    whole: float
    unit: float

    @property
    def fall(self) -> float:
        """Mean of ``marked``."""
        return float(np.mean(self.marked))

    @property
    def random_fall(self) -> float:
        """Mean of ``random``: a map is worth something if ``fall`` is larger."""
        return float(np.mean(self.random))


def deletion(subject: Subject, x: torch.Tensor, maps: Sequence[ClassMaps], seed: int = 0) -> list[list[Deletion]]:
    """Judge class maps of one photo by blurring what they mark.

    Random pixels come in square patches as large as a cell of the map's grid (of 14 x 14 if it is finer): single pixels
    here and there would damage a photo far more than the blob that a map marks. All maps of a grid share them. Where a
    map has equal values it is left to the first draw: a map that says nothing is as good as random pixels.

    Args:
        subject: Whose maps they are.
        x: The photo as normalised image (1, 3, S, S).
        maps: Of this photo, values (1, K', H, W).
        seed: Of the random pixels.

    Returns:
        One list per item of ``maps``, in it one result per class of the item, both in their order.

    Raises:
        UsageError: ``x`` or a map is of more than one photo.
    """
    if len(x) != 1 or any(len(one.values) != 1 for one in maps):
        raise UsageError(f"Deletion judges maps of one photo; got {len(x)} photos. Call it for each with its own maps.")
    side = x.shape[3]
    x = x.to(subject.device)
    blurred = blur(x, BLUR * side)
    scores = _scores(subject, torch.cat([x, blurred]))
    plain, whole = leads(scores)
    least = ROUNDING * float(np.abs(scores).max()) + np.finfo(float).tiny
    falls_of: dict[tuple[int, int], np.ndarray] = {}
    found = []
    for one in maps:
        grid = min(one.values.shape[2], PATCHES), min(one.values.shape[3], PATCHES)
        if grid not in falls_of:
            draws = [np.argsort(patches, kind="stable") for patches in _patches(grid, side, seed)]
            random = plain - leads(_without(subject, x, blurred, draws))  # (DRAWS * fractions, K)
            falls_of[grid] = random.reshape(DRAWS, len(FRACTIONS), -1).mean(axis=0)
        ties = _patches(grid, side, seed)[0]
        orders = [_descending(values, side, ties) for values in one.values[0]]
        marked = (plain - leads(_without(subject, x, blurred, orders))).reshape(len(orders), len(FRACTIONS), -1)
        pairs = [(marked[i, :, k], falls_of[grid][:, k], plain[k] - whole[k]) for i, k in enumerate(one.classes)]
        found.append([_deletion(*pair, least) for pair in pairs])
    return found


def _deletion(marked: np.ndarray, random: np.ndarray, whole: float, least: float) -> Deletion:
    unit = max(float(np.abs(random).max()), float(abs(whole)), least)
    shares = [tuple((falls / unit).tolist()) for falls in (marked, random)]
    return Deletion(FRACTIONS, *shares, whole=float(whole / unit), unit=unit)


def leads(scores: np.ndarray) -> np.ndarray:
    """Scores (N, K) to each class's score less the mean of the others', (N, K); with one class its score."""
    others = scores.shape[1] - 1
    return scores - (scores.sum(axis=1, keepdims=True) - scores) / max(others, 1)


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images (B, 3, S, S) under a Gaussian of a standard deviation in pixels, which is cut off at the borders."""
    place = torch.arange(x.shape[3], dtype=torch.float32)
    weights = (-0.5 * ((place[:, None] - place) / sigma) ** 2).exp()
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(x)
    return weights @ x @ weights.T


def _descending(values: np.ndarray, side: int, ties: np.ndarray) -> np.ndarray:
    """Pixels (S * S) from the highest value of a map (H, W) down; equal ones in the order of random patches."""
    large = functional.interpolate(
        torch.from_numpy(values)[None, None].float(), (side, side), mode="bilinear", align_corners=False
    )
    return np.lexsort((ties, -large.numpy().ravel()))


def _patches(grid: tuple[int, int], side: int, seed: int) -> np.ndarray:
    """For every draw the random place in line (DRAWS, S * S) of the patch that a pixel belongs to."""
    row, column = np.arange(side) * grid[0] // side, np.arange(side) * grid[1] // side
    ranks = []
    for draw in range(DRAWS):
        rng = np.random.default_rng(derive_seed(seed, "deleted patches", draw))
        ranks.append(rng.permutation(grid[0] * grid[1]).reshape(grid)[row[:, None], column].ravel())
    return np.stack(ranks)


def _without(subject: Subject, x: torch.Tensor, blurred: torch.Tensor, orders: Sequence[np.ndarray]) -> np.ndarray:
    """Scores (orders * fractions, K) of the photo without the first pixels of each order."""
    masks = np.zeros((len(orders), len(FRACTIONS), x.shape[2] * x.shape[3]), dtype=bool)
    for i, order in enumerate(orders):
        for j, fraction in enumerate(FRACTIONS):
            masks[i, j, order[: round(fraction * len(order))]] = True
    gone = torch.from_numpy(masks).view(-1, 1, *x.shape[2:])
    return np.concatenate([_scores(subject, torch.where(part.to(x.device), blurred, x)) for part in gone.split(BATCH)])


def _scores(subject: Subject, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return subject.score(x).cpu().double().numpy()
