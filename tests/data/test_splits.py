"""The split: disjoint, complete, stratified, and a function of seed and content alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits, read_split
from topwork.core.errors import DataError, UsageError
from topwork.data.splits import make_split

Make = Callable[..., Manifest]


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Two to five classes with at least three contents each, some of them copied, in up to three strata."""
    rows = []
    for label in "abcde"[: draw(st.integers(2, 5))]:
        for number in range(draw(st.integers(3, 40))):
            stratum = draw(st.sampled_from(["x", "y", "z"]))
            for copy in range(draw(st.sampled_from([1, 1, 1, 2]))):
                name = f"{label}/{number}-{copy}.png"
                rows.append(ImageRow(name, label, sha256=f"{label}{number}", stratum=stratum))
    return Manifest(Path("nowhere"), tuple(sorted(rows, key=lambda row: row.id)), "made")


def contents(splits: Splits, manifest: Manifest) -> dict[str, set[str]]:
    """Part to the contents in it."""
    sha = {row.id: row.sha256 for row in manifest.rows}
    return {split: {sha[image] for image in splits.ids[split]} for split in SPLITS}


def equal(a: Splits, b: Splits) -> bool:
    return a.ids == b.ids and a.note == b.note and all(np.array_equal(a.labels[p], b.labels[p]) for p in SPLITS)


@given(manifest=manifests(), seed=st.integers(0, 99), val=st.floats(0.01, 0.99), test=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_every_image_is_in_one_part_and_every_class_in_each(
    manifest: Manifest, seed: int, val: float, test: float
) -> None:
    splits = make_split(manifest, seed, val, test)
    label = {row.id: row.label for row in manifest.rows}
    everything = [image for split in SPLITS for image in splits.ids[split]]
    assert sorted(everything) == sorted(label)
    for split in SPLITS:
        assert [splits.classes[i] for i in splits.labels[split]] == [label[image] for image in splits.ids[split]]
        assert set(splits.labels[split]) == set(range(len(manifest.classes)))
    found = contents(splits, manifest)
    assert sum(map(len, found.values())) == len(set.union(*found.values()))  # no content in two parts
    assert equal(splits, make_split(manifest, seed, val, test))


@given(manifest=manifests(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_names_and_unusable_images_change_nothing(manifest: Manifest, seed: int) -> None:
    plain = contents(make_split(manifest, seed), manifest)

    names = [f"{row.label}/{len(manifest.rows) - i:04}.jpg" for i, row in enumerate(manifest.rows)]
    renamed = [replace(row, id=name) for row, name in zip(manifest.rows, names, strict=True)]
    other = replace(manifest, rows=tuple(sorted(renamed, key=lambda row: row.id)))
    assert contents(make_split(other, seed), other) == plain

    bad = [ImageRow(f"{label}/bad{i}.png", label, "excluded", "empty file") for i in range(9) for label in "abz"]
    dirty = replace(manifest, rows=tuple(sorted([*manifest.rows, *bad], key=lambda row: row.id)))
    assert equal(make_split(dirty, seed), make_split(manifest, seed))


def test_shares_are_near_what_was_asked_in_every_stratum(manifest_of: Make) -> None:
    manifest = manifest_of([("a", f"a{i}") for i in range(400)] + [("b", f"b{i}") for i in range(100)])
    rows = [replace(row, stratum=f"{row.label}|{i % 4}") for i, row in enumerate(manifest.rows)]
    manifest = replace(manifest, rows=tuple(rows))
    splits = make_split(manifest, 3, 0.15, 0.25)
    assert {split: len(splits.ids[split]) for split in SPLITS} == {"train": 319, "val": 56, "test": 125}
    stratum = {row.id: row.stratum for row in rows}
    counts = Counter(stratum[image] for image in splits.ids["test"])
    assert all(counts[f"a|{i}"] == 25 for i in range(4))
    assert sorted(counts[f"b|{i}"] for i in range(4)) == [6, 6, 6, 7]
    assert splits.note == "stratified, seed 3: 64 % train, 11 % val, 25 % test"


def test_the_seed_chooses(manifest_of: Make) -> None:
    manifest = manifest_of([(label, f"{label}{i}") for label in "ab" for i in range(30)])
    assert len({make_split(manifest, seed).ids["test"] for seed in range(5)}) == 5


def test_the_share_of_test_comes_from_the_data_unless_said(manifest_of: Make) -> None:
    manifest = manifest_of([(label, f"{label}{i}") for label in "ab" for i in range(40)], test_fraction=0.5)
    assert len(make_split(manifest, 0).ids["test"]) == 40
    assert len(make_split(manifest, 0, test_fraction=0.25).ids["test"]) == 20


def test_a_split_reads_back(manifest_of: Make, tmp_path: Path) -> None:
    splits = make_split(manifest_of([(label, f"{label}{i}") for label in "ab" for i in range(9)]), 0)
    splits.write(tmp_path / "split.csv")
    assert equal(read_split(tmp_path / "split.csv", splits.note), splits)


def test_given_parts_are_kept(manifest_of: Make) -> None:
    rows = [(label, f"{split}{label}{i}", split) for split in SPLITS for label in "ab" for i in range(4)]
    manifest = manifest_of(rows)
    splits = make_split(manifest, 0)
    assert {row.id: row.split for row in manifest.rows} == {i: split for split in SPLITS for i in splits.ids[split]}
    assert splits.note == "split as given: 33 % train, 33 % val, 33 % test"


@pytest.mark.parametrize(("kept", "taken"), [("test", "val"), ("val", "test")])
def test_a_missing_part_is_taken_from_train(manifest_of: Make, kept: str, taken: str) -> None:
    rows = [(label, f"{split}{label}{i}", split) for split in ("train", kept) for label in "ab" for i in range(20)]
    manifest = manifest_of(rows)
    splits = make_split(manifest, 0, val_fraction=0.2, test_fraction=0.2)
    assert set(splits.ids[kept]) == {row.id for row in manifest.rows if row.split == kept}
    assert len(splits.ids[taken]) == 8
    assert splits.note.startswith(f"{kept} as given, {taken} from train, stratified, seed 0: ")


def test_only_train_given_is_split_like_no_parts(manifest_of: Make) -> None:
    rows = [(label, f"{label}{i}") for label in "ab" for i in range(20)]
    assert equal(make_split(manifest_of([(*row, "train") for row in rows]), 0), make_split(manifest_of(rows), 0))


def test_a_leak_between_given_parts_is_said_and_kept(manifest_of: Make) -> None:
    rows = [(label, f"{split}{label}{i}", split) for split in SPLITS for label in "ab" for i in range(4)]
    splits = make_split(manifest_of([*rows, ("b", "traina0", "test")]), 0)
    assert len(splits.ids["test"]) == 9
    assert "2 images are in more than one of the given splits" in splits.note


def test_one_content_under_two_labels_stays_in_one_part_and_is_said(manifest_of: Make) -> None:
    rows = [(label, f"{label}{i}") for label in "ab" for i in range(10)]
    for seed in range(20):
        manifest = manifest_of([*rows, ("b", "a0"), ("b", "a1")])
        splits = make_split(manifest, seed)
        found = contents(splits, manifest)
        assert sum("a0" in split for split in found.values()) == 1
        assert splits.note.endswith("; 4 images have the same content under different labels")


def test_small_classes_are_named_with_their_count(manifest_of: Make) -> None:
    rows = [("big", f"big{i}") for i in range(9)]
    with pytest.raises(DataError, match=r"'few' \(2\), 'one' \(1\); each class needs 3"):
        make_split(manifest_of([*rows, ("few", "f0"), ("few", "f1"), ("one", "o"), ("one", "o"), ("one", "o")]), 0)
    many = [(f"c{i}", f"c{i}") for i in range(40)]
    with pytest.raises(DataError, match="and 35 more; each"):
        make_split(manifest_of([*rows, *many]), 0)


def test_a_class_without_training_images_is_named(manifest_of: Make) -> None:
    rows = [(label, f"{split}{label}{i}", split) for split in SPLITS for label in "ab" for i in range(4)]
    with pytest.raises(DataError, match="training image of 'new', but some in test"):
        make_split(manifest_of([*rows, ("new", "new", "test")]), 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fractions_out_of_range_are_refused(manifest_of: Make, fraction: float) -> None:
    manifest = manifest_of([(label, f"{label}{i}") for label in "ab" for i in range(9)])
    with pytest.raises(UsageError, match="val_fraction"):
        make_split(manifest, 0, val_fraction=fraction)
    with pytest.raises(UsageError, match="test_fraction"):
        make_split(manifest, 0, test_fraction=fraction)
