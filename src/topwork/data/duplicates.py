"""Duplicates among the images of a manifest: images of equal pixels, and near duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from topwork.core import storage
from topwork.core.artifacts import ImageRow
from topwork.data.fingerprints import SEARCH, near_pairs
from topwork.data.inspection import Inspection
from topwork.data.split_units import DisjointSets

Pairs = list[tuple[str, str]]


def find_pairs(inspections: Mapping[str, Inspection], previous: tuple[str, Pairs]) -> tuple[str, Pairs]:
    """Pairs of contents that are near duplicates, and a hash of all contents.

    Args:
        inspections: By content.
        previous: An earlier result, which is returned if the contents are the same.
    """
    contents = sorted(content for content, inspection in inspections.items() if inspection.fingerprint)
    key = storage.sha256_bytes(f"{SEARCH} {''.join(contents)}".encode())
    if key == previous[0]:
        return previous
    found = near_pairs([inspections[content].fingerprint for content in contents])
    return key, [(contents[i], contents[j]) for i, j in found.tolist()]


def assign_duplicate_groups(rows: Sequence[ImageRow], pairs: Pairs) -> tuple[ImageRow, ...]:
    """The rows with their group of duplicates, named by the smallest content in it: file names have no influence.

    Args:
        rows: With contents and pixel hashes.
        pairs: Of contents that are near duplicates.
    """
    sets = DisjointSets()
    used = [row for row in rows if row.status == "used"]
    for row in used:
        sets.join(("content", row.sha256), ("pixels", row.pixels or row.sha256))
    for a, b in pairs:
        sets.join(("content", a), ("content", b))
    members: dict[object, list[ImageRow]] = {}
    for row in used:
        members.setdefault(sets.root(("content", row.sha256)), []).append(row)
    name = {row.id: min(one.sha256 for one in same)[:16] for same in members.values() if len(same) > 1 for row in same}
    return tuple(replace(row, duplicates=name[row.id]) if row.id in name else row for row in rows)
