"""Building a manifest: every image is named with its verdict, and nothing is decoded twice."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from topwork.core.artifacts import read_manifest_rows
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.core.progress import Progress, Tracker
from topwork.data import decoder_pool, inspect_dataset, locations
from topwork.data.decoder_pool import InspectedFile
from topwork.data.manifest import build_manifest

Draw = Callable[..., Path]


class _Progress(Progress):
    """Calls a function after each step."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__(quiet=True)
        self.call, self.done = call, 0

    @contextmanager
    def track(self, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Tracker]:
        yield Tracker(self.advance)

    def advance(self, count: int = 1) -> None:
        self.done += count
        self.call()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each image that is decoded."""
    count: list[int] = []
    inspect_files = inspect_dataset.inspect_files

    def counted(*args: Any) -> Iterator[InspectedFile]:
        for result in inspect_files(*args):
            count.extend([1] if result.inspection else [])
            yield result

    monkeypatch.setattr(inspect_dataset, "inspect_files", counted)
    return count


def test_rows_are_sorted_and_facts_are_filled(class_folders: Path, cache: Path) -> None:
    manifest = build_manifest(DataConfig(path=str(class_folders)), cache)
    ids = [row.id for row in manifest.rows]
    assert ids == sorted(ids)
    assert len(ids) == 10
    assert manifest.classes == ("ant", "bee")
    assert {(row.status, row.reason, row.width, row.height, row.stratum == row.label) for row in manifest.rows} == {
        ("used", "", 12, 10, True)
    }
    assert len({row.sha256 for row in manifest.rows}) == 10
    assert manifest.root / ids[0] == class_folders / "ant" / "0.png"


def test_bad_images_are_set_aside_and_converted_ones_are_said(class_folders: Path, cache: Path, draw: Draw) -> None:
    clean = build_manifest(DataConfig(path=str(class_folders)), cache)
    (class_folders / "ant" / "bad.jpg").write_bytes(b"<html>")
    (class_folders / "ant" / "empty.jpg").write_bytes(b"")
    (class_folders / "ant" / "gone.jpg").symlink_to(class_folders / "nothing")
    shutil.copy(draw(class_folders / "bee" / "tmp.png", 500), class_folders / "bee" / "named.jpg")

    manifest = build_manifest(DataConfig(path=str(class_folders)), cache)

    reasons = {row.id: row.reason for row in manifest.excluded}
    assert set(reasons) == {"ant/bad.jpg", "ant/empty.jpg", "ant/gone.jpg"}
    assert reasons["ant/empty.jpg"] == "empty file"
    assert reasons["ant/gone.jpg"] == "broken link"
    assert {row.id: row.reason for row in manifest.used}["bee/named.jpg"] == "file is PNG, named .jpg"
    assert [row for row in manifest.used if row in clean.used] == list(clean.used)


def test_a_second_look_decodes_nothing(class_folders: Path, cache: Path, decoded: list[int]) -> None:
    (class_folders / "ant" / "bad.jpg").write_bytes(b"<html>")
    first = build_manifest(DataConfig(path=str(class_folders)), cache)
    assert len(decoded) == 11
    assert build_manifest(DataConfig(path=str(class_folders)), cache) == first
    assert len(decoded) == 11


def test_old_files_are_not_even_read_again(class_folders: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_SETTLED_NS", -1)
    first = build_manifest(DataConfig(path=str(class_folders)), cache)
    monkeypatch.setattr(decoder_pool, "COMMAND", ["false"])  # no process could start
    assert build_manifest(DataConfig(path=str(class_folders)), cache) == first


def test_changed_files_are_looked_at_again(
    class_folders: Path, cache: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locations, "_SETTLED_NS", -1)
    changed = class_folders / "ant" / "0.png"
    first = build_manifest(DataConfig(path=str(class_folders)), cache)
    before = changed.stat()
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    changed.write_bytes(data)  # the same size and, below, the same time of change
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))

    second = build_manifest(DataConfig(path=str(class_folders)), cache)

    assert second.rows[0].sha256 != first.rows[0].sha256
    assert second.rows[1:] == first.rows[1:]
    assert second.rows[0].status == "excluded"


def test_another_policy_or_pillow_looks_again(
    class_folders: Path, cache: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_manifest(DataConfig(path=str(class_folders)), cache)
    monkeypatch.setattr(inspect_dataset, "VERSION", [0])
    build_manifest(DataConfig(path=str(class_folders)), cache)
    monkeypatch.setattr("PIL.__version__", "0.0")
    build_manifest(DataConfig(path=str(class_folders)), cache)
    assert len(decoded) == 30


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"key": 1}', b"\xff\xfe\x00", b'{"inspections": 3}', b'{"key":[1,1]}' * 2]
)
def test_a_damaged_cache_is_made_anew(
    class_folders: Path, cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_dataset, "is_settled", lambda _: True)  # else files may have aged by then
    first = build_manifest(DataConfig(path=str(class_folders)), cache)
    (file,) = cache.iterdir()
    good = file.read_bytes()
    file.write_bytes(content)
    assert build_manifest(DataConfig(path=str(class_folders)), cache) == first
    assert file.read_bytes() == good


def test_cache_entries_of_a_wrong_shape_are_made_anew(class_folders: Path, cache: Path) -> None:
    first = build_manifest(DataConfig(path=str(class_folders)), cache)
    (file,) = cache.iterdir()
    file.write_text(file.read_text().replace("[12,10,", "[12,10,1,2,3,4,5,6,7,"))
    assert build_manifest(DataConfig(path=str(class_folders)), cache) == first


def test_a_cache_that_cannot_be_written_costs_time_only(class_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(build_manifest(DataConfig(path=str(class_folders)), tmp_path / "file" / "cache").used) == 10


def test_the_cache_forgets_files_that_are_gone(class_folders: Path, cache: Path) -> None:
    build_manifest(DataConfig(path=str(class_folders)), cache)
    (file,) = cache.iterdir()
    size = file.stat().st_size
    for number in range(1, 5):
        (class_folders / "ant" / f"{number}.png").unlink()
    build_manifest(DataConfig(path=str(class_folders)), cache)
    assert file.stat().st_size < size


def test_an_interrupted_look_keeps_what_was_seen(class_folders: Path, cache: Path, decoded: list[int]) -> None:
    def interrupt() -> None:
        if len(decoded) == 4:
            raise KeyboardInterrupt

    threads = set(threading.enumerate())  # with those of the pool that predictions share
    with pytest.raises(KeyboardInterrupt):
        build_manifest(DataConfig(path=str(class_folders)), cache, _Progress(interrupt), workers=1)
    decoded.clear()
    build_manifest(DataConfig(path=str(class_folders)), cache)
    assert len(decoded) == 6
    assert not [t for t in set(threading.enumerate()) - threads if t.name.startswith("topwork-decoder")]


def test_the_number_of_threads_changes_nothing_and_progress_ends_whole(class_folders: Path, cache: Path) -> None:
    seen: list[int] = []
    progress = _Progress(lambda: seen.append(progress.done))
    one = build_manifest(DataConfig(path=str(class_folders)), cache / "a", progress, workers=1)
    assert seen == [*range(11)]
    assert build_manifest(DataConfig(path=str(class_folders)), cache / "b", workers=7) == one


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(20)
def test_a_pipe_among_the_images_blocks_nothing(class_folders: Path, cache: Path) -> None:
    os.mkfifo(class_folders / "ant" / "pipe.jpg")
    manifest = build_manifest(DataConfig(path=str(class_folders)), cache)
    assert [(row.id, row.reason) for row in manifest.excluded] == [("ant/pipe.jpg", "not a regular file")]


def test_the_written_manifest_reads_back(class_folders: Path, cache: Path, tmp_path: Path) -> None:
    (class_folders / "ant" / 'comma, "quote".jpg').write_bytes(b"")
    manifest = build_manifest(DataConfig(path=str(class_folders)), cache)
    manifest.write(tmp_path / "manifest.csv")
    assert read_manifest_rows(tmp_path / "manifest.csv") == manifest.rows


def test_what_cannot_be_used_is_one_line(class_folders: Path, cache: Path, tmp_path: Path, draw: Draw) -> None:
    def refusal(path: Path, kind: type[Exception] = DataError) -> str:
        with pytest.raises(kind) as caught:
            build_manifest(DataConfig(path=str(path)), cache)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "does not exist" in refusal(tmp_path / "none", UsageError)
    (tmp_path / "empty").mkdir()
    assert "one folder per class" in refusal(tmp_path / "empty")
    draw(tmp_path / "flat" / "1.png")
    assert "has 1 image without a label: they are directly in this folder" in refusal(tmp_path / "flat", UsageError)
    draw(tmp_path / "one" / "ant" / "1.png")
    assert "all are in ant/, and a classifier needs at least two class folders" in refusal(tmp_path / "one", UsageError)
    one = DataConfig(path=str(tmp_path / "one"), layout="class")
    with pytest.raises(DataError, match="one class only, 'ant'"):
        build_manifest(one, cache)
    for label in ("ant", "bee"):
        (tmp_path / "bad" / label).mkdir(parents=True)
        (tmp_path / "bad" / label / "1.png").write_bytes(b"")
    assert "None of the 2 images" in refusal(tmp_path / "bad")
