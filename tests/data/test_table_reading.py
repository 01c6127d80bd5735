"""Tables as people write them: what their cells mean is found out, said, or asked with a command that works."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.commands import error, topwork
from tests.shards import write_zip

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, TopworkError, UsageError
from topwork.core.image_ref import ImageRef
from topwork.data.file_index import FileIndex, Match
from topwork.data.sources import list_images

NAMES = [f"img{n:03}.jpg" for n in range(12)]
LABELS = ["cat" if n % 2 else "dog" for n in range(12)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with images/img000.jpg to img011.jpg: to list them, names are enough."""
    (tmp_path / "images").mkdir()
    for name in NAMES:
        (tmp_path / "images" / name).touch()
    return tmp_path


def read(path: Path, **options: object) -> Manifest:
    return list_images(DataConfig.model_validate({"path": str(path), **options}))


def labels(manifest: Manifest) -> dict[str, str]:
    return {row.ref.path.rpartition("/")[2]: row.label for row in manifest.rows}


def commands(message: str) -> list[list[str]]:
    return [shlex.split(found)[1:] for found in re.findall(r"topwork check [^\n]*", message)]


def table(path: Path, head: list[str], *columns: list[object] | list[str], sep: str = ",") -> Path:
    lines = [sep.join(map(str, cells)) for cells in [head, *zip(*columns, strict=True)]]
    path.write_text("\n".join(lines) + "\n")
    return path


TEXT = "file;label\n" + "".join(f"{name};{label}ü\n" for name, label in zip(NAMES, LABELS, strict=True))


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), ""),
        (TEXT.encode("utf-8-sig"), ""),
        (TEXT.encode("cp1252"), "Windows-1252"),
        (TEXT.replace(";", "\t").encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (("sep=;\r\n" + TEXT).encode(), ""),
        (TEXT.replace(";", "|").encode(), ""),
        (TEXT.partition("\n")[2].encode(), ""),
    ],
)
def test_encoding_and_separator_are_found_and_an_encoding_other_than_utf_8_is_said(
    images: Path, data: bytes, encoding: str
) -> None:
    (images / "t.csv").write_bytes(data)
    manifest = read(images / "t.csv")
    assert labels(manifest) == {name: f"{label}ü" for name, label in zip(NAMES, LABELS, strict=True)}
    assert (f"({encoding})" in manifest.reading) == bool(encoding)


def test_what_looks_like_a_missing_value_is_a_class(images: Path) -> None:
    data = table(images / "t.csv", ["", "file", "label"], list(range(12)), NAMES, ["NA", "nan", "None", "null"] * 3)
    assert set(labels(read(data)).values()) == {"NA", "nan", "None", "null"}


def test_a_workbook_is_not_read_and_the_way_out_is_named(images: Path) -> None:
    (images / "labels.xlsx").write_bytes(b"PK\3\4")
    assert "save it as CSV" in error(topwork("check", images / "labels.xlsx"), 2)


@pytest.mark.parametrize(
    "written",
    [
        lambda name: name.removesuffix(".jpg"),
        lambda name: name.upper(),
        lambda name: f"images\\{name}",
        lambda name: f"/content/drive/My Drive/set/images/{name}",
        lambda name: f"C:\\Users\\me\\images\\{name}",
        lambda name: f"../input/set/{name}",
        lambda name: f"/data/upload/1/5f2c00aa-{name}",
        lambda name: f"/data/local-files/?d=images/{name}",
        lambda name: f"https://host.org/a/{name}?raw=1",
        lambda name: f"images%2F{name}",
        lambda name: name.replace(".jpg", ".png"),
    ],
)
def test_a_path_that_is_not_that_of_the_file_means_it_if_no_other_can_be_meant(images: Path, written: object) -> None:
    assert callable(written)
    data = table(images / "t.csv", ["what", "kind"], [written(name) for name in NAMES], LABELS)
    assert labels(read(data)) == labels(read(images)) == dict(zip(NAMES, LABELS, strict=True))


def test_a_name_in_two_folders_is_asked_and_each_command_reads_its_folder(images: Path) -> None:
    (images / "other").mkdir()
    for name in NAMES:
        (images / "other" / name).touch()
    data = table(images / "t.csv", ["id", "label"], [name.removesuffix(".jpg") for name in NAMES], LABELS)
    for path in (data, images):
        with pytest.raises(UsageError, match=r"may be any of images/img000.jpg, other/img000.jpg") as raised:
            read(path)
        found = [read(Path(words[1]), table=words[3]) for words in commands(str(raised.value))]
        assert [manifest.root.name for manifest in found] == ["images", "other"]
        assert all(labels(manifest) == dict(zip(NAMES, LABELS, strict=True)) for manifest in found)


def test_a_table_of_other_images_is_refused_with_the_nearest_name(images: Path) -> None:
    data = table(images / "t.csv", ["file", "label"], [f"imq{n:03}.jpg" for n in range(12)], LABELS)
    with pytest.raises(
        DataError, match=r"12 of 12 rows .* 'imq000.jpg' \(line 2, column 'file'\); .* images/img000.jpg"
    ):
        read(data)


def test_columns_that_differ_are_asked_and_each_command_takes_one(images: Path) -> None:
    other = ["a", "b", "c"] * 4
    data = table(images / "t.csv", ["file", "label", "class"], NAMES, LABELS, other)
    lines = topwork("check", data, "--quick").stderr
    assert [words[1:] for words in commands(lines)] == [
        [str(data), "--label-column", "label"],
        [str(data), "--label-column", "class"],
    ]
    assert set(labels(read(data, label_column="CLASS")).values()) == {"a", "b", "c"}
    with pytest.raises(
        UsageError, match=r"--label-column 'klass' is not a column of .*t.csv. Its columns are file, label, class"
    ):
        read(data, label_column="klass")


def test_names_of_numbers_are_the_labels(images: Path) -> None:
    numbers = [int(label == "cat") for label in LABELS]
    data = table(images / "t.csv", ["label", "name", "file"], numbers, LABELS, NAMES)
    assert labels(read(data)) == dict(zip(NAMES, LABELS, strict=True))


def test_metadata_beside_a_label_is_no_label_and_a_group_is_suggested(images: Path) -> None:
    patients = [f"p{n // 3}" for n in range(12)]
    head = ["patient_id", "image_id", "dx", "age", "sex"]
    stems = [name.removesuffix(".jpg") for name in NAMES]
    table(images / "meta.csv", head, patients, stems, LABELS, [20 + n % 4 for n in range(12)], ["f", "f", "m"] * 4)
    manifest = read(images)
    assert labels(manifest) == dict(zip(NAMES, LABELS, strict=True))
    assert (
        "Column patient_id may name groups of images. Keep each group in one split with --group-by patient_id."
        in manifest.remarks
    )
    grouped = read(images, group_by="patient_id")
    assert [row.group for row in grouped.rows] == patients


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_one_hot_columns_are_one_label(images: Path, one: str, zero: str) -> None:
    columns = [[one if label == name else zero for label in LABELS] for name in ("cat", "dog", "fox")]
    data = table(images / "t.csv", ["filename", " cat", " dog", " fox"], NAMES, *columns)
    assert labels(read(data)) == dict(zip(NAMES, LABELS, strict=True))
    columns[2][4] = one
    table(data, ["filename", " cat", " dog", " fox"], NAMES, *columns)
    with pytest.raises(DataError, match="cat, dog, fox mark several labels per image, first in line 6") as raised:
        read(data)
    (words,) = commands(str(raised.value))
    assert set(labels(read(Path(words[1]), label_column=words[3])).values()) == {zero, one}


def test_a_regression_target_is_called_so(images: Path) -> None:
    for measured in ([n * 1.5 for n in range(12)], [round(3.1 + n / 7, 3) for n in range(12)]):
        data = table(images / "t.csv", ["file", "label"], NAMES, measured)
        with pytest.raises(DataError, match=r"'label' of .* has 12 different numbers for 12 images: .*regression"):
            read(data)


def test_boxes_are_a_detection_data_set_until_each_is_an_image(images: Path) -> None:
    head = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    rows = [(name, 64, 64, kind, left, 2, left + 9, 12) for name in NAMES for kind, left in (("cat", 1), ("dog", 30))]
    table(images / "_annotations.csv", head, *map(list, zip(*rows, strict=True)))
    message = error(topwork("check", images, "--quick"), 2)
    assert "detection" in message
    assert commands(message) == [["check", str(images), "--crop-to-box"]]
    manifest = read(images, crop_to_box=True)
    assert {(row.id, row.label) for row in manifest.rows if "img003" in row.id} == {
        ("images/img003.jpg#xywh=1,2,9,10", "cat"),
        ("images/img003.jpg#xywh=30,2,9,10", "dog"),
    }


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("names.txt", "cat\ndog\n", {"cat", "dog"}),
        ("map.txt", "0 a big cat\n1 dog\n", {"a big cat", "dog"}),
        ("map.csv", "label,name\n0,cat\n1,dog\n", {"cat", "dog"}),
        ("map.json", '{"0": "cat", "1": "dog"}', {"cat", "dog"}),
        ("classes.json", '["cat", "dog"]', {"cat", "dog"}),
    ],
)
def test_class_names_of_the_data_set_are_taken_for_exactly_its_numbers(
    images: Path, name: str, text: str, right: set[str]
) -> None:
    numbers = [int(label == "dog") for label in LABELS]
    data = table(images / "t.csv", ["file", "label"], NAMES, numbers)
    (images / name).write_text(text)
    manifest = read(data)
    assert set(labels(manifest).values()) == right
    assert any(name in remark for remark in manifest.remarks)
    table(data, ["file", "label"], NAMES, [*numbers[:11], 2])
    assert set(labels(read(data)).values()) == {"0", "1", "2"}
    with pytest.raises(DataError, match=r"label '2', which is not in .*0 to 1"):
        read(data, class_names=str(images / name))


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("species.txt", "Label, Latin Name, Common Name, Images\n0, felis, cat, 10\n1, canis, dog, 12\n", None),
        ("classes.csv", "id,name,kind,images\n0,cat,felis,10\n1,dog,canis,12\n", {"cat", "dog"}),
        ("classes.tsv", "name\tid\ncat\t0\ndog\t1\n", {"cat", "dog"}),
        ("classes.csv", '0,"cat, domestic"\n1,dog\n', {"cat, domestic", "dog"}),
        ("classes.csv", "0,cat,felis\n1,dog,canis\n", None),
    ],
)
def test_a_table_of_class_names_gives_one_of_its_columns_or_none(
    images: Path, name: str, text: str, right: set[str] | None
) -> None:
    data = table(images / "t.csv", ["file", "label"], NAMES, [int(label == "dog") for label in LABELS])
    (images / name).write_text(text)
    assert set(labels(read(data)).values()) == (right or {"0", "1"})
    if right:
        assert set(labels(read(data, class_names=str(images / name))).values()) == right
    else:
        with pytest.raises(
            UsageError,
            match=f"{name} cannot be read: expected one column of labels and one of names among its . columns",
        ):
            read(data, class_names=str(images / name))


def test_a_column_of_splits_may_use_any_words_for_them(images: Path) -> None:
    words = ["Training set", "holdout", "dev", "Training set"] * 3
    data = table(images / "t.csv", ["file", "label", "usage"], NAMES, LABELS, words)
    assert [row.split for row in read(data).rows] == ["train", "test", "val", "train"] * 3
    table(data, ["file", "label", "usage"], NAMES, LABELS, ["train", "eval"] * 6)
    assert {row.split for row in read(data).rows} == {"train", "val"}
    table(data, ["file", "label", "usage"], NAMES, LABELS, ["train", "eval", "val"] * 4)
    assert [row.split for row in read(data).rows] == ["train", "test", "val"] * 4


def test_class_names_count_for_class_folders_too(tmp_path: Path) -> None:
    for path in ("n01/1.jpg", "n02/2.jpg"):
        (tmp_path / "set" / path).parent.mkdir(parents=True)
        (tmp_path / "set" / path).touch()
    (tmp_path / "names.txt").write_text("n01 goldfish, Carassius auratus\nn02\tcat\n")
    assert {row.label for row in read(tmp_path / "set", class_names=str(tmp_path / "names.txt")).rows} == {
        "goldfish, Carassius auratus", "cat",
    }  # fmt: skip


def test_predict_reads_what_training_reads(images: Path) -> None:
    from topwork.inference.inputs import list_images as images_to_predict

    stems = [name.removesuffix(".jpg") for name in NAMES]
    table(images / "t.csv", ["dx", "image_id"], LABELS, stems)
    (images / "list.txt").write_text(
        "".join(f"images/{name} {label}\n" for name, label in zip(NAMES, LABELS, strict=True))
    )
    (images / "map.json").write_text(json.dumps(dict(zip(stems, LABELS, strict=True))))
    for name in ("t.csv", "list.txt", "map.json"):
        trained = [row.ref.path for row in read(images / name).rows]
        assert [str(ref) for ref in images_to_predict([images / name])] == trained
        assert trained == [str(images / "images" / image) for image in NAMES]


def test_a_table_beside_an_archive_names_its_members(tmp_path: Path) -> None:
    files = [(f"photos/{name}", name.encode()) for name in NAMES]
    archive = write_zip(tmp_path / "photos.zip", files)
    data = table(tmp_path / "t.csv", ["id", "label"], [name.removesuffix(".jpg") for name in NAMES], LABELS)
    for path in (data, tmp_path):
        rows = read(path).rows
        assert [row.ref for row in rows] == [ImageRef(str(archive), name) for name, _ in files]
        assert [row.label for row in rows] == LABELS


def test_a_file_that_is_no_table_changes_nothing(images: Path) -> None:
    table(images / "labels.csv", ["file", "label"], NAMES, LABELS)
    right = labels(read(images))
    for name, data in {
        "broken.json": b"{", "notes.txt": b"cat dog\nof pets\n", "sizes.tsv": b"w\th\n1\t2\n", "nul.csv": b"a\0b",
        "sample_submission.csv": b"file,label\n" + "".join(f"{name},0\n" for name in NAMES).encode(), "x.xml": b"<a/>",
        "results.csv": b"epoch,loss,label\n1,0.5,cat\n2,0.4,dog\n",
    }.items():  # fmt: skip
        (images / name).write_bytes(data)
        assert labels(read(images)) == right


@pytest.mark.parametrize(
    "text", ["", "\n\n", ",,,\n", "\ufeff", "a\n", '"', "{}", "[]", "[1]", '{"a": [1, {"b": 2}]}', "\x00"]
)
@pytest.mark.parametrize("suffix", ["csv", "txt", "json", "jsonl", "xml"])
def test_nonsense_is_one_line(tmp_path: Path, text: str, suffix: str) -> None:
    (tmp_path / f"t.{suffix}").write_text(text)
    with pytest.raises(TopworkError, match=rf"t\.{suffix}"):
        read(tmp_path / f"t.{suffix}")


def test_names_are_found_in_constant_time_per_file() -> None:
    index = FileIndex(f"a/{n % 7}/{n:06}.jpg" for n in range(50_000))
    assert all(index.find(f"{n:06}").paths == (f"a/{n % 7}/{n:06}.jpg",) for n in range(0, 50_000, 5))
    assert (
        index.find("000007").paths == index.find("7").paths == index.find("b/000007.PNG").paths == ("a/0/000007.jpg",)
    )


def test_whole_columns_are_found_as_single_texts_are() -> None:
    """All images of the tests' trees, by all spellings of their names, and names of none."""
    folders, stems = ("", "a/", "b/c/"), ("x1", "X2", "007", "7", "ab.c", ".x", "0123abcd-x1", "é", "two words")
    paths = [f"{folder}{stem}{suffix}" for folder in folders for stem in stems for suffix in (".jpg", ".PNG")]
    random, counts = Random(0), Counter[Match]()
    twice = ["a/x1.jpg", "b/c/x1.jpg", "x1.jpg.PNG"]
    for images in (twice, *(random.sample(paths, number) for number in (3, 10, len(paths)))):
        index = FileIndex(images)
        tails = [path.rpartition("/")[2] for path in paths]
        texts = [*paths, *tails, *(tail.partition(".")[0] for tail in tails), *(path.swapcase() for path in paths)]
        texts += [*(f" {tail}" for tail in tails), *(f"z\\{tail}" for tail in tails), "", ".", "..", "a", "a/", "z.jpg"]
        for base in ("", "a", "b/c"):
            names, matches = index.find_plain(texts, base)
            single = [index.find(text, base) for text in texts]
            plain = [found for name, found in zip(names, single, strict=True) if name]
            assert [(name,) for name in names if name] == [found.paths for found in plain]
            assert matches == Counter(found.match for found in plain)
            counts += matches
    assert {Match.EXACT, Match.SPELLING, Match.TAIL, Match.STEM} <= counts.keys()


@pytest.mark.parametrize(
    ("folders", "of_row"),
    [
        (("cat", "dog"), lambda n, folder: "dog" if folder == "cat" else "cat"),
        (("TrainData/cat", "TrainData/dog", "TestData/cat", "TestData/dog"), lambda n, folder: "abc"[n % 3]),
        (("train/cat", "train/dog"), lambda n, folder: "abc"[n % 3]),
    ],
    ids=["exchanged", "splits", "train"],
)
def test_a_table_that_contradicts_class_folders_is_asked_about(
    tmp_path: Path, folders: tuple[str, ...], of_row: Callable[[int, str], str]
) -> None:
    names = [f"{folder}/{folder.replace('/', '')}{n}.jpg" for folder in folders for n in range(6)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    table(tmp_path / "t.csv", ["image", "label"], names, [of_row(n, x.split("/")[-2]) for n, x in enumerate(names)])
    with pytest.raises(UsageError, match="can be read in 2 ways") as asked:
        read(tmp_path)
    assert "t.csv" in str(asked.value)
    assert "2 classes: cat, dog" in str(asked.value)
    table(tmp_path / "t.csv", ["image", "label"], names, [x.split("/")[-2] for x in names])
    assert {row.label for row in read(tmp_path).rows} == {"cat", "dog"}


def test_a_table_in_the_data_names_no_file_outside(images: Path) -> None:
    data = images / "d"
    data.mkdir()
    (images / "images").rename(data / "images")
    (images / "secret.jpg").touch()
    for path in (str(images / "secret.jpg"), "../secret.jpg"):
        rows = [*zip(NAMES, LABELS, strict=True), (path, "cat")]
        (data / "t.csv").write_text("image,label\n" + "".join(f"{name},{label}\n" for name, label in rows))
        with pytest.raises(TopworkError, match=r"t.csv:14 names the file .*secret.jpg, which is not in .*/d\. "):
            read(data)
        assert len(read(data / "t.csv").rows) == 13, "a table that the user passes may"


def test_a_row_for_a_folder_labels_its_images_which_are_a_group(tmp_path: Path) -> None:
    for patient in range(1, 7):
        for number in range(3):
            path = tmp_path / f"data/patient{patient:02}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    rows = [f"patient{patient:02},{('ill', 'well')[patient % 2]}" for patient in range(1, 7)]
    (tmp_path / "data/clinical.csv").write_text("\n".join(["patient,diagnosis", *rows]) + "\n")
    manifest = read(tmp_path / "data")
    assert "images in the folders it names" in manifest.reading
    assert {(row.id.split("/")[0], row.group) for row in manifest.rows} == {
        (f"patient{n:02}",) * 2 for n in range(1, 7)
    }
    assert Counter(row.label for row in manifest.rows) == {"ill": 9, "well": 9}
