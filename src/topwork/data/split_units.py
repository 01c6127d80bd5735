"""Which images may only stand together in one part: same content, near duplicates, one group, one photograph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from topwork.core.artifacts import ImageRow
from topwork.core.errors import DataError
from topwork.core.seeds import derive_seed
from topwork.data.images import file_of

Units = Mapping[str, Sequence[ImageRow]]


def content(row: ImageRow) -> str:
    """What is equal for equal images."""
    return row.sha256 or row.id


def make_units(rows: Iterable[ImageRow]) -> dict[str, list[ImageRow]]:
    """Rows by unit: whatever shares a content, a set of duplicates, a group or a file, also by way of others.

    Returns:
        Units in the order of their keys; a key is the smallest content in the unit, so names of files decide nothing.
    """
    found = Sets()
    kept = list(rows)
    for row in kept:
        first = ("content", content(row))
        found.join(first, ("file", file_of(row.id)))
        if row.duplicates:
            found.join(first, ("duplicates", row.duplicates))
        if row.group:
            found.join(first, ("group", row.group))
    members: dict[object, list[ImageRow]] = {}
    for row in kept:
        members.setdefault(found.root(("content", content(row))), []).append(row)
    return dict(sorted((min(map(content, unit)), unit) for unit in members.values()))


class Sets:
    """Disjoint sets of anything hashable."""

    def __init__(self) -> None:
        self._above: dict[object, object] = {}

    def root(self, item: object) -> object:
        """The one member that stands for a whole set."""
        path = []
        while (above := self._above.get(item, item)) is not item:
            path.append(item)
            item = above
        self._above.update(dict.fromkeys(path, item))
        return item

    def join(self, a: object, b: object) -> None:
        """Make one set of two."""
        a, b = self.root(a), self.root(b)
        if a is not b:
            self._above[b] = a


def balance(units: Units, shares: Mapping[str, float], seed: int, least: int = 1) -> dict[str, str]:
    """Part of each unit, so that every part gets its share of each class and stratum as nearly as whole units allow.

    Greedy: first each class gets ``least`` units in each part, the rarest class first; then the rest, largest units
    first, each to the part that lacks most of what the unit holds.

    Args:
        units: Of any size; one may hold several classes.
        shares: Part to its share of the images; they sum to 1.
        seed: Decides among equals.
        least: Units of each class in each part.

    Raises:
        DataError: A class has fewer units than that takes; the message names it.
    """
    order = sorted(units, key=lambda unit: derive_seed(seed, "split", unit))
    holds = {unit: Counter((row.label, row.stratum) for row in units[unit]) for unit in order}
    total = sum(holds.values(), Counter())
    filled: dict[str, Counter[tuple[str, str]]] = {split: Counter() for split in shares}
    split_of: dict[str, str] = {}

    def put(unit: str, split: str) -> None:
        split_of[unit] = split
        filled[split].update(holds[unit])

    for unit, split in _covering(units, order, shares, least).items():
        put(unit, split)
    for unit in sorted((unit for unit in order if unit not in split_of), key=lambda unit: -len(units[unit])):

        def lack(split: str, unit: str = unit) -> tuple[float, float]:
            of_these = sum(
                count * (shares[split] - filled[split][key] / total[key]) for key, count in holds[unit].items()
            )
            return of_these, shares[split] * total.total() - filled[split].total()

        put(unit, max(shares, key=lack))
    return split_of


def _covering(units: Units, order: Sequence[str], shares: Mapping[str, float], least: int) -> dict[str, str]:
    """Some units of each class for each part: of those that are free, the nearest in size to the part's share."""
    labels = {unit: Counter(row.label for row in units[unit]) for unit in order}
    holders: dict[str, list[str]] = {}
    for unit in order:
        for label in labels[unit]:
            holders.setdefault(label, []).append(unit)
    taken: dict[str, str] = {}
    has: dict[str, Counter[str]] = {split: Counter() for split in shares}
    short: dict[str, int] = {}
    for label in sorted(holders, key=lambda label: (len(holders[label]), label)):
        images = sum(labels[unit][label] for unit in holders[label])
        for split in sorted([*shares] * least, key=lambda split: shares[split]):
            if has[split][label] >= least:
                continue
            free = [unit for unit in holders[label] if unit not in taken]
            if not free:
                short[label] = len(holders[label])
                break
            wanted = shares[split] * images
            unit = min(free, key=lambda unit, wanted=wanted: abs(labels[unit][label] - wanted))
            taken[unit] = split
            has[split].update(set(labels[unit]))
    refuse_small(units, short, least * len(shares))
    return taken


def refuse_small(units: Units, counts: Mapping[str, int], need: int) -> None:
    """Name the classes, with their number of units, that are too few to stand in every part.

    Raises:
        DataError: There is one.
    """
    if not counts:
        return
    small = [f"{label!r} ({count})" for label, count in sorted(counts.items())]
    grouped = any(row.group for unit in units.values() for row in unit)
    what = "groups" if grouped else "different usable images"
    near = any(row.duplicates for unit in units.values() for row in unit if row.label in counts)
    copies = "; copies and near duplicates count once (data.near_duplicates = false counts these)" if near else ""
    raise DataError(
        f"Too few {what} to split: {few(small)}; each class needs {need}{copies}. Add images or remove the folder."
    )


def few(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
