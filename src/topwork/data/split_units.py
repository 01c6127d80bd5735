"""Images that belong together: duplicates, and the units of a split, which share content, group or file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.errors import SettingNeeded
from topwork.core.image_ref import without_box
from topwork.core.seeds import derive_seed

Units = Mapping[str, Sequence[ImageRow]]


def content(row: ImageRow) -> str:
    """Equal for equal images: the hash of the content, or the id if it could not be read."""
    return row.sha256 or row.id


def group_rows(rows: Iterable[ImageRow], key: Callable[[ImageRow], Hashable]) -> list[list[ImageRow]]:
    """Rows of one key each, in order of their first row; rows with an empty key are in no group."""
    groups: dict[Hashable, list[ImageRow]] = {}
    for row in rows:
        if name := key(row):
            groups.setdefault(name, []).append(row)
    return list(groups.values())


def make_units(rows: Iterable[ImageRow]) -> dict[str, list[ImageRow]]:
    """Rows by unit: images that share content, a set of duplicates, a group or a file, directly or through others.

    Returns:
        Units in the order of their keys, the smallest content in each unit: file names have no influence.
    """
    sets = DisjointSets()
    all_rows = list(rows)
    for row in all_rows:
        first = ("content", content(row))
        sets.join(first, ("file", without_box(row.id)))
        if row.duplicates:
            sets.join(first, ("duplicates", row.duplicates))
        if row.group:
            sets.join(first, ("group", row.group))
    found = group_rows(all_rows, lambda row: sets.root(("content", content(row))))
    return dict(sorted((min(map(content, unit)), unit) for unit in found))


def dependent_images(rows: Iterable[ImageRow], ids: Sequence[str]) -> np.ndarray | None:
    """A number for each image, equal for those that belong together, int64 (N,); None if none do.

    Args:
        rows: Of the data set; an image that is not among them is alone.
        ids: Of the images.
    """
    requested = set(ids)
    units = make_units(row for row in rows if row.id in requested)
    if all(len(unit) == 1 for unit in units.values()):
        return None
    number = {row.id: i for i, unit in enumerate(units.values()) for row in unit}
    return np.array([number.get(name, len(units) + i) for i, name in enumerate(ids)], dtype=np.int64)


def assign_duplicate_groups(rows: Sequence[ImageRow], pairs: Iterable[tuple[str, str]]) -> tuple[ImageRow, ...]:
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
    groups = group_rows(used, lambda row: sets.root(("content", row.sha256)))
    name = {row.id: min(one.sha256 for one in same)[:16] for same in groups if len(same) > 1 for row in same}
    return tuple(replace(row, duplicates=name[row.id]) if row.id in name else row for row in rows)


def leave_out_rare_classes(manifest: Manifest, min_images: int) -> Manifest:
    """The manifest without classes of fewer training images, each counted as a split counts it (``make_units``)."""
    pool = [row for row in manifest.used if row.split in ("", "train")]
    counts = _units_per_class(make_units(pool))
    rare = {label: counts[label] for label in manifest.classes if counts[label] < min_images}
    if not rare:
        return manifest
    left_out = {row.id: f"its class has fewer than {min_images} images" for row in manifest.rows if row.label in rare}
    names = ", ".join(f"{label!r} ({count})" for label, count in rare.items())
    remark = (
        f"{len(rare):,} of {len(manifest.classes):,} classes, {len(left_out):,} images, are left out "
        f"(--min-images-per-class {min_images}): {names}."
    )
    rows = tuple(row for row in manifest.rows if row.id not in left_out)
    return replace(manifest, rows=rows, ignored=manifest.ignored | left_out, remarks=(*manifest.remarks, remark))


def _units_per_class(units: Units) -> Counter[str]:
    return Counter(label for unit in units.values() for label in {row.label for row in unit})


class DisjointSets:
    """Disjoint sets of anything hashable."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def root(self, item: Hashable) -> Hashable:
        """The representative of the item's set."""
        path = []
        while (parent := self._parent.get(item, item)) != item:
            path.append(item)
            item = parent
        self._parent.update(dict.fromkeys(path, item))
        return item

    def join(self, a: Hashable, b: Hashable) -> bool:
        """Merge the sets of two items; whether they were two."""
        a, b = self.root(a), self.root(b)
        if a != b:
            self._parent[b] = a
        return a != b


def unit_folds(rows: Iterable[ImageRow], ids: Sequence[str], folds: int, seed: int) -> list[np.ndarray]:
    """Row numbers of each fold: whole units, each class and stratum in proportion as closely as possible.

    Args:
        rows: Of the data set.
        ids: Of the images to divide.
        folds: Their number, at least 2; fewer if no class has so many units.
        seed: Breaks ties.

    Returns:
        At least two folds, none of them empty; no folds if that is impossible.
    """
    requested = {name: number for number, name in enumerate(ids)}
    units = make_units(row for row in rows if row.id in requested)
    count = min(folds, max(_units_per_class(units).values(), default=0))
    if count < 2:
        return []
    fold_of = assign_units(units, {str(fold): 1 / count for fold in range(count)}, seed, min_units=0)
    found: dict[str, list[int]] = {}
    for unit, fold in fold_of.items():
        found.setdefault(fold, []).extend(requested[row.id] for row in units[unit])
    return [np.sort(np.array(found[fold], dtype=np.int64)) for fold in sorted(found)] if len(found) > 1 else []


def assign_units(units: Units, shares: Mapping[str, float], seed: int, min_units: int = 1) -> dict[str, str]:
    """The split of each unit, so that every split gets its share of each class and stratum as closely as possible.

    Greedy: first each class gets ``min_units`` units in each split, the rarest class first; then the rest, largest
    units first, each to the split with the largest deficit of what the unit contains.

    Args:
        units: Of any size; one may contain several classes.
        shares: Split to its share of the images; they sum to 1.
        seed: Breaks ties.
        min_units: Units of each class in each split.

    Raises:
        DataError: A class has too few units; the message names it.
    """
    order = sorted(units, key=lambda unit: derive_seed(seed, "split", unit))
    contains = {unit: Counter((row.label, row.stratum) for row in units[unit]) for unit in order}
    total = sum(contains.values(), Counter())
    filled: dict[str, Counter[tuple[str, str]]] = {split: Counter() for split in shares}
    images, sizes = total.total(), dict.fromkeys(shares, 0)
    split_of: dict[str, str] = {}

    def put(unit: str, split: str) -> None:
        split_of[unit] = split
        filled[split].update(contains[unit])
        sizes[split] += len(units[unit])

    for unit, split in _cover_classes(units, order, shares, min_units).items():
        put(unit, split)
    for unit in sorted((unit for unit in order if unit not in split_of), key=lambda unit: -len(units[unit])):

        def deficit(split: str, unit: str = unit) -> tuple[float, float]:
            of_unit = sum(
                count * (shares[split] - filled[split][key] / total[key]) for key, count in contains[unit].items()
            )
            return of_unit, shares[split] * images - sizes[split]

        put(unit, max(shares, key=deficit))
    return split_of


def _cover_classes(units: Units, order: Sequence[str], shares: Mapping[str, float], min_units: int) -> dict[str, str]:
    """``min_units`` units of each class for each split: of the free units, the nearest in size to the split's share."""
    labels = {unit: Counter(row.label for row in units[unit]) for unit in order}
    holders: dict[str, list[str]] = {}
    for unit in order:
        for label in labels[unit]:
            holders.setdefault(label, []).append(unit)
    assigned: dict[str, str] = {}
    covered: dict[str, Counter[str]] = {split: Counter() for split in shares}
    short: dict[str, int] = {}
    for label in sorted(holders, key=lambda label: (len(holders[label]), label)):
        images = sum(labels[unit][label] for unit in holders[label])
        for split in sorted([*shares] * min_units, key=lambda split: shares[split]):
            if covered[split][label] >= min_units:
                continue
            free = [unit for unit in holders[label] if unit not in assigned]
            if not free:
                short[label] = len(holders[label])
                break
            target = shares[split] * images
            unit = min(free, key=lambda unit, target=target: abs(labels[unit][label] - target))
            assigned[unit] = split
            covered[split].update(set(labels[unit]))
    check_class_sizes(units, short, min_units * len(shares))
    return assigned


def check_class_sizes(units: Units, too_small: Mapping[str, int], need: int) -> None:
    """Raise a DataError if there are classes, given with their number of units, that are too small for every split."""
    if not too_small:
        return
    small = [f"{label!r} ({count})" for label, count in sorted(too_small.items())]
    counts = _units_per_class(units)
    enough = max(need, 1 + max(counts[label] for label in too_small))
    grouped = any(row.group for unit in units.values() for row in unit)
    what = "groups" if grouped else "different usable images"
    near = any(row.duplicates for unit in units.values() for row in unit if row.label in too_small)
    copies = "; copies and near duplicates count once (data.near_duplicates = false counts all)" if near else ""
    raise SettingNeeded(
        f"Too few {what} to split: {list_first(small)}; each class needs {need}{copies}. Add images, or leave out "
        f"all classes of fewer than {enough}",
        "min_images_per_class",
        enough,
    )


def list_first(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
