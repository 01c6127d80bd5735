"""Runs of an order whose images are similar: bursts, frames of a video, the images of one patient in a row.

The order is cut into runs by dynamic programming: a run gains from each pair of images at most ``REACH`` places apart
what they are more similar than is usual in a shuffled order (of the images of each class), and pays for each image what
one in 500 shuffled images would gain. Runs that gain no more than those of shuffled orders are dropped, so
independent images are joined at a known, small rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.data.group_evidence.similarity import Similarity, shuffle_within

REACH = 8  # places
MAX_JOINED_BY_CHANCE = 0.001  # of all images
_LEVEL = 0.9  # quantile of the similarities in shuffled orders that a pair must exceed to count in favor
_FEW = 0.998  # share of shuffled images whose similarities to those before them sum up to less than a run requires
_SHUFFLED_IMAGES = 20_000  # in all shuffled orders, at least
_MIN_SHUFFLES, _MAX_SHUFFLES = 4, 40
_MIN_SHARE, _MIN_IMAGES, _MIN_OVER_CHANCE = 0.01, 6, 4.0  # of images in runs
_FEW_IF_WEAK, _MUCH_MORE = 0.9, 0.2  # the same for long runs of weak similarity, if so many more images are in runs
_NEVER = -1e9  # what makes a run end


@dataclass(frozen=True)
class Chains:
    """The runs of an order.

    Attributes:
        groups: Number of the run of each image, int64 (N,); -1: in none.
        by_chance: Share of images that are in runs of shuffled orders.
    """

    groups: np.ndarray
    by_chance: float

    @property
    def share(self) -> float:
        """Of images in runs."""
        return float((self.groups >= 0).mean())


def find_chains(similarity: Similarity, order: np.ndarray, blocks: np.ndarray) -> Chains | None:
    """The runs of an order; None if there are no more than in shuffled orders.

    Args:
        similarity: Of N images.
        order: All images in order, int64 (N,).
        blocks: By image, int (N,): a run is within one block, such as a folder.
    """
    strict, weak = (_refined(similarity, order, blocks, few) for few in (_FEW, _FEW_IF_WEAK))
    if weak and weak.share >= (strict.share if strict else 0.0) + _MUCH_MORE:
        return weak
    return strict


def _refined(similarity: Similarity, order: np.ndarray, blocks: np.ndarray, few: float) -> Chains | None:
    """The runs of a second search, which knows what chance is from the images that are not in runs of the first."""
    found = _find(similarity, order, blocks, np.full(len(order), -1), few)
    return found and (_find(similarity, order, blocks, found.groups, few) or found)


def _find(
    similarity: Similarity, order: np.ndarray, blocks: np.ndarray, known: np.ndarray, few: float
) -> Chains | None:
    rng, count = np.random.default_rng([similarity.seed, 2]), len(order)
    shuffles = int(np.clip(_SHUFFLED_IMAGES // count, _MIN_SHUFFLES, _MAX_SHUFFLES))
    divided = blocks[order]
    real = _band(similarity, order, divided)
    orders = [order[shuffle_within(similarity.labels[order], rng)] for _ in range(shuffles)]
    bands = np.stack([real, *(_band(similarity, shuffled, divided, known) for shuffled in orders)])
    values = bands[1:][np.isfinite(bands[1:])]
    if not len(values):
        return None
    level = np.float32(np.quantile(values, _LEVEL))
    gains = np.cumsum(np.maximum(np.where(np.isnan(bands), 0.0, bands - level), _NEVER), axis=2)
    required = np.array([_required(gains[1:, :, lag], few) for lag in range(REACH)])
    if (known >= 0).any():
        strange = np.stack([_strangers(similarity, order, shuffled, known) for shuffled in orders])
        sums = np.cumsum(np.maximum(strange - level, _NEVER), axis=2)
        required = np.maximum(required, [_required(sums[:, :, lag], few) for lag in range(REACH)])
    gains -= np.maximum.accumulate(required).astype(np.float32)
    found, *by_chance = _runs(gains)
    kept, share = _exceptional(found, np.concatenate(by_chance), shuffles, count)
    size = float((kept[:, 1] - kept[:, 0]).sum())
    if size < max(_MIN_IMAGES, _MIN_SHARE * count, _MIN_OVER_CHANCE * share * count):
        return None
    groups = np.full(count, -1, dtype=np.int64)
    for number, (start, end) in enumerate(kept[:, :2].astype(np.int64)):
        groups[order[start:end]] = number
    return Chains(groups, share)


def _strangers(similarity: Similarity, order: np.ndarray, shuffled: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Similarities float32 (N, REACH) of images in a shuffled order to those of a run at the places before theirs.

    The images of a run are similar, so one of another content is similar to all or none of them.
    """
    band = np.full((len(order), REACH), -np.inf, dtype=np.float32)
    last = known[order[:-1]]
    for lag in range(1, min(REACH, len(order) - 1) + 1):
        run = known[order[:-lag]]
        valid = (run >= 0) & (run == last[lag - 1 :]) & (run != known[shuffled[lag:]])
        band[lag:, lag - 1][valid] = similarity.between(shuffled[lag:][valid], order[:-lag][valid])
    return band


def _required(sums: np.ndarray, few: float) -> float:
    """What similarities of an image to those before it sum up to by chance in few shuffled orders."""
    possible = sums[sums > _NEVER / 2]
    return max(0.0, float(np.quantile(possible, few))) if len(possible) else 0.0


def _band(similarity: Similarity, order: np.ndarray, blocks: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Similarities float32 (N, REACH) to the images 1, 2, ... places before; -inf where there is none in the block.

    NaN for two images of one run in ``known``.
    """
    count = len(order)
    band = np.full((count, REACH), -np.inf, dtype=np.float32)
    for lag in range(1, min(REACH, count - 1) + 1):
        first, second = order[lag:], order[:-lag]
        values = similarity.between(first, second)
        if known is not None:
            values[(known[first] >= 0) & (known[first] == known[second])] = np.nan
        band[lag:, lag - 1] = np.where(blocks[lag:] == blocks[:-lag], values, -np.inf)
    return band


def _runs(gains: np.ndarray) -> list[np.ndarray]:
    """The runs of largest total gain in each of some orders: start, end and gain of each, float64 (R, 3).

    Args:
        gains: What a run gains by an image if 1, 2, ... images before it are in the run, (B, N, REACH), the last for
            all longer ones.
    """
    batch, count, reach = gains.shape
    gains = np.concatenate([np.zeros((batch, count, 1)), gains], axis=2)
    totals, begun = np.zeros((count + 1, batch)), np.zeros((count, batch), dtype=np.int64)
    value, start = np.full((batch, reach + 2), -np.inf), np.zeros((batch, reach + 2), dtype=np.int64)
    rows = np.arange(batch)
    for place in range(count):  # state: images before this one in its run, the last for ``reach`` and more
        value[:, 1:], start[:, 1:] = value[:, :-1].copy(), start[:, :-1].copy()
        value[:, 0], start[:, 0] = totals[place], place
        longer = value[:, -1] > value[:, -2]
        value[longer, -2], start[longer, -2] = value[longer, -1], start[longer, -1]
        value[:, :-1] += gains[:, place]
        best = value[:, :-1].argmax(axis=1)
        totals[place + 1], begun[place] = value[rows, best], start[rows, best]
    found = []
    for row in rows:
        end, runs = count, []
        while end > 0:
            first = int(begun[end - 1, row])
            if end - first > 1:
                runs.append((first, end, totals[end, row] - totals[first, row]))
            end = first
        found.append(np.array(runs, dtype=np.float64).reshape(-1, 3))
    return found


def _exceptional(found: np.ndarray, by_chance: np.ndarray, shuffles: int, count: int) -> tuple[np.ndarray, float]:
    """The runs that gain more than all but ``MAX_JOINED_BY_CHANCE`` of those of shuffled orders, and this share."""
    order = np.argsort(-by_chance[:, 2], kind="stable")
    shares = np.cumsum((by_chance[:, 1] - by_chance[:, 0])[order]) / (shuffles * count)
    number = int(np.searchsorted(shares, MAX_JOINED_BY_CHANCE, side="right"))
    limit = float(by_chance[order[number], 2]) if number < len(order) else 0.0
    return found[found[:, 2] > limit], float(shares[number - 1]) if number else 0.0
