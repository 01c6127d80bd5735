"""What is wrong or odd about a set of images: pure functions of the manifest and the split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits
from topwork.data.split_units import content

TINY = 32  # sides in pixels below which little can be seen
HUGE = 24_000_000  # pixels from which decoding takes long
LONG = 5  # a side this many times the other is squeezed badly
SMALL = 10  # images of a class that are few to learn from and to judge by
RARE = 20  # times that the largest class may be larger than the smallest


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        kind: A word that stays, for programs.
        text: One line for people, with a count.
        sets: What it was found about: single images, or images that belong together; ids, in order.
        problem: Whether something ought to be done; else it is only worth knowing.
        notes: Per set a few words, or none.
    """

    kind: str
    text: str
    sets: tuple[tuple[str, ...], ...] = ()
    problem: bool = True
    notes: tuple[str, ...] = ()


def _count(number: int, what: str, plural: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {plural}"


def find(manifest: Manifest, splits: Splits | None) -> list[Finding]:
    """Everything that the manifest tells, the worst first.

    Args:
        manifest: The images.
        split: If the data come with parts; one that topwork makes has no leaks.
    """
    found = [
        *_useless(manifest),
        *(leaks(manifest, splits) if splits else []),
        *_two_labels(manifest),
        *_set_aside(manifest),
    ]
    found += [*_duplicates(manifest), *_classes(manifest), *_odd(manifest), *_passed_over(manifest)]
    return found


def _useless(manifest: Manifest) -> list[Finding]:
    """Why nothing can be trained on these images."""
    if not manifest.used:
        return [Finding("no-image", "no image can be used: there is nothing to train on")]
    if len(manifest.classes) == 1:
        text = f"all images that can be used are of one class, {manifest.classes[0]}: there is nothing to tell apart"
        return [Finding("one-class", text)]
    return []


def leaks(manifest: Manifest, splits: Splits) -> list[Finding]:
    """Images of one part that stand in another part too: equal ones, and ones that show the same picture."""
    split_of = {image: split for split in SPLITS for image in splits.ids[split]}
    exact, near = [], []
    for same in _sets(manifest):
        if len({split_of[row.id] for row in same}) > 1:
            (exact if _equal_across(same, split_of) else near).append(same)
    groups = defaultdict(list)
    for row in manifest.used:
        groups[row.group].append(row)
    torn = [same for name, same in sorted(groups.items()) if name and len({split_of[row.id] for row in same}) > 1]

    def finding(kind: str, sets: list[list[ImageRow]], what: str) -> list[Finding]:
        if not sets:
            return []
        count = sum(map(len, sets))
        notes = tuple(_parts_of(same, split_of) for same in sets)
        return [Finding(kind, f"{count:,} images {what}", _ids(sets), True, notes)]

    return [
        *finding("leak-exact", exact, "stand with equal pixels in more than one part of the split"),
        *finding("leak-near", near, "show a picture that stands in another part of the split too"),
        *finding("leak-group", torn, f"belong to {len(torn):,} groups that stand in more than one part of the split"),
    ]


def _sets(manifest: Manifest) -> list[list[ImageRow]]:
    """The sets of duplicates, in order of their first image."""
    members: dict[str, list[ImageRow]] = defaultdict(list)
    for row in manifest.used:
        if row.duplicates:
            members[row.duplicates].append(row)
    return sorted(members.values(), key=lambda same: same[0].id)


def _pixels(row: ImageRow) -> str:
    return row.pixels or content(row)


def _equal_across(same: Sequence[ImageRow], split_of: dict[str, str]) -> bool:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in same:
        splits[_pixels(row)].add(split_of[row.id])
    return any(len(found) > 1 for found in splits.values())


def _parts_of(same: Sequence[ImageRow], split_of: dict[str, str]) -> str:
    counts = Counter(split_of[row.id] for row in same)
    return ", ".join(f"{counts[split]} in {split}" for split in SPLITS if counts[split])


def _ids(sets: Sequence[Sequence[ImageRow]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row.id for row in same) for same in sets)


def _two_labels(manifest: Manifest) -> list[Finding]:
    torn = [same for same in _sets(manifest) if len({row.label for row in same}) > 1]
    if not torn:
        return []
    notes = tuple(" or ".join(sorted({row.label for row in same})) for same in torn)
    text = f"{_count(len(torn), 'picture stands', 'pictures stand')} under more than one label"
    return [Finding("two-labels", text, _ids(torn), True, notes)]


def _set_aside(manifest: Manifest) -> list[Finding]:
    rows = manifest.set_aside
    if not rows:
        return []
    text = f"{_count(len(rows), 'file', 'files')} cannot be used and set aside"
    return [Finding("set-aside", text, tuple((row.id,) for row in rows), True, tuple(row.reason for row in rows))]


def _duplicates(manifest: Manifest) -> list[Finding]:
    exact = [same for same in _sets(manifest) if len({_pixels(row) for row in same}) == 1]
    near = [same for same in _sets(manifest) if len({_pixels(row) for row in same}) > 1]
    found = []
    if exact:
        more = sum(len(same) - 1 for same in exact)
        found.append(
            Finding(
                "duplicates",
                f"{_count(more, 'image is', 'images are')} equal, pixel for pixel, to another",
                _ids(exact),
            )
        )
    if near:
        more = sum(len(same) - 1 for same in near)
        shows = _count(more, "image shows", "images show")
        text = f"{shows} the same picture as another: resized, recompressed, mirrored, turned or taken twice"
        found.append(Finding("near-duplicates", text, _ids(near)))
    return found


def _classes(manifest: Manifest) -> list[Finding]:
    counts = Counter(row.label for row in manifest.used)
    lost = sorted({row.label for row in manifest.rows} - set(counts))
    empty = [*lost, *(name for name, why in manifest.ignored.items() if why == "class folder without images")]
    found = []
    if empty:
        text = f"{_count(len(empty), 'class has', 'classes have')} no image that can be used: {', '.join(empty[:5])}"
        found.append(Finding("empty-class", text, (), True))
    small = {name: count for name, count in sorted(counts.items()) if count < SMALL}
    if small:
        words = ", ".join(f"{name} ({count})" for name, count in list(small.items())[:5])
        text = f"{_count(len(small), 'class has', 'classes have')} fewer than {SMALL} images: {words}"
        found.append(Finding("small-class", text, (), True))
    if counts and max(counts.values()) > RARE * min(counts.values()):
        most, least = max(counts, key=lambda n: counts[n]), min(counts, key=lambda n: counts[n])
        text = f"the classes differ much in size: {most} has {counts[most]:,} images, {least} {counts[least]:,}"
        found.append(Finding("imbalance", text, (), False))
    return found


def _odd(manifest: Manifest) -> list[Finding]:
    """What was converted, decision by decision, and sizes that are extreme."""
    by_decision: dict[str, list[str]] = defaultdict(list)
    for row in manifest.used:
        for decision in filter(None, row.reason.split("; ")):
            by_decision[decision].append(row.id)
        if min(row.width, row.height) < TINY:
            by_decision[f"a side of less than {TINY} pixels"].append(row.id)
        if row.width * row.height > HUGE:
            by_decision[f"more than {HUGE // 10**6} million pixels"].append(row.id)
        if max(row.width, row.height) > LONG * min(row.width, row.height):
            by_decision[f"a side more than {LONG} times the other"].append(row.id)
    return [
        Finding(
            "converted", f"{_count(len(ids), 'image', 'images')}: {decision}", tuple((image,) for image in ids), False
        )
        for decision, ids in sorted(by_decision.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _passed_over(manifest: Manifest) -> list[Finding]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in manifest.ignored.items():
        if reason != "class folder without images":
            reasons[reason].append(name)
    return [
        Finding("passed-over", f"{len(names):,} passed over: {reason}", tuple((name,) for name in names), False)
        for reason, names in sorted(reasons.items())
    ]


def leave_out(manifest: Manifest, splits: Splits | None) -> list[tuple[str, str]]:
    """Image and reason, for what should be left out: what cannot be used, all but one of a set of duplicates, and
    every image of a picture whose label nobody knows.

    Of duplicates the one that judges is kept: one in test before one in val before one in train, then the largest.
    """
    split_of = {image: split for split in SPLITS for image in splits.ids[split]} if splits else {}
    out = {row.id: row.reason for row in manifest.set_aside}
    for same in _sets(manifest):
        if len({row.label for row in same}) > 1:
            out.update({row.id: "the same picture stands under another label" for row in same})
            continue
        rank = {"test": 0, "val": 1, "train": 2}
        order = sorted(same, key=lambda r: (rank.get(split_of.get(r.id, ""), 3), -r.width * r.height, r.id))
        out.update({row.id: f"the same picture as {order[0].id}" for row in order[1:]})
    return sorted(out.items())
