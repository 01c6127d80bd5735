"""Which images of a manifest are the same: equal pixels, or one picture resized, recompressed, mirrored or turned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from topwork.core import storage
from topwork.core.artifacts import ImageRow
from topwork.data.fingerprints import SEARCH, near_pairs
from topwork.data.inspection import Inspection
from topwork.data.split_units import Sets

Pairs = list[tuple[str, str]]


def find_pairs(seen: Mapping[str, Inspection], known: tuple[str, Pairs]) -> tuple[str, Pairs]:
    """Pairs of contents that show the same picture, and a hash of what was asked; ``known`` is the last answer.

    Args:
        seen: Inspections by content.
        known: What this gave before.
    """
    contents = sorted(content for content, verdict in seen.items() if verdict.fingerprint)
    key = storage.sha256_bytes(f"{SEARCH} {''.join(contents)}".encode())
    if key == known[0]:
        return known
    found = near_pairs([seen[content].fingerprint for content in contents])
    return key, [(contents[i], contents[j]) for i, j in found.tolist()]


def name_sets(rows: Sequence[ImageRow], pairs: Pairs) -> tuple[ImageRow, ...]:
    """The rows with their set of duplicates, named by the smallest content in it, so that file names decide nothing.

    Args:
        rows: With contents and pixel hashes.
        pairs: Of contents that show the same picture.
    """
    sets = Sets()
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
