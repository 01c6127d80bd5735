"""Which image is for training, which chooses (val) and which judges (test).

The rank of an image is a hash of the seed and its content, so neither file names nor unusable files move any image.
What may only stand together (``units``: equal and near-equal images, one group) always stands in the same part.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits
from topwork.core.config import Config
from topwork.core.errors import DataError, UsageError
from topwork.core.seeds import derive_seed
from topwork.data.split_units import Units, balance, content, few, make_units, refuse_small


def splits_of(asked: Config, manifest: Manifest) -> list[Splits]:
    """The split that a configuration asks for, or all its folds."""
    if asked.folds:
        return make_folds(manifest, asked.seed, asked.folds, asked.data.val_fraction)
    fraction = asked.data.test_fraction
    return [make_split(manifest, asked.seed, asked.data.val_fraction, None if fraction == "auto" else fraction)]


def make_split(manifest: Manifest, seed: int, val_fraction: float = 0.15, test_fraction: float | None = None) -> Splits:
    """Divide the usable images; parts that the data come with are kept, missing ones are taken from train.

    Args:
        manifest: Rows with a content hash.
        seed: Any integer; the same seed gives the same split on every machine.
        val_fraction: Share of what is left after test, in (0, 1).
        test_fraction: Share of all, in (0, 1); None takes the manifest's.

    Returns:
        Every class stands at least once in every part made here, in proportion within each (label, stratum).

    Raises:
        UsageError: A fraction is out of range.
        DataError: A class has too few different images or groups, or none to train on; the message names it.
    """
    fractions = {"test": manifest.test_fraction if test_fraction is None else test_fraction, "val": val_fraction}
    for split, fraction in fractions.items():
        _refuse_fraction(split, fraction)
    rows = manifest.used
    given = {row.split for row in rows} & {"val", "test"}
    missing = [split for split in ("test", "val") if split not in given]
    split_of = {row.id: row.split or "train" for row in rows}
    pool = [row for row in rows if split_of[row.id] == "train"]
    _refuse_untrainable(rows, pool)
    split_of.update(_take(make_units(pool), {split: fractions[split] for split in missing}, seed))
    return _split(manifest, split_of, _how(missing, seed))


def given_split(manifest: Manifest) -> Splits | None:
    """The parts that the data come with, whatever is wrong with them; None if they come with none but train."""
    rows = manifest.used
    if not any(row.split in ("val", "test") for row in rows):
        return None
    return _split(manifest, {row.id: row.split or "train" for row in rows}, "split as given")


def make_folds(manifest: Manifest, seed: int, folds: int, val_fraction: float = 0.15) -> list[Splits]:
    """K splits for cross-validation: each usable image is in the test part of exactly one of them.

    Parts that the data come with are not used. What may only stand together does so in every split.

    Args:
        manifest: Rows with a content hash.
        seed: Any integer.
        folds: K, at least 2.
        val_fraction: Share of what a fold leaves, in (0, 1).

    Returns:
        Splits whose test parts are stratified and together all images; each class stands in every part of each.

    Raises:
        UsageError: Fewer than 2 folds, or a fraction that is out of range.
        DataError: A class has too few different images or groups; the message names it.
    """
    if folds < 2:
        raise UsageError(f"folds is {folds}; give 2 or more.")
    _refuse_fraction("val", val_fraction)
    rows = [replace(row, split="") for row in manifest.used]
    units = make_units(rows)
    least = 2 if folds == 2 else 1  # what the other folds hold must be enough for train and val
    need = folds * least
    counts = Counter(label for unit in units.values() for label in {row.label for row in unit})
    refuse_small(units, {label: count for label, count in counts.items() if count < need}, need)
    fold_of = balance(units, {str(fold): 1 / folds for fold in range(folds)}, derive_seed(seed, "folds"), least)
    given = "; the given parts are not used" if any(row.split for row in manifest.used) else ""
    made = []
    for fold in range(folds):
        rest = {unit: units[unit] for unit in units if fold_of[unit] != str(fold)}
        chosen = balance(rest, {"train": 1 - val_fraction, "val": val_fraction}, derive_seed(seed, "fold", fold))
        split_of = {row.id: chosen.get(unit, "test") for unit in units for row in units[unit]}
        made.append(_split(manifest, split_of, f"fold {fold + 1} of {folds}, stratified, seed {seed}{given}"))
    return made


def _refuse_fraction(split: str, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise UsageError(f"{split}_fraction is {fraction}; give a number above 0 and below 1.")


def _split(manifest: Manifest, split_of: Mapping[str, str], how: str) -> Splits:
    rows, classes = manifest.used, manifest.classes
    index = {name: number for number, name in enumerate(classes)}
    ids = {split: tuple(row.id for row in rows if split_of[row.id] == split) for split in SPLITS}
    labels = {
        split: np.array([index[row.label] for row in rows if split_of[row.id] == split], dtype=np.int64)
        for split in SPLITS
    }
    return Splits(classes, ids, labels, _note(rows, split_of, how))


def _take(units: Units, fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Image to part, for what leaves train; test is taken first, val from what is left."""
    if any(row.group for unit in units.values() for row in unit):
        shares, left = {}, 1.0
        for split, fraction in fractions.items():
            shares[split] = left * fraction
            left -= shares[split]
        chosen = balance(units, {"train": left, **shares}, seed)
    else:
        chosen = _deal(units, fractions, seed)
    return {row.id: split for unit, split in chosen.items() for row in units[unit]}


def _deal(units: Units, fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Unit to part, where each counts as one image of its first class: as good as all are single images."""
    labels: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for unit in sorted(units, key=lambda unit: derive_seed(seed, "split", unit)):
        first = min(units[unit], key=lambda row: (row.label, row.stratum))
        labels[first.label][first.stratum].append(unit)
    _refuse_few(units, labels, need=1 + len(fractions))
    chosen = {}
    for strata in labels.values():
        for after, (split, fraction) in enumerate(fractions.items(), start=1):
            sizes = {stratum: len(left) for stratum, left in strata.items()}
            total = sum(sizes.values())
            keep = 1 + len(fractions) - after  # one each for train and for the parts still to be made
            wanted = min(max(1, math.floor(total * fraction + 0.5)), total - keep)
            for stratum, count in _share(sizes, wanted).items():
                chosen.update(dict.fromkeys(strata[stratum][:count], split))
                strata[stratum] = strata[stratum][count:]
    return chosen


def _share(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """``wanted`` items shared out in proportion to ``sizes`` by largest remainder; never more than a size."""
    total = sum(sizes.values())
    counts = {name: wanted * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(wanted * sizes[name] % total), name))
    for name in by_remainder[: wanted - sum(counts.values())]:
        counts[name] += 1
    return counts


def _refuse_untrainable(rows: Sequence[ImageRow], pool: Sequence[ImageRow]) -> None:
    lost = sorted({row.label for row in rows} - {row.label for row in pool})
    if lost:
        splits = " and ".join(sorted({row.split for row in rows if row.label in lost}))
        raise DataError(
            f"No usable training image of {few([repr(label) for label in lost])}, though there are some in {splits}. "
            f"Add training images, or remove the class from {splits}."
        )


def _refuse_few(units: Units, labels: Mapping[str, Mapping[str, Sequence[str]]], need: int) -> None:
    counts = {row.label: 0 for unit in units.values() for row in unit}
    counts.update({label: sum(map(len, strata.values())) for label, strata in labels.items()})
    refuse_small(units, {label: count for label, count in counts.items() if count < need}, need)


def _how(missing: Sequence[str], seed: int) -> str:
    given = [split for split in ("val", "test") if split not in missing]
    if not missing:
        return "split as given"
    if given:
        return f"{given[0]} as given, {missing[0]} from train, stratified, seed {seed}"
    return f"stratified, seed {seed}"


def _note(rows: Sequence[ImageRow], split_of: Mapping[str, str], how: str) -> str:
    """One line: how the split was made, the shares, and what is odd about it."""
    counts = Counter(split_of.values())
    shares = ", ".join(f"{100 * counts[split] / len(rows):.0f} % {split}" for split in SPLITS)
    by_content: dict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        by_content[content(row)].append(row)
    leaks = sum(len(same) for same in by_content.values() if len({split_of[row.id] for row in same}) > 1)
    near: dict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        near[row.duplicates].append(row)
    same_pictures = sum(
        len(same) for name, same in near.items() if name and len({split_of[row.id] for row in same}) > 1
    )
    torn = sum(len(same) for same in by_content.values() if len({row.label for row in same}) > 1)
    odd = f"; {leaks} images stand in more than one of the given parts with the same content" if leaks else ""
    if same_pictures > leaks:
        odd += f"; {same_pictures - leaks} more show the same picture as one in another part"
    odd += f"; {torn} images have the same content under different labels" if torn else ""
    groups = {row.group for row in rows if row.group}
    odd = (f"; {len(groups):,} groups kept whole" if groups and how != "split as given" else "") + odd
    return f"{how}: {shares}{odd}"
