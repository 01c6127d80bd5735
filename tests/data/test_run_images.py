"""The images of a run folder that anybody may have made: found if they are what they were, else nothing is opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.shards import write_shard, write_zip

from topwork.core import config
from topwork.core.artifacts import Manifest, RunInfo
from topwork.core.config import Config, DataConfig
from topwork.core.image_ref import ImageRef
from topwork.data import remote
from topwork.data.manifest import build_manifest
from topwork.data.run_images import RunImages, read_run_images, relative_root


def write_run(folder: Path, manifest: Manifest, data: DataConfig, root: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    config.write(Config(data=data, strategies=("svm",)), folder / "config.toml")
    details = {"data": {"root": relative_root(manifest.root, data.path) if root is None else root}}
    RunInfo(kind="run", name="x", created="", status="done", strategies=("svm",), details=details).write(folder)
    manifest.write(folder / "manifest.csv")
    return folder


def found(images: RunImages, ids: Iterable[str]) -> dict[str, str]:
    return {image: str(ref) for image, ref in images.find_all(ids).items()}


def images_of(manifest: Manifest, folder: Path, data: DataConfig) -> RunImages:
    images = read_run_images(write_run(folder, manifest, data))
    assert images is not None
    return images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(6):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (40 * number, 9, 200)).save(path)
    return tmp_path / "photos"


def test_images_are_found_in_folders_tables_archives_and_boxes(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"photos/class{n % 2}/{n}.png,{n % 2},{n},2,20,25" for n in range(6)]
    table.write_text("\n".join(["path,label,xmin,ymin,xmax,ymax", *rows]))
    files = [(p.name, p.read_bytes()) for p in sorted(photos.rglob("*.png"))]
    write_zip(tmp_path / "all.zip", [(str(p.relative_to(photos)), p.read_bytes()) for p in photos.rglob("*.png")])
    write_shard(tmp_path / "all.tar", files + [(f"{n}.cls", str(n % 2).encode()) for n in range(6)])
    for data in (
        DataConfig(path=str(photos)),
        DataConfig(path=str(table)),
        DataConfig(path=str(table), crop_to_box=True),
        DataConfig(path=str(tmp_path / "all.tar")),
        DataConfig(path=str(tmp_path / "all.zip")),
    ):
        manifest = build_manifest(data, cache=tmp_path / "cache")
        images = images_of(manifest, tmp_path / "run", data)
        assert found(images, images.rows) == {image: str(ref) for image, ref in manifest.refs.items()}
        assert len(images.rows) == 6
        assert len(images.sample(images.rows, 4)) == 4


def test_an_image_that_changed_or_is_gone_is_not_found(photos: Path, tmp_path: Path) -> None:
    data = DataConfig(path=str(photos))
    images = images_of(build_manifest(data, cache=tmp_path / "cache"), tmp_path / "run", data)
    (photos / "class0" / "0.png").unlink()
    Image.new("RGB", (40, 30), (1, 2, 3)).save(photos / "class1" / "1.png")
    assert set(images.find_all(images.rows)) == {"class0/2.png", "class0/4.png", "class1/3.png", "class1/5.png"}


def test_a_run_of_a_stranger_opens_nothing_of_ours(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("an address was contacted")

    monkeypatch.setattr(remote, "stat", refuse)
    monkeypatch.setattr(remote, "read", refuse)
    data = DataConfig(path=str(photos))
    manifest = build_manifest(data, cache=tmp_path / "cache")
    private = tmp_path / "private.png"
    Image.new("RGB", (40, 30), (7, 7, 7)).save(private)
    os.mkfifo(tmp_path / "pipe.png")
    known = manifest.rows[0].sha256
    targets = [
        str(private),
        "http://127.0.0.1:9/x.png",
        str(tmp_path / "pipe.png"),
        "/dev/zero",
        "../private.png",
        "\0",
    ]
    rows = [replace(manifest.rows[0], id=f"{n}.png", ref=ImageRef("", name)) for n, name in enumerate(targets)]
    images = images_of(replace(manifest, rows=(*rows, *manifest.rows)), tmp_path / "run", data)
    assert found(images, images.rows) == {image: str(ref) for image, ref in manifest.refs.items()}
    same = replace(rows[0], sha256=hashlib.sha256(private.read_bytes()).hexdigest())
    assert same.sha256 != known
    assert set(images_of(replace(manifest, rows=(same,)), tmp_path / "run", data).find_all(["0.png"])) == {"0.png"}
    for root in ("http://127.0.0.1:9/", "s3://bucket", str(tmp_path / "gone"), 3, {}):
        assert read_run_images(write_run(tmp_path / "other", manifest, data, root)) is None
    for path in ("http://127.0.0.1:9/train-0.tar", "s3://bucket/train-{0..2}.tar", "hf:somebody/something"):
        other = read_run_images(write_run(tmp_path / "other", manifest, DataConfig(path=path), "."))
        assert other is None or not other.find_all(other.rows)


def test_images_that_moved_with_their_folder_are_found(photos: Path, tmp_path: Path) -> None:
    data = DataConfig(path=str(photos))
    run = write_run(tmp_path / "run", build_manifest(data, cache=tmp_path / "cache"), data)
    photos.rename(tmp_path / "moved")
    assert read_run_images(run) is None
    config.write(Config(data=DataConfig(path=str(tmp_path / "moved")), strategies=("svm",)), run / "config.toml")
    images = read_run_images(run)
    assert images
    assert len(images.find_all(images.rows)) == 6
