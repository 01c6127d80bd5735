"""The groups that several kinds of evidence show together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from topwork.core.artifacts import ImageRow
from topwork.data.group_evidence.chains import find_chains
from topwork.data.group_evidence.names import Partition, is_plausible, orders_by_name, partitions_by_name
from topwork.data.group_evidence.similarity import Neighbors, Similarity, find_neighbors, measure
from topwork.data.group_evidence.support import CANDIDATES, Support, as_units, measure_support
from topwork.data.group_evidence.times import order_by_time, partitions_by_time
from topwork.data.split_units import DisjointSets, make_units

MIN_IMAGES = 20
_MAX_SHARE = 0.5  # of the images, in one group of a union of several partitions
_MIN_UNITS = 3  # groups of a class that a split into training, validation and test needs
_MIN_PART = 0.9  # share of the images of the groups that are parts of others
_MUCH_BETTER = 0.1  # share of the nearest neighbors


@dataclass(frozen=True)
class Proposal:
    """Groups of images that nobody named.

    Attributes:
        rows: The images, without further copies of one; (N,).
        groups: Number of the group of each, int64 (N,), from 0; an image that is alone has its own.
        pattern: The value of ``--group-by`` that makes them; empty if no pattern does.
        evidence: What shows them, a few words for each kind.
        support: How the images' nearest neighbors support them.
    """

    rows: tuple[ImageRow, ...]
    groups: np.ndarray
    pattern: str
    evidence: tuple[str, ...]
    support: Support

    @property
    def members(self) -> list[list[ImageRow]]:
        """The images of each group of several, in order of their ids."""
        found: dict[int, list[ImageRow]] = {}
        for number, row in zip(self.groups.tolist(), self.rows, strict=True):
            found.setdefault(number, []).append(row)
        several = [sorted(group, key=lambda row: row.id) for group in found.values() if len(group) > 1]
        return sorted(several, key=lambda group: group[0].id)


def propose_groups(rows: Sequence[ImageRow], features: np.ndarray, seed: int = 0) -> Proposal | None:
    """The groups of images that names, times or orders show and that the features support; None if there are none.

    Args:
        rows: The usable images; those in a group already are not examined.
        features: Of each image, float32 (N, D); of no use for an image where all are 0.
        seed: Of samples and permutations.
    """
    kept = _representatives(rows, features)
    rows, features = [rows[i] for i in kept], features[kept]
    classes = {label: number for number, label in enumerate(sorted({row.label for row in rows}))}
    labels = np.array([classes[row.label] for row in rows], dtype=np.int64)
    if len(rows) < MIN_IMAGES:
        return None
    ids, taken, cameras = [row.id for row in rows], [row.taken for row in rows], [row.camera for row in rows]
    similarity = measure(features, labels, seed)
    neighbors = find_neighbors(similarity, CANDIDATES)
    partitions = [*partitions_by_name(ids, labels), *partitions_by_time(taken, cameras)]
    named = _choose([p for p in partitions if is_plausible(p, labels)], neighbors, labels, seed)
    runs = _find_runs(ids, list(zip(taken, cameras, strict=True)), similarity)
    found = _join(named, runs, neighbors, labels, seed)
    if found is None:
        return None
    groups = as_units(found.groups)
    evidence = tuple(dict.fromkeys(found.evidence.split("; ")))
    return Proposal(tuple(rows), groups, found.pattern, evidence, measure_support(neighbors, groups, labels, seed))


def _representatives(rows: Sequence[ImageRow], features: np.ndarray) -> list[int]:
    """Positions of the images that can be compared, of copies only the first: they are kept in one split anyway."""
    position = {row.id: i for i, row in enumerate(rows)}
    shown = np.flatnonzero(np.abs(features).max(axis=1))
    units = make_units(replace(row, group="") for row in rows).values()
    first = (min(position[row.id] for row in unit) for unit in units)
    return sorted(set(first) & set(shown.tolist()))


def _choose(partitions: Sequence[Partition], neighbors: Neighbors, labels: np.ndarray, seed: int) -> Partition | None:
    """The partition that the images support: the finest, or a coarser one if it is supported beyond the finer."""
    chosen: tuple[Partition, float] | None = None
    for partition in sorted(partitions, key=lambda p: -len(np.unique(p.groups))):
        support = measure_support(neighbors, partition.groups, labels, seed)
        if not support.accepted:
            continue
        excess = support.observed - support.expected
        if chosen is None:
            chosen = partition, excess
        elif is_part(chosen[0].groups, partition.groups):
            if measure_support(neighbors, partition.groups, labels, seed, chosen[0].groups).accepted:
                chosen = partition, excess
        elif excess > chosen[1] + _MUCH_BETTER:
            chosen = partition, excess
    return chosen[0] if chosen else None


def is_part(fine: np.ndarray, coarse: np.ndarray) -> bool:
    """Whether groups of several, int (N,), -1: in none, are parts of the groups of another partition, but for a few."""
    rows = np.flatnonzero((fine >= 0) & (np.bincount(fine + 1)[fine + 1] > 1))
    if not len(rows):
        return False
    pairs, counts = np.unique(np.stack([fine[rows], coarse[rows]]), axis=1, return_counts=True)
    together = np.zeros(fine.max() + 1)
    np.maximum.at(together, pairs[0][pairs[1] >= 0], counts[pairs[1] >= 0])
    return bool(together.sum() >= _MIN_PART * len(rows))


def _find_runs(ids: Sequence[str], times: Sequence[tuple[str, str]], similarity: Similarity) -> Partition | None:
    """The runs of similar images in the order, by name or time, that has most."""
    orders = [("files that follow each other by name", *order) for order in orders_by_name(ids)]
    by_time = order_by_time([taken for taken, _ in times], [camera for _, camera in times])
    if by_time:
        orders.append(("images that follow each other in time", *by_time))
    best, evidence = None, ""
    for shown, order, blocks in orders:
        chains = find_chains(similarity, order, blocks)
        if chains and (best is None or chains.share > best.share):
            best, evidence = chains, shown
    return Partition(evidence, "", best.groups) if best else None


def _join(
    named: Partition | None, runs: Partition | None, neighbors: Neighbors, labels: np.ndarray, seed: int
) -> Partition | None:
    """One partition of both: the one that the other is a part of, else what either joins."""
    if named is None or runs is None:
        return named or runs
    both = f"{named.evidence}; {runs.evidence}"
    if is_part(runs.groups, named.groups):
        return replace(named, evidence=both)
    if is_part(named.groups, runs.groups):
        further = measure_support(neighbors, runs.groups, labels, seed, named.groups).accepted
        return replace(runs, evidence=both) if further else named
    sets = DisjointSets()
    for i, groups in enumerate(zip(named.groups.tolist(), runs.groups.tolist(), strict=True)):
        for kind, group in zip(("named", "run"), groups, strict=True):
            if group >= 0:
                sets.join(i, (kind, group))
    roots = [sets.root(i) for i in range(len(labels))]
    number = {root: k for k, root in enumerate(dict.fromkeys(roots))}
    joined = Partition(both, "", np.array([number[root] for root in roots], dtype=np.int64))
    return joined if _can_be_split(joined.groups, labels) else max(named, runs, key=_images_in_groups)


def _can_be_split(groups: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each class has groups enough for training, validation and test, and no group is most of the images."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return bool(np.bincount(pairs[0]).min() >= _MIN_UNITS and np.bincount(groups).max() <= _MAX_SHARE * len(labels))


def _images_in_groups(partition: Partition) -> int:
    return int((np.bincount(partition.groups + 1)[partition.groups + 1] > 1)[partition.groups >= 0].sum())
