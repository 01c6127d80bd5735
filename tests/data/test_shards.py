"""Tar shards: the same images, labels and features as in a folder; hostile shards end in a clear word."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.shards import samples_of, serve_ranges, write_shard, write_zip

import topwork
from topwork.core.artifacts import InputSpec, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, UsageError
from topwork.core.image_ref import ImageRef
from topwork.data import archive_index, locations, remote
from topwork.data.batches import eval_batches
from topwork.data.decoder_pool import DecoderPool
from topwork.data.images import UnreadableImage, load_image
from topwork.data.manifest import build_manifest
from topwork.data.shard_patterns import expand, is_pattern
from topwork.data.sources import list_images
from topwork.inference.locate import locate_bundle, locate_training_data
from topwork.serving.training_thumbnails import TrainingThumbnails

PIXEL = b"P6 1 1 255 abc"
Files = list[tuple[str, bytes]]


def read(path: object, max_bytes: int) -> bytes:
    return locations.read_bytes(ImageRef.parse(str(path)), max_bytes)


def listing(data: Path | str, **wishes: str) -> Manifest:
    return list_images(DataConfig(path=str(data), source="webdataset", **wishes))  # type: ignore[arg-type]


def labels(data: Path | str, **wishes: str) -> dict[str, str]:
    return {image.id: image.label for image in listing(data, **wishes).rows}


def test_images_in_shards_are_those_of_the_folder(class_folders: Path, tmp_path: Path) -> None:
    files = samples_of(class_folders)
    write_shard(tmp_path / "shards" / "a-0.tar", files[:8])
    write_shard(tmp_path / "shards" / "a-1.tar", files[8:])
    plain = build_manifest(DataConfig(path=str(class_folders)), tmp_path / "cache")
    sharded = build_manifest(DataConfig(path=str(tmp_path / "shards")), tmp_path / "cache2")
    assert [replace(row, id=row.id.partition("/")[2]) for row in sharded.rows] == list(plain.rows)
    assert {row.id.partition("/")[0] for row in sharded.rows} == {"a-0.tar", "a-1.tar"}
    for row in sharded.rows[::3]:
        own, other = load_image(sharded.root / row.id), load_image(class_folders / row.id.partition("/")[2])
        assert own.tobytes() == other.tobytes()

    spec = InputSpec(8, 8, "bilinear", (0, 0, 0), (1, 1, 1))
    ids = [row.id for row in sharded.rows]
    here, there = (
        [pixels.tolist() for pixels, _ in eval_batches(refs, names, spec, 4, workers)]
        for refs, names, workers in ((sharded.refs, ids, 2), (plain.refs, [i.partition("/")[2] for i in ids], 0))
    )
    assert here == there  # read in processes


def test_features_and_predictions_are_bit_for_bit_those_of_the_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(tmp_path / "all.tar", samples_of(photos))
    write_zip(tmp_path / "all.zip", [file for file in samples_of(photos) if file[0].endswith(".png")])
    found = []
    for data in (photos, tmp_path / "all.tar", tmp_path / "all.zip"):
        monkeypatch.setenv("TOPWORK_CACHE", str(tmp_path / f"cache-{data.name}"))
        out = tmp_path / f"out-{data.name}"
        plain = ("compute.engine=torch",)
        topwork.train(data, "svm", out=out, img_size=32, workers=0, threads=1, quiet=True, sets=plain)
        features = sorted(path.name for path in (tmp_path / f"cache-{data.name}" / "features").rglob("*.safetensors"))
        text = (out / "predictions.csv").read_text().replace("all.tar/", "")
        found.append((features, text, (out / "split.csv").read_text().replace("all.tar/", "")))
        origin = locate_training_data(locate_bundle(out))
        assert origin
        assert len(origin.sample("train", 3)) == 3
        with DecoderPool(1) as decoders:
            thumbnails = TrainingThumbnails(topwork.load(out, workers=0), origin, decoders)
            assert thumbnails.available
            assert asyncio.run(thumbnails.thumbnail(0)).startswith(b"\xff\xd8")
    assert found[0][0]
    assert found[0] == found[1] == found[2]  # names of feature files are hashes of what is in them


def test_parts_come_from_names_of_shards_or_folders(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_shard(tmp_path / "named" / f"cars-{split}-000.tar", [("1.ppm", PIXEL), ("1.cls", b"0")])
        write_shard(tmp_path / "below" / split / "000.tar", [("1.ppm", PIXEL), ("1.cls", b"0")])
    write_shard(tmp_path / "not" / "train-0.tar", [("1.ppm", PIXEL), ("1.cls", b"0")])
    write_shard(tmp_path / "not" / "more-0.tar", [("1.ppm", PIXEL), ("1.cls", b"0")])
    for folder, splits in (("named", {"train", "val", "test"}), ("below", {"train", "val", "test"}), ("not", {""})):
        assert list_images(DataConfig(path=str(tmp_path / folder))).source == "webdataset"
        assert {image.split for image in listing(tmp_path / folder).rows} == splits
    assert {i.split for i in listing(tmp_path / "named", splits="new").rows} == {""}


def test_a_folder_of_class_folders_with_a_tar_beside_them_stays_one(class_folders: Path) -> None:
    write_shard(class_folders / "backup.tar", [("1.ppm", PIXEL)])
    assert list_images(DataConfig(path=str(class_folders))).source == "folder"
    with pytest.raises(topwork.TopworkError, match=r"No sample in .* has a label"):
        list_images(DataConfig(path=str(class_folders / "backup.tar")))


def test_labels_of_every_kind(tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("ant\nbee  hive\n")
    about = json.dumps({"label": 1, "more": {"species": " wasp"}}).encode()
    shard = write_shard(
        tmp_path / "x.tar",
        [("1.ppm", PIXEL), ("1.json", about), ("1.txt", b"a text\n"), ("1.cls", b" 1\n"), ("a/1.PPM", PIXEL),
         ("a/1.TXT", b"ant"), ("2.ppm", PIXEL)],
    )  # fmt: skip
    assert labels(shard) == {"x.tar/1.ppm": "1", "x.tar/a/1.PPM": "ant"}
    assert labels(shard, class_names=str(names)) == {"x.tar/1.ppm": "bee  hive", "x.tar/a/1.PPM": "ant"}
    assert labels(shard, label_key="txt") == {"x.tar/1.ppm": "a text", "x.tar/a/1.PPM": "ant"}
    assert labels(shard, label_key="json") == {"x.tar/1.ppm": "1"}
    assert labels(shard, label_key="json:more.species") == {"x.tar/1.ppm": "wasp"}
    assert listing(shard).ignored == {"x.tar/2.ppm": "no label"}


@pytest.mark.parametrize(
    ("wish", "error", "word"),
    [
        ({"label_key": "yaml"}, UsageError, "json:KEY"),
        ({"label_key": "cls:x"}, UsageError, "json:KEY"),
        ({"label_key": "json:none"}, DataError, "No sample"),
        ({"label_key": "txt", "class_names": "two"}, DataError, "'moth', which is not"),
        ({"label_key": "cls", "class_names": "two"}, DataError, "it has the classes 0 to 1"),
        ({"class_names": "nowhere"}, UsageError, "one name per line"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(
    tmp_path: Path, wish: dict[str, str], error: type[Exception], word: str
) -> None:
    (tmp_path / "two").write_text("ant\nbee\n")
    shard = write_shard(tmp_path / "x.tar", [("1.ppm", PIXEL), ("1.cls", b"2"), ("1.txt", b"moth"), ("1.json", b"{}")])
    wish = {key: str(tmp_path / value) if key == "class_names" else value for key, value in wish.items()}
    with pytest.raises(error, match=word):
        listing(shard, **wish)


def test_options_of_shards_are_refused_elsewhere(class_folders: Path) -> None:
    with pytest.raises(UsageError, match="--label-key is not supported for"):
        list_images(DataConfig(path=str(class_folders), label_key="cls"))


def test_a_sample_is_what_shares_a_name_up_to_its_first_dot(tmp_path: Path) -> None:
    shard = write_shard(
        tmp_path / "x.tar",
        [("./a.b/1.left.ppm", PIXEL), ("a.b/1.ppm", PIXEL), ("a.b/1.cls", b"0"), ("2.cls", b"0"), ("3", PIXEL),
         (".4.ppm", PIXEL), ("5.seg.ppm", PIXEL), ("5.cls", b"1"), ("5.cls", b"2")],
    )  # fmt: skip
    assert labels(shard) == {"x.tar/a.b/1.ppm": "0", "x.tar/5.seg.ppm": "1"}
    assert listing(shard).ignored == {
        "x.tar/a.b/1.left.ppm": "another image of its sample",
        "x.tar/2": "a sample without an image",
        "x.tar/3": "a name without a dot",
        "x.tar/.4.ppm": "hidden",
        "x.tar/5.cls": "duplicate name in the shard",
    }


NAMES = st.text(
    st.characters(exclude_characters="/\\\0\n:", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(NAMES, unique=True, max_size=12),
    sizes=st.lists(st.integers(0, 1500), min_size=12, max_size=12),
    kind=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_an_index_says_what_tarfile_reads(tmp_path: Path, names: list[str], sizes: list[int], kind: int) -> None:
    files = [(name * 3, os.urandom(size)) for name, size in zip(names, sizes, strict=False)]
    shard = write_shard(tmp_path / "x.tar", files, kind)
    with tarfile.open(shard) as reference:
        wanted = {m.name: reference.extractfile(m).read() for m in reference}  # type: ignore[union-attr]
    stamp = locations.file_stamp(str(shard))
    assert [name for name, _, _ in archive_index.open_index(str(shard), stamp).rows()] == list(wanted)
    for name, data in wanted.items():
        assert read(f"{shard}/{name}", 1 << 20) == data
    with pytest.raises(FileNotFoundError):
        read(f"{shard}/{''.join(names)}?", 1 << 20)


def special(name: str, kind: bytes, size: int = 0, **facts: object) -> bytes:
    """A header by itself, of any kind."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    for key, value in facts.items():
        setattr(member, key, value)
    return member.tobuf(tarfile.GNU_FORMAT)


GOOD: Files = [("1.ppm", PIXEL), ("1.cls", b"0")]


def put_before(shard: Path, *blocks: bytes) -> None:
    """Put blocks before all that a shard holds."""
    shard.write_bytes(b"".join(blocks) + shard.read_bytes())


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (special("2.ppm", tarfile.SYMTYPE, linkname="/etc/passwd"), "a link"),
        (special("2.ppm", tarfile.LNKTYPE, linkname="1.ppm"), "a link"),
        (special("2.ppm", tarfile.GNUTYPE_SPARSE), "a sparse file"),
        (special("2.ppm", tarfile.FIFOTYPE), "special file"),
        (special("2.ppm", tarfile.BLKTYPE), "special file"),
        (special("/etc/2.ppm", tarfile.REGTYPE), "an absolute path"),
        (special("C:/2.ppm", tarfile.REGTYPE), "an absolute path"),
        (special("a/../../2.ppm", tarfile.REGTYPE), "path outside the archive"),
        (special("2.ppm\n", tarfile.REGTYPE), "invalid file name"),
    ],
)
def test_what_is_no_plain_file_is_passed_over_by_name(tmp_path: Path, header: bytes, reason: str) -> None:
    shard = write_shard(tmp_path / "x.tar", GOOD)
    put_before(shard, header)
    found = listing(shard)
    assert [image.id for image in found.rows] == ["x.tar/1.ppm"]
    assert list(found.ignored.values()) == [reason]


def cut(shard: Path, size: int) -> None:
    os.truncate(shard, size)


def garble(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[1024:1100] = b"x" * 76  # the second header
    shard.write_bytes(data)


def lead_back(shard: Path) -> None:
    size = b"\xff" * 11 + b"\x00"  # negative, in base 256
    header = bytearray(special("2.ppm", tarfile.REGTYPE))
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    put_before(shard, bytes(header))


def pax(shard: Path, record: bytes, size: int = 0) -> None:
    put_before(shard, special("p", tarfile.XHDTYPE, size or len(record)), record.ljust(512, b"\0"))


HOSTILE: list[tuple[Callable[[Path], object], str]] = [
    (lambda shard: cut(shard, 0), "empty file"),
    (lambda shard: cut(shard, 100), "damaged"),
    (lambda shard: cut(shard, 520), "'1.ppm' declares 14 bytes, more than follow"),
    (lambda shard: cut(shard, 1024), "no end-of-archive marker, so it may be truncated"),
    (lambda shard: cut(shard, 1536), "more than follow"),
    (garble, "no header of a tar file"),
    (lead_back, "a negative size"),
    (lambda shard: put_before(shard, special("2.ppm", tarfile.REGTYPE, 8 << 30)), "declares 8,589,934,592 bytes"),
    (lambda shard: pax(shard, b"20 path=2.ppm\n", 4 << 30), "an extended header of 4,294,967,296 bytes"),
    (lambda shard: pax(shard, b"18 size=-99999999\n"), "damaged"),
    (lambda shard: put_before(shard, special("L", tarfile.GNUTYPE_LONGNAME) * 2000), "damaged"),
    (lambda shard: shard.write_bytes(gzip.compress(shard.read_bytes())), r"compressed \(gzip\)"),
    (lambda shard: shard.write_bytes(b"<html>" * 500), "damaged"),
]


@pytest.mark.parametrize(("harm", "word"), HOSTILE, ids=[word for _, word in HOSTILE])
def test_a_damaged_shard_is_refused_in_a_clear_word(tmp_path: Path, harm: Callable[[Path], object], word: str) -> None:
    shard = write_shard(tmp_path / "x.tar", GOOD)
    harm(shard)
    with pytest.raises(DataError, match=word) as told:
        listing(shard)
    assert "x.tar" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_member_that_is_too_large_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = write_shard(tmp_path / "x.tar", [("1.ppm", PIXEL * 200_000), ("1.cls", b"0")])
    with pytest.raises(locations.NotReadable, match="larger than 1 MiB"):
        read(f"{shard}/1.ppm", 1 << 20)
    with pytest.raises(UnreadableImage, match="the archive has no such file"):
        load_image(shard / "2.ppm")


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = write_shard(tmp_path / "x.tar", GOOD)
    assert len(listing(shard).rows) == 1
    with monkeypatch.context() as patch:
        patch.setattr(archive_index, "scan", None)
        assert len(listing(shard).rows) == 1
    (kept,) = (tmp_path / "topwork-cache" / "shards").iterdir()
    data = bytearray(kept.read_bytes())
    data[data.index(b"1.ppm")] ^= 1
    kept.write_bytes(data)
    assert labels(shard) == {"x.tar/1.ppm": "0"}  # a damaged index is made anew
    write_shard(shard, [("0.ppm", PIXEL[:-1] + b"z"), ("0.cls", b"7"), *GOOD])
    assert labels(shard) == {"x.tar/0.ppm": "7", "x.tar/1.ppm": "0"}
    assert read(f"{shard}/1.ppm", 99) == PIXEL  # which has moved
    shutil.rmtree(tmp_path / "topwork-cache")
    archive_index._opened.cache_clear()
    assert read(f"{shard}/0.ppm", 99)[-1:] == b"z"


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPWORK_CACHE", str(write_shard(tmp_path / "x.tar", GOOD)))
    with pytest.raises(DataError, match="set TOPWORK_CACHE"):
        listing(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("a-{9..10}.tar", ["a-9.tar", "a-10.tar"]),
        ("{b,a}-{1..0}.tar", ["b-1.tar", "b-0.tar", "a-1.tar", "a-0.tar"]),
        ("a.tar", ["a.tar"]),
        ("{a}.tar", ["{a}.tar"]),
    ],
)
def test_patterns_stand_for_shards(pattern: str, names: list[str]) -> None:
    assert list(expand(pattern)) == names


@pytest.mark.parametrize("name", ["a*b", "a{x,y}", "a{0..1}", "a [old]", "a?", "x.tar {1,2}"])
def test_what_exists_is_no_pattern_whatever_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_shard(tmp_path / name / f"s-{number}.tar", GOOD)
    shutil.copytree(tmp_path / name, tmp_path / "axb")  # what some of them match
    shutil.copy(tmp_path / name / "s-1.tar", tmp_path / name / f"{name}.tar")
    monkeypatch.chdir(tmp_path)
    for place in (f"{name}/s*.tar", f"{tmp_path}/{name}/s-{{0..1}}.tar", f"{name}/s-[01].tar"):
        found = listing(place)
        assert {image.id for image in found.rows} == {"s-0.tar/1.ppm", "s-1.tar/1.ppm"}, place
        assert found.root == tmp_path / name
    assert len(listing(tmp_path / name).rows) == 3
    assert [image.ref.store for image in listing(f"{name}/{name}.tar").rows] == [str(tmp_path / name / f"{name}.tar")]
    assert not is_pattern(f"{name}/{name}.tar")


def test_shards_are_found_by_every_kind_of_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_shard(tmp_path / "s" / f"a-{number}.tar", GOOD)
    ids = {f"a-{number}.tar/1.ppm" for number in range(3)}
    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe(f"/s/a-{number}.tar", (tmp_path / "s" / f"a-{number}.tar").read_bytes())
    monkeypatch.chdir(tmp_path)
    places = ("s", "s/*.tar", "s/a-{0..2}.tar", f"file://{tmp_path}/s", f"file://{tmp_path}/s/a-{{0..2}}.tar",
              "memory://s", "memory://s/", "memory://s/*.tar", "memory://s/a-{0..2}.tar")  # fmt: skip
    for place in places:
        assert list_images(DataConfig(path=place)).source == "webdataset", place
        found = listing(place)
        assert {image.id for image in found.rows} == ids, place
        assert {locations.read_bytes(image.ref, 99) for image in found.rows} == {PIXEL}, place
        assert {read(found.root / image.id, 99) for image in found.rows} == {PIXEL}, place
        assert all(locations.exists(image.ref) for image in found.rows), place
        assert not locations.exists(ImageRef.parse(found.root / "a-0.tar/2.ppm"))
        assert not locations.exists(ImageRef.parse(found.root / "a-7.tar/1.ppm"))
    assert {image.id for image in listing("s/a-1.tar").rows} == {"a-1.tar/1.ppm"}
    for missing, word in (("s/a-{1..3}.tar", "a-3.tar does not exist"), ("s/b*.tar", "No shards"),
                          ("memory://s/a-9.tar", "cannot be read"), ("memory://nowhere", "cannot be listed"),
                          ("nosuch://x/y.tar", "Protocol not known")):  # fmt: skip
        with pytest.raises((UsageError, DataError, topwork.TopworkError), match=word):
            listing(missing)


def test_images_at_an_address_come_by_ranges(class_folders: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "web" / "a-0.tar", samples_of(class_folders))
    with serve_ranges(tmp_path / "web") as (address, asked):
        far = build_manifest(DataConfig(path=f"{address}/a-{{0..0}}.tar"), tmp_path / "cache")
        near = build_manifest(DataConfig(path=str(class_folders)), tmp_path / "cache2")
        assert [row.pixels for row in far.rows] == [row.pixels for row in near.rows]
        assert all(row.status == "used" for row in far.rows)
        assert all(words for method, words in asked if method == "GET")  # never a shard whole
        before = len(asked)
        again = build_manifest(DataConfig(path=f"{address}/a-{{0..0}}.tar"), tmp_path / "cache")
        assert again.rows == far.rows
        assert len(asked) - before <= 1  # nothing is fetched again


def test_reading_in_a_row_asks_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [(f"{number:03}.bin", os.urandom(3000)) for number in range(100)]
    shard = write_shard(tmp_path / "x.tar", files)
    memory = fsspec.filesystem("memory")
    memory.pipe("/row/x.tar", shard.read_bytes())
    asked: list[tuple[int, int]] = []
    real = type(memory).cat_file

    def counted(self: object, path: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        return real(self, path, start=start, end=end)

    monkeypatch.setattr(type(memory), "cat_file", counted)
    monkeypatch.setattr(remote, "READ_AHEAD", 64_000)
    assert [read(f"memory://row/x.tar/{name}", 1 << 20) for name, _ in files] == [data for _, data in files]
    assert len(asked) < 10
    monkeypatch.setattr(remote, "MAX_GAP", 2000)
    asked.clear()
    for name, data in [files[90], files[10], files[50]]:
        assert read(f"memory://row/x.tar/{name}", 1 << 20) == data
    assert [end - start for start, end in asked] == [3000] * 3


def test_a_source_needs_the_package_only_for_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.importlib.util, "find_spec", lambda _: None)
    assert len(listing(write_shard(tmp_path / "x.tar", GOOD)).rows) == 1
    with pytest.raises(topwork.TopworkError, match="streams"):
        listing("s3://bucket/x.tar")
    with pytest.raises(topwork.TopworkError, match="streams"):
        list_images(DataConfig(path="s3://bucket/x-{0..9}.tar"))


def test_check_looks_into_shards(photos: Path, tmp_path: Path) -> None:
    samples = samples_of(photos)
    copies = [("twin.png", samples[0][1]), ("twin.cls", b"class0"), ("cut.png", samples[0][1][:300]), ("cut.cls", b"x")]
    write_shard(tmp_path / "shards" / "a.tar", samples + copies)
    found = topwork.check(tmp_path / "shards", quick=True, quiet=True, out=tmp_path / "out")
    assert [finding.kind for finding in found.problems] == ["excluded", "duplicates", "empty-class"]
    assert {image for image, _ in found.excluded} == {"a.tar/cut.png", "a.tar/twin.png"}
    assert found.page.read_text().count("data:image/jpeg") >= 2
