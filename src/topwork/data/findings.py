"""Problems and a summary of a data set: pure functions of the manifest and the splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits
from topwork.data.labels import describe_similar, joined_labels, similar_labels
from topwork.data.sources.folder import EMPTY_CLASS
from topwork.data.split_units import content, group_rows, list_first

MIN_SIDE = 32  # pixels; below it little can be seen
LARGE_IMAGE = 24_000_000  # pixels; above it decoding takes long
MAX_ASPECT = 5  # a longer image is distorted badly by the square input
MIN_CLASS_SIZE = 10  # images; fewer are too few to learn from and to evaluate
MAX_IMBALANCE = 20  # size of the largest class divided by that of the smallest


@dataclass(frozen=True)
class Finding:
    """A kind of problem, or of something worth knowing.

    Attributes:
        kind: A stable identifier, for programs.
        text: One line for people, with a count.
        groups: The images concerned: single ones, or images that belong together; ids, in order.
        problem: Whether it needs action.
        notes: A description per group, or none.
        details: Further sentences.
        command: What to do about it, as it can be pasted; may be empty.
    """

    kind: str
    text: str
    groups: tuple[tuple[str, ...], ...] = ()
    problem: bool = True
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    command: str = ""


def _count(number: int, singular: str, plural: str) -> str:
    return f"1 {singular}" if number == 1 else f"{number:,} {plural}"


def find_issues(manifest: Manifest, splits: Splits | None) -> list[Finding]:
    """All findings, the worst first.

    Args:
        manifest: The images.
        splits: The split that the data come with, if any; one that topwork makes has no leaks.
    """
    return [
        *_untrainable(manifest),
        *(leaks(manifest, splits) if splits else []),
        *_conflicting_labels(manifest),
        *label_issues(manifest),
        *_excluded(manifest),
        *_duplicates(manifest),
        *_classes(manifest),
        *_conversions(manifest),
        *_ignored(manifest),
        *(Finding("remark", remark, problem=False) for remark in manifest.remarks),
    ]


def _untrainable(manifest: Manifest) -> Iterator[Finding]:
    """Why no model can be trained on these images."""
    if not manifest.used:
        yield Finding("no-image", "no image can be used: there is nothing to train on")
    elif len(manifest.classes) == 1:
        text = f"all usable images are of one class, {manifest.classes[0]}: there is nothing to distinguish"
        yield Finding("one-class", text)


def leaks(manifest: Manifest, splits: Splits) -> Iterator[Finding]:
    """Images of one split that are also in another: equal ones, near duplicates, and images of one group."""
    split_of = _split_of(splits)
    exact, near = [], []
    for same in _duplicate_groups(manifest):
        pixels_in_split = {(_pixels(row), split_of[row.id]) for row in same}
        if len({split for _, split in pixels_in_split}) > 1:
            (exact if len(pixels_in_split) > len({pixels for pixels, _ in pixels_in_split}) else near).append(same)
    groups = sorted(group_rows(manifest.used, lambda row: row.group), key=lambda same: same[0].group)
    divided = [same for same in groups if len({split_of[row.id] for row in same}) > 1]
    for kind, found, text in (
        ("leak-exact", exact, "have an exact copy in another split"),
        ("leak-near", near, "are near duplicates of an image in another split"),
        ("leak-group", divided, f"belong to {len(divided):,} groups that are in more than one split"),
    ):
        counts = [Counter(split_of[row.id] for row in same) for same in found]
        notes = tuple(", ".join(f"{count[split]} in {split}" for split in SPLITS if count[split]) for count in counts)
        if found:
            yield Finding(kind, f"{sum(map(len, found)):,} images {text}", _ids(found), True, notes)


def _split_of(splits: Splits) -> dict[str, str]:
    return {image: split for split in SPLITS for image in splits.ids[split]}


def _duplicate_groups(manifest: Manifest) -> list[list[ImageRow]]:
    """Images that are duplicates of each other, in order of their first image."""
    return sorted(group_rows(manifest.used, lambda row: row.duplicates), key=lambda same: same[0].id)


def _pixels(row: ImageRow) -> str:
    return row.pixels or content(row)


def _ids(groups: Sequence[Sequence[ImageRow]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row.id for row in same) for same in groups)


def _conflicting_labels(manifest: Manifest) -> Iterator[Finding]:
    found = [same for same in _duplicate_groups(manifest) if len({row.label for row in same}) > 1]
    if found:
        notes = tuple(" or ".join(sorted({row.label for row in same})) for same in found)
        text = f"{_count(len(found), 'image has', 'images have')} more than one label"
        yield Finding("two-labels", text, _ids(found), True, notes)


def label_issues(manifest: Manifest) -> Iterator[Finding]:
    """Labels of one thing in several forms, and labels that join others."""
    for counts in similar_labels(manifest.used):
        groups = tuple((row.id,) for row in manifest.used if row.label in counts)
        yield Finding("similar-labels", describe_similar(counts), groups)
    if joined := joined_labels(manifest.used):
        names = f"{_count(len(joined), 'label combines others', 'labels combine others')} ({', '.join([*joined][:5])})"
        groups = tuple((image,) for ids in joined.values() for image in ids)
        yield Finding("several-labels", f"{names}: several labels per image are not supported", groups)


def _excluded(manifest: Manifest) -> Iterator[Finding]:
    rows = manifest.excluded
    if rows:
        text = f"{_count(len(rows), 'file', 'files')} cannot be used"
        yield Finding("excluded", text, tuple((row.id,) for row in rows), True, tuple(row.reason for row in rows))


def _duplicates(manifest: Manifest) -> Iterator[Finding]:
    groups = _duplicate_groups(manifest)
    exact = [same for same in groups if len({_pixels(row) for row in same}) == 1]
    near = [same for same in groups if len({_pixels(row) for row in same}) > 1]
    if exact:
        equal = _count(sum(len(same) - 1 for same in exact), "image is", "images are")
        yield Finding("duplicates", f"{equal} equal, pixel for pixel, to another", _ids(exact))
    if near:
        similar = _count(sum(len(same) - 1 for same in near), "image is a near duplicate", "images are near duplicates")
        text = f"{similar} of another: resized, recompressed, mirrored, turned or taken twice"
        yield Finding("near-duplicates", text, _ids(near))


def _classes(manifest: Manifest) -> Iterator[Finding]:
    counts = Counter(row.label for row in manifest.used)
    unusable = sorted({row.label for row in manifest.rows} - set(counts))
    empty = [*unusable, *(name for name, reason in manifest.ignored.items() if reason == EMPTY_CLASS)]
    if empty:
        text = f"{_count(len(empty), 'class has', 'classes have')} no usable image: {', '.join(empty[:5])}"
        yield Finding("empty-class", text)
    small = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < MIN_CLASS_SIZE]
    if small:
        found = f"{_count(len(small), 'class has', 'classes have')} fewer than {MIN_CLASS_SIZE} images"
        option = f"train and compare leave such classes out with --min-images-per-class {MIN_CLASS_SIZE}"
        yield Finding("small-class", f"{found}: {list_first(small)}; {option}")
    if counts and max(counts.values()) > MAX_IMBALANCE * min(counts.values()):
        largest, smallest = max(counts, key=lambda n: counts[n]), min(counts, key=lambda n: counts[n])
        sizes = f"{largest} has {counts[largest]:,} images, {smallest} {counts[smallest]:,}"
        yield Finding("imbalance", f"the class sizes differ a lot: {sizes}", problem=False)


def _conversions(manifest: Manifest) -> list[Finding]:
    """What was converted, and extreme sizes."""
    by_note: dict[str, list[str]] = defaultdict(list)
    for row in manifest.used:
        for note in filter(None, row.reason.split("; ")):
            by_note[note].append(row.id)
        if min(row.width, row.height) < MIN_SIDE:
            by_note[f"a side of less than {MIN_SIDE} pixels"].append(row.id)
        if row.width * row.height > LARGE_IMAGE:
            by_note[f"more than {LARGE_IMAGE // 10**6} million pixels"].append(row.id)
        if max(row.width, row.height) > MAX_ASPECT * min(row.width, row.height):
            by_note[f"a side more than {MAX_ASPECT} times the other"].append(row.id)
    return [
        Finding("converted", f"{_count(len(ids), 'image', 'images')}: {note}", tuple((image,) for image in ids), False)
        for note, ids in sorted(by_note.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _ignored(manifest: Manifest) -> list[Finding]:
    return [
        Finding("ignored", f"ignored: {_first(names)}: {reason}", tuple((name,) for name in names), False)
        for reason, names in sorted(_ignored_by_reason(manifest).items())
        if reason != EMPTY_CLASS
    ]


def _first(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


def _ignored_by_reason(manifest: Manifest) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in manifest.ignored.items():
        reasons[reason].append(name)
    return reasons


def images_to_exclude(manifest: Manifest, splits: Splits | None) -> list[tuple[str, str]]:
    """Image and reason: unusable images, all but one of a group of duplicates, and duplicates with different labels.

    Of duplicates a test image is kept before a validation and a training image, then the largest.
    """
    split_of = _split_of(splits) if splits else {}
    out = {row.id: row.reason for row in manifest.excluded}
    for same in _duplicate_groups(manifest):
        if len({row.label for row in same}) > 1:
            out.update({row.id: "a duplicate has another label" for row in same})
            continue
        rank = {"test": 0, "val": 1, "train": 2}
        order = sorted(same, key=lambda r: (rank.get(split_of.get(r.id, ""), 3), -r.width * r.height, r.id))
        out.update({row.id: f"a duplicate of {order[0].id}" for row in order[1:]})
    return sorted(out.items())


def describe_split(manifest: Manifest, splits: Splits, check_command: str) -> list[str]:
    """Lines about the images and the split, for the terminal."""
    sizes = " / ".join(f"{split} {len(splits.ids[split]):,}" for split in splits.ids)
    lines = [f"Split     {sizes} of {len(manifest.used):,} usable images; {splits.note}"]
    for finding in leaks(manifest, splits):
        lines.append(f"          LEAK: {finding.text}. Scores there are too good. Show them with: {check_command}")
    lines += [f"          {remark}" for remark in manifest.remarks]
    lines += [f"          {finding.text}" for finding in label_issues(manifest) if finding.kind == "several-labels"]
    for row in manifest.excluded[:5]:
        lines.append(f"          excluded: {row.id}: {row.reason}")
    if len(manifest.excluded) > 5:
        lines.append(f"          ... and {len(manifest.excluded) - 5:,} more excluded; manifest.csv lists all")
    reasons = _ignored_by_reason(manifest)
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1]))[:5]:
        lines.append(f"          ignored: {_first(names)}: {reason}")
    if len(reasons) > 5:
        lines.append(f"          ... and more ignored for {len(reasons) - 5:,} other reasons; run.json lists all")
    return lines


def dataset_summary(manifest: Manifest, splits: Splits) -> dict[str, Any]:
    """The summary for ``run.json`` and the report."""
    converted = Counter(note for row in manifest.used for note in row.reason.split("; ") if note)
    counts = {
        split: {name: int((splits.labels[split] == i).sum()) for i, name in enumerate(splits.classes)}
        for split in splits.ids
    }
    return {
        "name": manifest.name,
        "reading": manifest.reading,
        "images": len(manifest.rows),
        "excluded": [{"id": row.id, "reason": row.reason} for row in manifest.excluded],
        "converted": dict(converted),
        "ignored": manifest.ignored,
        "license": manifest.license,
        "note": manifest.full_note,
        "split_note": splits.note,
        "leaks": [
            {"kind": f.kind, "text": f.text, "images": [list(same) for same in f.groups[:50]]}
            for f in leaks(manifest, splits)
        ],
        "counts": counts,
    }
