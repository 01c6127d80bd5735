"""Whether the images of a grouping are more similar than images of the same classes that are in other groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topwork.data.group_evidence.similarity import Neighbors, shuffle_within

NEAREST = 5  # neighbors of an image that are counted
CANDIDATES = 60  # neighbors that are found, since those of a finer group are not counted
_SHUFFLES = 50
_MIN_EXCESS = 0.1  # share of neighbors in the own group beyond chance, of what chance leaves
_MIN_Z = 6.0


@dataclass(frozen=True)
class Support:
    """How often the nearest neighbors of an image are in its group.

    Attributes:
        observed: Share of the nearest neighbors.
        expected: The same if groups were shuffled within the classes.
        z: Difference in standard deviations of the shuffled groups.
    """

    observed: float
    expected: float
    z: float

    @property
    def accepted(self) -> bool:
        """Whether the groups show in the images."""
        return self.z >= _MIN_Z and self.observed - self.expected >= _MIN_EXCESS * (1 - self.expected)


def measure_support(
    neighbors: Neighbors, groups: np.ndarray, labels: np.ndarray, seed: int, finer: np.ndarray | None = None
) -> Support:
    """How the nearest neighbors support a grouping, beyond a finer one if there is one.

    Args:
        neighbors: Of a sample of N images.
        groups: int (N,); -1: in none.
        labels: Class indices, int (N,).
        seed: Of the shuffling.
        finer: A grouping whose groups are parts of these, int (N,); neighbors in the same part are not counted.
    """
    alone, own = groups < 0, as_units(groups)
    units = np.arange(len(groups)) if finer is None else as_units(finer)
    first = np.unique(units, return_index=True)[1]
    group_of, label_of = own[first], labels[first]
    sizes = np.bincount(own)[own] - np.bincount(units)[units]  # others in the group that are counted
    rows = ~alone[neighbors.queries] & (sizes[neighbors.queries] > 0)
    queries, nearest = neighbors.queries[rows], neighbors.nearest[rows]
    other = units[nearest] != units[queries][:, None]
    rank = np.cumsum(other, axis=1)
    counted = other & (rank <= np.minimum(NEAREST, sizes[queries])[:, None])
    if not counted.any():
        return Support(0.0, 0.0, 0.0)
    first_of, second_of = units[np.broadcast_to(queries[:, None], nearest.shape)[counted]], units[nearest[counted]]
    rng = np.random.default_rng([seed, 3])
    observed = float((group_of[first_of] == group_of[second_of]).mean())
    shuffled = []
    for _ in range(_SHUFFLES):
        moved = group_of[shuffle_within(label_of, rng)]
        shuffled.append(float((moved[first_of] == moved[second_of]).mean()))
    expected, spread = float(np.mean(shuffled)), float(np.std(shuffled))
    return Support(observed, expected, (observed - expected) / max(spread, 1 / len(first_of)))


def as_units(groups: np.ndarray) -> np.ndarray:
    """Groups int (N,) numbered from 0, an image in none (-1) as a group of its own, int64 (N,)."""
    apart = np.where(groups < 0, groups.max() + 1 + np.arange(len(groups)), groups)
    return np.unique(apart, return_inverse=True)[1]
