"""Members of zip archives: the bytes that ``zipfile`` reads, and a clear word where there are none."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.commands import error
from tests.commands import topwork as command
from tests.shards import write_zip

import topwork
from topwork.core.artifacts import InputSpec
from topwork.core.errors import DataError
from topwork.core.image_ref import ImageRef
from topwork.data import locations
from topwork.data.archive_index import open_index
from topwork.data.batches import eval_batches
from topwork.data.images import UnreadableImage, load_image

PIXEL = b"P6 1 1 255 abc"
NAMES = st.text(
    st.characters(exclude_characters="/\\\0\n:", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))


def names_in(path: Path) -> list[str]:
    return [name for name, _, _ in open_index(str(path), locations.file_stamp(str(path)), check=True).rows()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(NAMES, unique=True, max_size=12),
    sizes=st.lists(st.integers(0, 1500), min_size=12, max_size=12),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
)
def test_a_member_is_what_zipfile_reads(tmp_path: Path, names: list[str], sizes: list[int], method: int) -> None:
    files = [(f"a/{name}", os.urandom(size // 2) * 2) for name, size in zip(names, sizes, strict=False)]
    path = write_zip(tmp_path / "x.zip", files, method)
    with zipfile.ZipFile(path) as reference:
        wanted = {name: reference.read(name) for name in reference.namelist()}
    assert names_in(path) == list(wanted)
    for name, data in wanted.items():
        assert locations.read_bytes(ImageRef(str(path), name), 1 << 20) == data
    with pytest.raises(FileNotFoundError):
        locations.read_bytes(ImageRef(str(path), "".join(names) + "?"), 1 << 20)


def test_images_in_a_zip_are_those_of_the_folder_also_in_processes(class_folders: Path, tmp_path: Path) -> None:
    images = sorted(class_folders.rglob("*.png"))
    names = [image.relative_to(class_folders).as_posix() for image in images]
    path = write_zip(
        tmp_path / "x.zip", [(name, image.read_bytes()) for name, image in zip(names, images, strict=True)]
    )
    spec = InputSpec(8, 8, "bilinear", (0, 0, 0), (1, 1, 1))
    there = {name: ImageRef(str(path), name) for name in names}
    assert all(locations.exists(ref) for ref in there.values())
    assert ImageRef.parse(str(there[names[0]])) == there[names[0]]
    assert load_image(there[names[0]]).tobytes() == load_image(images[0]).tobytes()  # opened before the fork
    here = {name: ImageRef(str(class_folders), name) for name in names}
    one, two = (
        [pixels.tolist() for pixels, _ in eval_batches(refs, names, spec, 4, workers)]
        for refs, workers in ((there, 2), (here, 0))
    )
    assert one == two


def test_another_archive_of_that_name_is_read_anew(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", [("1.ppm", PIXEL), ("2.ppm", PIXEL)])
    assert locations.read_bytes(ImageRef(str(path), "2.ppm"), 99) == PIXEL
    before = locations.stamp_of(ImageRef(str(path), "2.ppm"))
    write_zip(path, [("2.ppm", PIXEL[:-1] + b"z")])
    assert locations.read_bytes(ImageRef(str(path), "2.ppm"), 99)[-1:] == b"z"
    assert locations.stamp_of(ImageRef(str(path), "2.ppm")) != before
    assert not locations.exists(ImageRef(str(path), "1.ppm"))
    path.unlink()
    assert not locations.exists(ImageRef(str(path), "2.ppm"))


def test_names_are_those_that_people_gave(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("win\\dows/1.ppm", "./here/1.ppm", "../out/1.ppm", "/etc/1.ppm"):
            archive.writestr(name, PIXEL)
        link = zipfile.ZipInfo("link.ppm")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.mkdir("empty")
        archive.writestr("caf\u00e9/1.ppm", PIXEL)
    data = path.read_bytes()
    marked = "caf\u00e9/1.ppm".encode()
    assert data.count(marked) == 2
    for start in (data.index(marked) - 24, data.rindex(marked) - 38):  # as macOS does: UTF-8 that is not marked
        assert data[start] & 8 or data[start + 1] & 8
        data = data[: start + 1] + bytes([data[start + 1] & ~8]) + data[start + 2 :]
    path.write_bytes(data)
    index = open_index(str(path), locations.file_stamp(str(path)))
    assert [name for name, _, _ in index.rows()] == ["win/dows/1.ppm", "here/1.ppm", "caf\u00e9/1.ppm"]
    assert dict(index.ignored) == {
        "../out/1.ppm": "path outside the archive", "/etc/1.ppm": "an absolute path", "link.ppm": "a link"
    }  # fmt: skip
    for name in ("win/dows/1.ppm", "caf\u00e9/1.ppm"):
        assert locations.read_bytes(ImageRef(str(path), name), 99) == PIXEL


def set_field(path: Path, central: int, value: int) -> None:
    """Change a byte of the last entry of the directory."""
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2") + central] = value
    path.write_bytes(data)


HOSTILE: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: set_field(path, 8, 1), "'a/2.ppm' is encrypted. Unpack it: unzip -q"),
    (lambda path: set_field(path, 10, 9), "'a/2.ppm' is compressed by deflate64. Unpack it: unzip -q"),
    (lambda path: set_field(path, 10, 77), "compressed by method 77"),
    (lambda path: set_field(path, 44, 200), "it ends before 'a/2.ppm'"),
    (lambda path: os.truncate(path, 100), "is damaged: File is not a zip file"),
    (lambda path: os.truncate(path, 0), "is damaged"),
    (lambda path: path.write_bytes(b"<html>" * 500), "is damaged"),
]


@pytest.mark.parametrize(("harm", "word"), HOSTILE, ids=[word for _, word in HOSTILE])
def test_an_archive_that_cannot_be_read_says_why(tmp_path: Path, harm: Callable[[Path], object], word: str) -> None:
    path = write_zip(tmp_path / "my x.zip", [("a/1.ppm", PIXEL), ("a/2.ppm", PIXEL)])
    harm(path)
    with pytest.raises(DataError, match=word) as told:
        names_in(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)
    if "Unpack" in word:
        assert f"'{path}' -d '{path.with_suffix('')}' && topwork check '{path.with_suffix('')}'" in str(told.value)


def test_a_damaged_member_and_a_bomb_are_excluded_with_their_reason(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", [("1.ppm", PIXEL), ("2.ppm", b"\0" * (1 << 22))], zipfile.ZIP_DEFLATED)
    good = path.read_bytes()
    data = bytearray(good)
    data[good.index(b"1.ppm") + 8] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="damaged in the archive"):
        load_image(ImageRef(str(path), "1.ppm"))
    path.write_bytes(good)
    with pytest.raises(locations.NotReadable, match="larger than 1 MiB"):
        locations.read_bytes(ImageRef(str(path), "2.ppm"), 1 << 20)
    data = bytearray(good)
    start = good.rindex(b"PK\1\2") + 24
    data[start : start + 4] = (1000).to_bytes(4, "little")  # it says that it is small
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged in the archive"):
        locations.read_bytes(ImageRef(str(path), "2.ppm"), 1 << 20)
    shutil.copy(path, tmp_path / "y.zip")
    with pytest.raises(UnreadableImage, match="the archive has no such file"):
        load_image(tmp_path / "y.zip" / "3.ppm")


def test_a_zip_is_trained_on_shown_and_refused_once_it_has_changed(
    photos: Path, tmp_path: Path, tiny_network: dict[str, Any]
) -> None:
    files = [(image.relative_to(photos).as_posix(), image.read_bytes()) for image in sorted(photos.rglob("*.png"))]
    path, run = write_zip(tmp_path / "x.zip", files), tmp_path / "run"
    options = {"img_size": 32, "precision": "float32", "workers": 0, "threads": 1, "quiet": True, **tiny_network}
    trained = topwork.train(path, "linear", out=run, **options)
    assert set(trained.predictions.ids) < set(dict(files))
    shown = topwork.show(run, quiet=True, quick=True, photos=1)
    assert shown.data.images[0].name in trained.predictions.ids
    metrics = (run / "metrics.json").read_bytes()
    write_zip(path, files)  # other times, the same images
    assert command("train", "--resume", run).returncode == 0
    write_zip(path, files[1:])
    assert "are not those" in error(command("train", "--resume", run), 2)
    assert (run / "metrics.json").read_bytes() == metrics
