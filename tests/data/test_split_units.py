"""What may only stand together stands together: equal and near-equal images, groups; in splits and in folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits
from topwork.core.errors import DataError, UsageError
from topwork.data.split_units import dependent_images, make_units
from topwork.data.splits import make_folds, make_split

Make = Callable[..., Manifest]


@st.composite
def manifests(draw: st.DrawFn, grouped: bool | None = None) -> Manifest:
    """Two to four classes of at least 12 singles each, and ties among others, also across classes and in chains."""
    rows = [ImageRow(f"{label}/s{i}.png", label, sha256=f"{label}s{i}") for label in "abcd" for i in range(12)]
    grouped = draw(st.booleans()) if grouped is None else grouped
    for number in range(draw(st.integers(0, 40))):
        label = draw(st.sampled_from("abcd"))
        group = draw(st.sampled_from(["", "p1", "p2", "p3", "p4", "p5"])) if grouped else ""
        twins = draw(st.sampled_from(["", "t1", "t2", "t3"]))
        content = draw(st.sampled_from([f"{label}{number}", "x1", "x2"]))
        name = f"{label}/m{number}.png"
        rows.append(ImageRow(name, label, sha256=content, group=group, duplicates=twins, stratum=label))
    rows = [replace(row, stratum=row.label) for row in rows]
    return Manifest(Path("nowhere"), tuple(sorted(rows, key=lambda row: row.id)), "made")


def ties(manifest: Manifest) -> list[set[str]]:
    """The sets that must not be torn, by networkx."""
    graph = networkx.Graph()
    for row in manifest.rows:
        graph.add_edge(row.id, ("content", row.sha256))
        if row.group:
            graph.add_edge(row.id, ("group", row.group))
        if row.duplicates:
            graph.add_edge(row.id, ("duplicates", row.duplicates))
    names = {row.id for row in manifest.rows}
    return [set(split) & names for split in networkx.connected_components(graph)]


def check_whole(splits: Splits, manifest: Manifest) -> None:
    split_of = {image: split for split in SPLITS for image in splits.ids[split]}
    assert sorted(split_of) == sorted(row.id for row in manifest.rows)
    assert sum(len(splits.ids[split]) for split in SPLITS) == len(manifest.rows)
    for tied in ties(manifest):
        assert len({split_of[image] for image in tied}) == 1
    for split in SPLITS:
        assert set(splits.labels[split]) == set(range(len(manifest.classes)))


@given(manifest=manifests())
@settings(max_examples=60, deadline=None)
def test_units_are_the_connected_components(manifest: Manifest) -> None:
    units = make_units(manifest.rows)
    assert sorted(sorted(row.id for row in unit) for unit in units.values()) == sorted(map(sorted, ties(manifest)))
    assert list(units) == sorted(min(row.sha256 for row in unit) for unit in units.values())


@given(manifest=manifests())
@settings(max_examples=60, deadline=None)
def test_dependent_images_have_equal_numbers(manifest: Manifest) -> None:
    ids = [row.id for row in manifest.rows][::-1]
    number = dependent_images(manifest.rows, ids)
    tied = ties(manifest)
    if number is None:
        assert all(len(names) == 1 for names in tied)
        return
    found = dict(zip(ids, number.tolist(), strict=True))
    assert all(len({found[name] for name in names}) == 1 for names in tied)
    assert len(set(found.values())) == len(tied) < len(ids)


@given(manifest=manifests(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_split_tears_nothing_that_belongs_together(manifest: Manifest, seed: int) -> None:
    check_whole(make_split(manifest, seed), manifest)


@given(manifest=manifests(), seed=st.integers(0, 99), number=st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_folds_test_every_image_once_and_tear_nothing(manifest: Manifest, seed: int, number: int) -> None:
    folds = make_folds(manifest, seed, number)
    assert len(folds) == number
    for splits in folds:
        check_whole(splits, manifest)
    tested = Counter(image for splits in folds for image in splits.ids["test"])
    assert tested == Counter(row.id for row in manifest.rows)
    again = make_folds(manifest, seed, number)
    assert [splits.ids for splits in again] == [splits.ids for splits in folds]


def test_folds_are_as_even_as_whole_images_allow(manifest_of: Make) -> None:
    sizes = {"a": 53, "b": 20, "c": 7}
    manifest = manifest_of([(label, f"{label}{i}") for label, size in sizes.items() for i in range(size)])
    for folds in (2, 5, 7):
        for splits in make_folds(manifest, 3, folds, val_fraction=0.2):
            for number, size in enumerate(sizes.values()):
                counts = {split: int((splits.labels[split] == number).sum()) for split in SPLITS}
                assert size // folds <= counts["test"] <= -(-size // folds)
                assert abs(counts["val"] - 0.2 * (size - counts["test"])) <= 1


def test_group_splits_get_their_shares(manifest_of: Make) -> None:
    rng = np.random.default_rng(0)
    rows = [("ill" if group % 3 == 0 else "well", f"{group}-{i}") for group in range(90) for i in range(group % 7 + 1)]
    manifest = manifest_of(rows)
    grouped = [replace(row, group=row.sha256.split("-")[0]) for row in manifest.rows]
    manifest = replace(manifest, rows=tuple(grouped))
    for seed in rng.integers(0, 1000, 5).tolist():
        splits = make_split(manifest, seed, 0.15, 0.25)
        for number in range(2):
            counts = np.array([(splits.labels[split] == number).sum() for split in SPLITS])
            assert np.abs(counts / counts.sum() - (0.6375, 0.1125, 0.25)).max() < 0.03
        assert "90 groups kept together" in splits.note
    assert len({make_split(manifest, seed).ids["test"] for seed in range(5)}) == 5


def test_names_decide_nothing_about_groups_and_folds(manifest_of: Make) -> None:
    manifest = manifest_of([(label, f"{label}{i}") for label in "ab" for i in range(30)])
    manifest = replace(manifest, rows=tuple(replace(r, group=f"g{int(r.sha256[1:]) // 2}") for r in manifest.rows))
    backwards = [replace(row, id=f"z{99 - i}.jpg") for i, row in enumerate(manifest.rows)]
    other = replace(manifest, rows=tuple(sorted(backwards, key=lambda row: row.id)))

    def contents(splits: Splits, of: Manifest) -> dict[str, set[str]]:
        sha = {row.id: row.sha256 for row in of.rows}
        return {split: {sha[image] for image in splits.ids[split]} for split in SPLITS}

    assert contents(make_split(manifest, 1), manifest) == contents(make_split(other, 1), other)
    for a, b in zip(make_folds(manifest, 1, 4), make_folds(other, 1, 4), strict=True):
        assert contents(a, manifest) == contents(b, other)


def test_classes_with_too_few_groups_or_images_are_named(manifest_of: Make) -> None:
    manifest = manifest_of([(label, f"{label}{i}") for label in ("big", "rare") for i in range(9)])
    rows = [replace(r, group="p1" if r.label == "rare" else r.sha256) for r in manifest.rows]
    with pytest.raises(DataError, match=r"Too few groups to split: 'rare' \(1\); each class needs 3"):
        make_split(replace(manifest, rows=tuple(rows)), 0)
    rows = [replace(r, duplicates="d" if r.label == "rare" else "") for r in manifest.rows]
    with pytest.raises(DataError, match=r"'rare' \(1\); each class needs 3; copies and near duplicates count once"):
        make_split(replace(manifest, rows=tuple(rows)), 0)
    with pytest.raises(DataError, match=r"'big' \(9\), 'rare' \(9\); each class needs 10"):
        make_folds(manifest, 0, 10)
    with pytest.raises(UsageError, match="2 or more"):
        make_folds(manifest, 0, 1)


def test_given_parts_are_not_used_by_folds_which_is_said(manifest_of: Make) -> None:
    rows = [(label, f"{label}{i}", "test" if i < 3 else "train") for label in "ab" for i in range(9)]
    folds = make_folds(manifest_of(rows), 0, 3)
    assert sorted(image for splits in folds for image in splits.ids["test"]) == sorted(
        r.id for r in manifest_of(rows).rows
    )
    assert folds[1].note.startswith("fold 2 of 3, stratified, seed 0; the given split is not used: ")
