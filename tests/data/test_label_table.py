"""The table that ``topwork check --write-table`` writes is read again to the same images, labels and splits."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.commands import topwork
from tests.data.layouts import LAYOUTS, Refused
from tests.shards import write_zip

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import TopworkError
from topwork.core.image_ref import box_suffix
from topwork.data.label_table import write_table
from topwork.data.sources import list_images


def listing(data: Path, **options: str) -> Manifest:
    return list_images(DataConfig.model_validate({"path": str(data), **options}))


def content(found: Manifest) -> set[tuple[str, str, str, str, float]]:
    rows = {
        (os.path.abspath(row.ref.path) + box_suffix(row.ref.box), row.label, row.split, row.group, row.weight)
        for row in found.rows
    }
    assert len(rows) == len(found.rows)
    return rows


@pytest.mark.filterwarnings("ignore")  # of the libraries that read formats
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_listing_is_read_again_from_its_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LAYOUTS[name]
    if layout.needs:
        pytest.importorskip(layout.needs)
    data = layout.draw(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    try:
        found = listing(data, **layout.options)
    except TopworkError:
        assert any(isinstance(right, Refused) for right in layout.allowed)
        return
    assert found.rows
    for table in (tmp_path / "data" / "labels.csv", tmp_path / "elsewhere" / "labels.csv"):
        write_table(found, table)
        assert content(listing(table)) == content(found)


def test_groups_weights_boxes_and_odd_names_are_kept(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    (tmp_path / "a b").mkdir()
    for name in (" blank.png", 'comma, quote".png', "caf\u00e9.png", "hash#1.png"):
        draw(tmp_path / "a b" / name)
    rows = [
        ["path", "label", "group", "weight", "box", "split"],
        ["a b/ blank.png", "ant, red", "1", "2.5", "[1, 2, 3, 4]", "train"],
        ['a b/comma, quote".png', "bee", "2", "1", "[0, 0, 5, 5]", "val"],
        ["a b/caf\u00e9.png", "bee", "2", "0.1", "[0, 0, 5, 5]", "test"],
        ["a b/hash#1.png", "bee", "2", "0.1", "", "train"],
    ]
    with open(tmp_path / "in.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = listing(tmp_path / "in.csv", crop_to_box="true")
    assert len(found.rows) == 4
    write_table(found, tmp_path / "out" / "labels.csv")
    assert content(listing(tmp_path / "out" / "labels.csv")) == content(found)


def test_the_command_writes_it(photos: Path, tmp_path: Path) -> None:
    files = [(path.relative_to(photos).as_posix(), path.read_bytes()) for path in sorted(photos.rglob("*.png"))]
    archive = write_zip(tmp_path / "x.zip", files)
    done = topwork("check", archive, "--quick", "-o", tmp_path / "report", "--write-table", tmp_path / "labels.csv")
    assert done.returncode == 0, done.stderr
    assert f"Table of all images (42): {tmp_path / 'labels.csv'}" in done.stdout
    with open(tmp_path / "labels.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "label"]
    assert rows[1:] == [[f"x.zip/{name}", name.partition("/")[0]] for name, _ in files]
