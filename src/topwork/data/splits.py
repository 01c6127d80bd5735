"""Training, validation and test images: a stratified split, the folds of a cross-validation, or the given split.

The rank of an image is a hash of the seed and its content, so neither file names nor unusable files move any image.
A unit of images that belong together (``split_units``) is always in one split.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits, collect_splits
from topwork.core.config import Config
from topwork.core.errors import SettingNeeded, UsageError
from topwork.core.seeds import derive_seed
from topwork.data.split_units import Units, assign_units, check_class_sizes, content, group_rows, list_first, make_units


def splits_of(config: Config, manifest: Manifest) -> list[Splits]:
    """The split of a configuration, or all its folds."""
    if config.folds:
        return make_folds(manifest, config.seed, config.folds, config.data.val_fraction)
    fraction = config.data.test_fraction
    return [make_split(manifest, config.seed, config.data.val_fraction, None if fraction == "auto" else fraction)]


def make_split(manifest: Manifest, seed: int, val_fraction: float = 0.15, test_fraction: float | None = None) -> Splits:
    """Split the usable images; given splits are kept, missing ones are taken from the training images.

    Args:
        manifest: Rows with a content hash.
        seed: Any integer; the same seed gives the same split on every machine.
        val_fraction: Share of what remains after the test images, in (0, 1).
        test_fraction: Share of all, in (0, 1); None takes the manifest's.

    Returns:
        Every class is at least once in every split made here, in proportion within each (label, stratum).

    Raises:
        UsageError: A fraction is out of range.
        DataError: A class has too few different images or groups, or no training image; the message names it.
    """
    fractions = {"test": manifest.test_fraction if test_fraction is None else test_fraction, "val": val_fraction}
    for split, fraction in fractions.items():
        _check_fraction(split, fraction)
    rows = manifest.used
    given = {row.split for row in rows} & {"val", "test"}
    missing = [split for split in ("test", "val") if split not in given]
    split_of = {row.id: row.split or "train" for row in rows}
    pool = [row for row in rows if split_of[row.id] == "train"]
    _check_trainable(rows, pool)
    split_of.update(_assign(make_units(pool), {split: fractions[split] for split in missing}, seed))
    return _split(manifest, split_of, _how(missing, seed))


def given_split(manifest: Manifest) -> Splits | None:
    """The split that the data come with, whatever is wrong with it; None if there is none besides train."""
    rows = manifest.used
    if not any(row.split in ("val", "test") for row in rows):
        return None
    return _split(manifest, {row.id: row.split or "train" for row in rows}, "split as given")


def make_folds(manifest: Manifest, seed: int, folds: int, val_fraction: float = 0.15) -> list[Splits]:
    """K splits for cross-validation: each usable image is a test image of exactly one of them.

    A given split is not used. Units stay together in every split.

    Args:
        manifest: Rows with a content hash.
        seed: Any integer.
        folds: K, at least 2.
        val_fraction: Share of the images outside the fold, in (0, 1).

    Returns:
        Splits whose test sets are stratified and together all images; each class is in every set of each.

    Raises:
        UsageError: Fewer than 2 folds, or a fraction that is out of range.
        DataError: A class has too few different images or groups; the message names it.
    """
    if folds < 2:
        raise UsageError(f"folds is {folds}; pass 2 or more.")
    _check_fraction("val", val_fraction)
    rows = [replace(row, split="") for row in manifest.used]
    units = make_units(rows)
    min_units = 2 if folds == 2 else 1  # the other folds must have enough for training and validation
    need = folds * min_units
    counts = Counter(label for unit in units.values() for label in {row.label for row in unit})
    check_class_sizes(units, {label: count for label, count in counts.items() if count < need}, need)
    fold_of = assign_units(
        units, {str(fold): 1 / folds for fold in range(folds)}, derive_seed(seed, "folds"), min_units
    )
    given = "; the given split is not used" if any(row.split for row in manifest.used) else ""
    splits = []
    for fold in range(folds):
        rest = {unit: units[unit] for unit in units if fold_of[unit] != str(fold)}
        chosen = assign_units(rest, {"train": 1 - val_fraction, "val": val_fraction}, derive_seed(seed, "fold", fold))
        split_of = {row.id: chosen.get(unit, "test") for unit in units for row in units[unit]}
        splits.append(_split(manifest, split_of, f"fold {fold + 1} of {folds}, stratified, seed {seed}{given}"))
    return splits


def _check_fraction(split: str, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise UsageError(f"{split}_fraction is {fraction}; pass a number above 0 and below 1.")


def _split(manifest: Manifest, split_of: Mapping[str, str], how: str) -> Splits:
    rows = manifest.used
    return collect_splits([(row.id, row.label, split_of[row.id]) for row in rows], _note(rows, split_of, how))


def _assign(units: Units, fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Image to split; test images are taken first, validation images from the rest."""
    if any(row.group for unit in units.values() for row in unit):
        shares, rest = {}, 1.0
        for split, fraction in fractions.items():
            shares[split] = rest * fraction
            rest -= shares[split]
        chosen = assign_units(units, {"train": rest, **shares}, seed)
    else:
        chosen = _assign_single_images(units, fractions, seed)
    return {row.id: split for unit, split in chosen.items() for row in units[unit]}


def _assign_single_images(units: Units, fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Unit to split, where each unit counts as one image of its first class: nearly all are single images."""
    labels: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for unit in sorted(units, key=lambda unit: derive_seed(seed, "split", unit)):
        first = min(units[unit], key=lambda row: (row.label, row.stratum))
        labels[first.label][first.stratum].append(unit)
    counts = {row.label: 0 for unit in units.values() for row in unit}  # a class may be the first of no unit
    counts |= {label: sum(map(len, strata.values())) for label, strata in labels.items()}
    need = 1 + len(fractions)
    check_class_sizes(units, {label: count for label, count in counts.items() if count < need}, need)
    chosen = {}
    for strata in labels.values():
        for after, (split, fraction) in enumerate(fractions.items(), start=1):
            sizes = {stratum: len(rest) for stratum, rest in strata.items()}
            total = sum(sizes.values())
            keep = 1 + len(fractions) - after  # one each for train and for the splits still to be made
            target = min(max(1, math.floor(total * fraction + 0.5)), total - keep)
            for stratum, count in _largest_remainder(sizes, target).items():
                chosen.update(dict.fromkeys(strata[stratum][:count], split))
                strata[stratum] = strata[stratum][count:]
    return chosen


def _largest_remainder(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """``count`` items in proportion to ``sizes`` by the largest remainder; never more than a size."""
    total = sum(sizes.values())
    counts = {name: count * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(count * sizes[name] % total), name))
    for name in by_remainder[: count - sum(counts.values())]:
        counts[name] += 1
    return counts


def _check_trainable(rows: Sequence[ImageRow], pool: Sequence[ImageRow]) -> None:
    missing = sorted({row.label for row in rows} - {row.label for row in pool})
    if missing:
        splits = " and ".join(sorted({row.split for row in rows if row.label in missing}))
        raise SettingNeeded(
            f"No usable training image of {list_first([repr(label) for label in missing])}, but some in {splits}. "
            "Add training images, or leave out classes without any",
            "min_images_per_class",
            1,
        )


def _how(missing: Sequence[str], seed: int) -> str:
    given = [split for split in ("val", "test") if split not in missing]
    if not missing:
        return "split as given"
    if given:
        return f"{given[0]} as given, {missing[0]} from train, stratified, seed {seed}"
    return f"stratified, seed {seed}"


def _note(rows: Sequence[ImageRow], split_of: Mapping[str, str], how: str) -> str:
    """One line: how the split was made, the shares, and what is unusual about it."""
    counts = Counter(split_of.values())
    shares = ", ".join(f"{100 * counts[split] / len(rows):.0f} % {split}" for split in SPLITS)
    equal, similar = group_rows(rows, content), group_rows(rows, lambda row: row.duplicates)
    leaks, near_leaks = (
        sum(len(same) for same in groups if len({split_of[row.id] for row in same}) > 1) for groups in (equal, similar)
    )
    conflicting = sum(len(same) for same in equal if len({row.label for row in same}) > 1)
    groups = {row.group for row in rows if row.group}
    notes = f"; {len(groups):,} groups kept together" if groups and how != "split as given" else ""
    notes += f"; {leaks} images are in more than one of the given splits with the same content" if leaks else ""
    if near_leaks > leaks:
        notes += f"; {near_leaks - leaks} more are near duplicates of one in another split"
    notes += f"; {conflicting} images have the same content under different labels" if conflicting else ""
    return f"{how}: {shares}{notes}"
