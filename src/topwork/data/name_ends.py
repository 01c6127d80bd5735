"""What the names of several files share at their beginning and at their end."""

from __future__ import annotations

from collections.abc import Iterable


def common_ends(stems: Iterable[str]) -> tuple[int, int]:
    """How many signs all names share at their beginning and at their end, up to the numbers that differ.

    >>> common_ends(["dsc_001_rgb", "dsc_002_rgb"]), common_ends(["7", "8"])
    ((4, 4), (0, 0))
    """
    stems = list(stems)
    if not stems:
        return 0, 0
    start = _shared(min(stems), max(stems)).rstrip("0123456789")
    ends = [stem[len(start) :][::-1] for stem in stems]
    return len(start), len(_shared(min(ends), max(ends))[::-1].lstrip("0123456789"))


def _shared(one: str, other: str) -> str:
    """The beginning that two texts, and all between them in order, share."""
    count = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[:count] if count is not None else min(one, other, key=len)
