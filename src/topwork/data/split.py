"""Which image is for training, which chooses (val) and which judges (test).

The rank of an image is a hash of the seed and its content, so neither file names nor unusable files move any image, and
equal contents always stand in the same part.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from topwork.artifacts import PARTS, ImageRow, Manifest, Split
from topwork.errors import DataError, UsageError
from topwork.seeds import derive


def make_split(manifest: Manifest, seed: int, val_fraction: float = 0.15, test_fraction: float | None = None) -> Split:
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
        DataError: A class has too few different images, or none to train on; the message names it.
    """
    fractions = {"test": manifest.test_fraction if test_fraction is None else test_fraction, "val": val_fraction}
    for part, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise UsageError(f"{part}_fraction is {fraction}; give a number above 0 and below 1.")
    rows = manifest.used
    given = {row.part for row in rows} & {"val", "test"}
    missing = [part for part in ("test", "val") if part not in given]
    part_of = {row.id: row.part or "train" for row in rows}
    pool = [row for row in rows if part_of[row.id] == "train"]
    _refuse_untrainable(rows, pool)
    contents = _by_content(pool)
    chosen = _choose(contents, {part: fractions[part] for part in missing}, seed)
    for content, part in chosen.items():
        part_of.update({row.id: part for row in contents[content]})
    classes = manifest.classes
    index = {name: number for number, name in enumerate(classes)}
    ids = {part: tuple(row.id for row in rows if part_of[row.id] == part) for part in PARTS}
    labels = {
        part: np.array([index[row.label] for row in rows if part_of[row.id] == part], dtype=np.int64) for part in PARTS
    }
    return Split(classes, ids, labels, _note(rows, part_of, missing, seed))


def _by_content(rows: Iterable[ImageRow]) -> dict[str, list[ImageRow]]:
    """Rows by content, in an order that does not depend on names."""
    contents = defaultdict(list)
    for row in rows:
        contents[row.sha256 or row.id].append(row)
    return dict(sorted(contents.items()))


def _choose(contents: Mapping[str, list[ImageRow]], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Content to part, for the contents that leave train; test is taken first, val from what is left."""
    labels: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for content in sorted(contents, key=lambda content: derive(seed, "split", content)):
        first = min(contents[content], key=lambda row: (row.label, row.stratum))
        labels[first.label][first.stratum].append(content)
    _refuse_small(contents, labels, need=1 + len(fractions))
    chosen = {}
    for strata in labels.values():
        for after, (part, fraction) in enumerate(fractions.items(), start=1):
            sizes = {stratum: len(left) for stratum, left in strata.items()}
            total = sum(sizes.values())
            keep = 1 + len(fractions) - after  # one each for train and for the parts still to be made
            wanted = min(max(1, math.floor(total * fraction + 0.5)), total - keep)
            for stratum, count in _share(sizes, wanted).items():
                chosen.update(dict.fromkeys(strata[stratum][:count], part))
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
        parts = " and ".join(sorted({row.part for row in rows if row.label in lost}))
        raise DataError(
            f"No usable training image of {_few([repr(label) for label in lost])}, though there are some in {parts}. "
            f"Add training images, or remove the class from {parts}."
        )


def _refuse_small(
    contents: Mapping[str, list[ImageRow]], labels: Mapping[str, Mapping[str, Sequence[str]]], need: int
) -> None:
    counts = {row.label: 0 for rows in contents.values() for row in rows}
    counts.update({label: sum(map(len, strata.values())) for label, strata in labels.items()})
    small = [f"{label!r} ({count})" for label, count in sorted(counts.items()) if count < need]
    if small:
        raise DataError(
            f"Too few different usable images to split: {_few(small)}; each class needs {need}. "
            "Add images or remove the folder."
        )


def _few(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _note(rows: Sequence[ImageRow], part_of: Mapping[str, str], missing: Sequence[str], seed: int) -> str:
    """One line: how the split was made, the shares, and what is odd about it."""
    given = [part for part in ("val", "test") if part not in missing]
    if not missing:
        how = "split as given"
    elif given:
        how = f"{given[0]} as given, {missing[0]} from train, stratified, seed {seed}"
    else:
        how = f"stratified, seed {seed}"
    counts = Counter(part_of.values())
    shares = ", ".join(f"{100 * counts[part] / len(rows):.0f} % {part}" for part in PARTS)
    groups = _by_content(rows).values()
    leaks = sum(len(group) for group in groups if len({part_of[row.id] for row in group}) > 1)
    torn = sum(len(group) for group in groups if len({row.label for row in group}) > 1)
    odd = f"; {leaks} images stand in more than one of the given parts with the same content" if leaks else ""
    odd += f"; {torn} images have the same content under different labels" if torn else ""
    return f"{how}: {shares}{odd}"
