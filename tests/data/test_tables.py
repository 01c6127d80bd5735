"""Tables, boxes, groups, nested classes, lists to leave out: what was named is what is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.layouts.reading import commands_in, parse

from topwork.core.config import DataConfig
from topwork.core.errors import DataError, TopworkError, UsageError
from topwork.data.images import UnreadableImage, load_image
from topwork.data.manifest import build_manifest
from topwork.data.sources import list_images
from topwork.inference.inputs import list_images as images_to_predict

Draw = Callable[..., Path]

HEAD = ("path", "label", "split", "group", "weight")
ROWS = [
    ("pics/1.png", "ant", "train", "p1", "1"),
    ("pics/2.png", "ant", "validation", "p2", "0.5"),
    ("pics/3.png", "bee", "test", "p1", ""),
    ("pics/4.png", "bee", "", "p3", "2"),
]


def write(path: Path, rows: list[tuple[str, ...]], head: tuple[str, ...] = HEAD) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({k: v for k, v in zip(head, row, strict=True) if v}) for row in rows))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_text("\n".join(mark.join(row) for row in [head, *rows]) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_table_is_read(tmp_path: Path, suffix: str) -> None:
    table = write(tmp_path / f"set.{suffix}", ROWS)
    assert list_images(DataConfig(path=str(table))).source == "table"
    listing = list_images(DataConfig(path=str(table)))
    assert (listing.name, listing.root) == ("set", tmp_path)
    found = [(i.id, i.label, i.split, i.group, i.weight) for i in listing.rows]
    assert found == [
        ("pics/1.png", "ant", "train", "p1", 1.0),
        ("pics/2.png", "ant", "val", "p2", 0.5),
        ("pics/3.png", "bee", "test", "p1", 1.0),
        ("pics/4.png", "bee", "", "p3", 2.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffImage;CLASS\na.png;x\nb.png;y\n",
        "a.png,x\nb.png,y\n",
        "file_name,category,extra\na.png,x,1\n\nb.png,y,2\n",
        '"filename","label"\n"a.png","x"\r\n"b.png","y"\r\n',
        "path,label\n./a.png,x\nsub/../b.png,y\na.png,x\n",
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    listing = list_images(DataConfig(path=str(tmp_path / "t.csv"), source="table"))
    assert [(i.id, i.label) for i in listing.rows] == [("a.png", "x"), ("b.png", "y")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,label\n", "no rows"),
        (
            "photo,label\nthis one,x\n",
            "No column of .*t.csv holds names of images. Its columns .*--path-column photo",
        ),
        ("path,thing\na.png,x\n", "No column of .*t.csv looks like labels. Its columns .*--label-column thing"),
        ("path,label\na.png,x\na.png,y\n", r"t.csv:3 gives 'a.png' the label 'y', but an earlier row gives it 'x'"),
        ("path,label\n,x\n", "t.csv:2 has no path"),
        ("path,label\na.png,\n", "No row of .*t.csv has a label in column 'label'"),
        ("path,label,split\na.png,x,future\n", "'future'; allowed are train, val and test"),
        ("path,label,weight\na.png,x,-1\n", "weight is -1"),
        ("path,label,weight\na.png,x,much\n", "weight is 'much', no number"),
        ("path,label\nhttp://a/b.png,x\n", "is a URL"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises((DataError, UsageError), match=says):
        list_images(DataConfig(path=str(tmp_path / "t.csv"), source="table"))


def test_a_column_counts_for_all_rows_though_the_first_one_lacks_it(tmp_path: Path) -> None:
    lines = [{"path": "0.png", "label": "ant"}]
    lines += [{"split": "test", "site": number, "path": f"{number}.png", "label": "bee"} for number in (1, 2)]
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)))
    rows = list_images(DataConfig(path=str(table), group_by="site")).rows
    assert [(row.split, row.group) for row in rows] == [("", ""), ("test", "1"), ("test", "2")]


def test_rows_without_a_label_are_ignored_and_named(tmp_path: Path) -> None:
    texts = {
        "t.csv": "path,label\na.png,x\nb.png,\nc.png\n",
        "t.jsonl": '{"path": "a.png", "label": "x"}\n{"path": "b.png"}\n{"path": "c.png", "label": NaN}\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        listing = list_images(DataConfig(path=str(tmp_path / name)))
        first = 1 if name.endswith("jsonl") else 2
        assert [row.id for row in listing.rows] == ["a.png"]
        assert listing.ignored == {f"{name}:{first + 1}": "no label", f"{name}:{first + 2}": "no label"}


TABLES = {
    "two.csv": "image,path,label\nan ant,a.png,x\na bee,b.png,y\n",
    "label_first.csv": "label,image_path\nx,a.png\ny,b.png\n",
    "img.csv": "label,img\nx,a.png\ny,b.png\n",
    "name.csv": "name,file,label\nphoto of a,a.png,x\nphoto of b,b.png,y\n",
    "headless.csv": "a.png,x\nb.png,y\n",
    "headless_label_first.csv": "x,a.png\ny,b.png\n",
    "headless_extra.csv": "7,a.png,x\n8,b.png,y\n",
    "semicolons.csv": "file;label\na.png;x\nb.png;y\n",
    "bom.csv": "\ufeffImage;CLASS\na.png;x\nb.png;y\n",
    "quoted.csv": '"filename","label"\r\n"a.png","x"\r\n"b.png","y"\r\n',
    "blank_lines.csv": "file_name,category\na.png,x\n\nb.png,y\n\n",
    "paths.csv": "path,label\n./a.png,x\nsub/../b.png,y\na.png,x\n",
    "tabs.tsv": "file\tlabel\na.png\tx\nb.png\ty\n",
    "tabs.csv": "file\tlabel\na.png\tx\nb.png\ty\n",
    "lines.jsonl": '{"image": "a.png", "label": "x"}\n{"image": "b.png", "label": "y"}\n',
    "late.jsonl": '{"label": "x", "img": "a.png"}\n{"n": 1, "split": "test", "img": "b.png", "label": "y"}\n',
    "both.ndjson": '{"filename": "photo", "image": "a.png", "label": "x"}\n{"image": "b.png", "label": "y"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_predict_names_the_images_that_training_reads_in_the_same_order(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name])
    rows = list_images(DataConfig(path=str(tmp_path / name))).rows
    trained = [os.path.normpath(str(row.ref)) for row in rows]
    predicted = [os.path.normpath(str(ref)) for ref in images_to_predict([tmp_path / name])]
    assert list(dict.fromkeys(predicted)) == trained == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert [row.label for row in rows] == ["x", "y"]


def test_images_of_a_table_may_lie_anywhere(tmp_path: Path, draw: Draw) -> None:
    far = draw(tmp_path / "far" / "1.png", 1)
    draw(tmp_path / "near" / "2.png", 2)
    write(tmp_path / "near" / "t.csv", [(str(far), "a"), ("../far/1.png", "a"), ("2.png", "b")], ("path", "label"))
    manifest = build_manifest(DataConfig(path=str(tmp_path / "near" / "t.csv")), tmp_path / "cache")
    assert [row.status for row in manifest.rows] == ["used", "used"]
    assert all((manifest.root / row.id).is_file() for row in manifest.rows)


def test_a_box_is_the_image_everywhere(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    rows = [("x.png", "a", "10,5,20,30"), ("x.png#xywh=0,0,8,9", "b", "")]
    write(tmp_path / "t.tsv", rows, ("path", "label", "bbox"))
    manifest = build_manifest(DataConfig(path=str(tmp_path / "t.tsv"), crop_to_box=True), tmp_path / "cache")
    first, second = sorted(manifest.rows, key=lambda row: row.label)
    assert first.id == "x.png#xywh=10,5,20,30"
    assert (first.width, first.height, second.width, second.height) == (20, 30, 8, 9)
    assert np.array_equal(np.asarray(load_image(manifest.refs[first.id])), pixels[5:35, 10:30])
    assert first.sha256 != second.sha256
    with pytest.raises(UnreadableImage, match="contains nothing"):
        load_image(tmp_path / "x.png#xywh=60,0,5,5")
    assert load_image(tmp_path / "x.png#xywh=50,30,500,500").width == 10


@pytest.mark.parametrize(
    ("encoding", "separator"), [("cp1252", ";"), ("utf-16", "\t"), ("utf-16-be", "\t"), ("utf-8", ",")]
)
def test_tables_of_excel_have_readable_labels_and_paths(
    tmp_path: Path, draw: Draw, encoding: str, separator: str
) -> None:
    images = {"größe.png": "Größe", "x.png": "Fläche", "y.png": "Größe"}
    for number, name in enumerate(images):
        draw(tmp_path / name, number)
    text = "\r\n".join(map(separator.join, [("file", "label"), *images.items()]))
    start = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / "t.csv").write_bytes(start + text.encode(encoding))
    listing = list_images(DataConfig(path=str(tmp_path / "t.csv")))
    assert {row.id: row.label for row in listing.rows} == images
    assert [os.path.basename(str(ref)) for ref in images_to_predict([tmp_path / "t.csv"])] == list(images)
    remark = "Labels that are not UTF-8 are read as Windows-1252: Fläche, Größe."
    assert list(listing.remarks) == ([remark] if encoding == "cp1252" else [])


def test_a_path_is_its_bytes_where_these_name_a_file(tmp_path: Path, draw: Draw) -> None:
    drawn = draw(tmp_path / "x.png", 1)
    os.rename(drawn, os.fsencode(tmp_path) + b"/gr\xf6\xdfe.png")
    (tmp_path / "t.csv").write_bytes(b"file,label\ngr\xf6\xdfe.png,a\nno\xf6.png,b\n")
    rows = list_images(DataConfig(path=str(tmp_path / "t.csv"))).rows
    assert [row.id for row in rows] == [os.fsdecode(b"gr\xf6\xdfe.png"), "noö.png"]
    assert load_image(rows[0].ref).mode == "RGB"


def test_prediction_reads_the_boxes_of_a_table_as_training_does(tmp_path: Path, draw: Draw) -> None:
    for name in ("x.png", "y.png"):
        draw(tmp_path / name, 1)
    table, boxes = tmp_path / "t.tsv", ["1,2,8,9", "0;0;7;7", ""]
    write(table, [*zip(("x.png", "x.png", "y.png"), "abc", boxes, strict=True)], ("path", "label", "bbox"))
    rows = list_images(DataConfig(path=str(table), crop_to_box=True)).rows
    trained = [os.path.normpath(str(row.ref)) for row in rows]
    assert [os.path.normpath(str(ref)) for ref in images_to_predict([table], crop_to_box=True)] == trained
    assert [str(ref) for ref in images_to_predict([table])] == [str(tmp_path / n) for n in ("x.png", "x.png", "y.png")]
    for wrong in ("1,2,3", "1,2,-3,4", "a,b,c,d"):
        write(table, [("x.png", "a", wrong)], ("path", "label", "bbox"))
        with pytest.raises(DataError, match=r"t\.tsv:2 is not valid"):
            list(images_to_predict([table], crop_to_box=True))


def test_a_box_of_a_large_jpeg_is_decoded_smaller_and_right(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(1600), np.arange(1200))
    smooth = Image.fromarray(np.stack([x / 1600 * 255, y / 1200 * 255, 0 * x], axis=2).astype(np.uint8))
    smooth.save(tmp_path / "x.jpg", quality=95)
    path = tmp_path / "x.jpg#xywh=400,300,800,600"
    whole, small = load_image(path), load_image(path, 100)
    assert whole.size == (800, 600)
    assert 100 <= min(small.size) < 600
    again = np.asarray(whole.resize(small.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(again - np.asarray(small)).mean() < 2


def test_groups_by_column_folder_and_pattern(tmp_path: Path, draw: Draw) -> None:
    for name in ("ant/p1/1.png", "ant/p2_2.png", "bee/p1/3.png", "bee/x.png"):
        draw(tmp_path / "d" / name, hash(name) % 1000)

    def groups(pattern: str) -> list[str]:
        listing = list_images(DataConfig(path=str(tmp_path / "d"), source="folder", group_by=pattern))
        return [image.group for image in sorted(listing.rows, key=lambda image: image.id)]

    assert groups(r"(p\d)") == ["p1", "p2", "p1", ""]
    assert groups(r"p\d") == ["p1", "p2", "p1", ""]
    assert groups("folder") == ["ant/p1", "ant", "bee/p1", "bee"]
    with pytest.raises(UsageError, match="matches none of the paths; the first path is"):
        groups("patient")
    with pytest.raises(UsageError, match="not a regular expression"):
        groups("(")
    write(tmp_path / "t.csv", [("ant/p2_2.png", "x", "s1"), ("bee/x.png", "y", "s2")], ("path", "label", "Site"))
    listing = list_images(DataConfig(path=str(tmp_path / "t.csv"), group_by="site"))
    assert [image.group for image in listing.rows] == ["s1", "s2"]


def test_nested_folders_may_be_classes(tmp_path: Path, draw: Draw) -> None:
    for number, name in enumerate(("dog/terrier/1.png", "dog/poodle/1.png", "cat/1.png")):
        draw(tmp_path / "d" / name, number)
    plain = list_images(DataConfig(path=str(tmp_path / "d")))
    nested = list_images(DataConfig(path=str(tmp_path / "d"), labels_from_path=True))
    assert sorted(image.label for image in plain.rows) == ["cat", "dog", "dog"]
    assert sorted(image.label for image in nested.rows) == ["cat", "dog/poodle", "dog/terrier"]
    assert "class folder without images" not in nested.ignored.values()
    with pytest.raises(UsageError, match=r"--crop-to-box is not supported for .* only for: stanford-cars, table"):
        list_images(DataConfig(path=str(tmp_path / "d"), crop_to_box=True))


def test_parts_may_be_made_anew_and_images_left_out(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", ROWS)
    assert {image.split for image in list_images(DataConfig(path=str(table), splits="new")).rows} == {""}
    (tmp_path / "out.csv").write_text("image,reason\npics/1.png,twin of pics/2.png\npics/9.png,gone\n")
    listing = list_images(DataConfig(path=str(table), exclude=str(tmp_path / "out.csv")))
    assert len(listing.rows) == 3
    assert listing.ignored == {"pics/1.png": "excluded"}
    with pytest.raises(UsageError, match=r"none.csv cannot be read"):
        list_images(DataConfig(path=str(table), exclude=str(tmp_path / "none.csv")))


@pytest.mark.filterwarnings("ignore")  # of the library's own
def test_a_hugging_face_data_set_becomes_files_of_equal_bytes(tmp_path: Path, draw: Draw) -> None:
    datasets = pytest.importorskip("datasets")
    files = [draw(tmp_path / f"{number}.png", number) for number in range(4)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])})
    tables = {
        split: datasets.Dataset.from_dict({"image": [str(f) for f in chosen], "label": [0, 1]}, features=features)
        for split, chosen in {"train": files[:2], "test": files[2:]}.items()
    }
    datasets.DatasetDict(tables).save_to_disk(str(tmp_path / "saved"))
    assert list_images(DataConfig(path=str(tmp_path / "saved"))).source == "hugging-face"
    manifest = build_manifest(DataConfig(path=str(tmp_path / "saved")), tmp_path / "cache")
    assert [(row.id, row.label, row.split) for row in manifest.used] == [
        ("test/0000000.png", "ant", "test"),
        ("test/0000001.png", "bee", "test"),
        ("train/0000000.png", "ant", "train"),
        ("train/0000001.png", "bee", "train"),
    ]
    assert [(manifest.root / row.id).read_bytes() for row in manifest.used] == [
        file.read_bytes() for file in (*files[2:], *files[:2])
    ]


@pytest.mark.filterwarnings("ignore")  # of the library's own
def test_the_label_column_of_a_hugging_face_data_set_is_asked_about(tmp_path: Path, draw: Draw) -> None:
    datasets = pytest.importorskip("datasets")
    names = {"fine": ["oak", "elm", "fir"], "coarse": ["leaves", "needles"]}
    features = {name: datasets.ClassLabel(names=found) for name, found in names.items()}
    features |= {"image": datasets.Image(), "site": datasets.Value("string")}
    files = [str(draw(tmp_path / "raw" / f"{n}.png", n)) for n in range(4)]
    columns = {"image": files, "fine": [0, 1, 2, 0], "coarse": [0, 0, 1, 0], "site": ["a", "b", "a", "b"]}
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).save_to_disk(str(tmp_path / "saved"))
    config = DataConfig(path=str(tmp_path / "saved"))
    with pytest.raises(UsageError, match=r"2 columns of .* may be the label") as told:
        list_images(config)
    found = [[row.label for row in list_images(parse(words).data).rows] for words in commands_in(str(told.value))]
    assert found == [["oak", "elm", "fir", "oak"], ["leaves", "leaves", "needles", "leaves"]]
    assert [row.label for row in list_images(DataConfig(path=config.path, label_column="site")).rows] == [
        "a",
        "b",
        "a",
        "b",
    ]
    with pytest.raises(DataError, match=r"has no column tree; its columns are .*fine.*--label-column NAME"):
        list_images(DataConfig(path=config.path, label_column="tree"))


def test_rows_and_splits_of_hugging_face_without_a_label_are_named(tmp_path: Path, draw: Draw) -> None:
    datasets = pytest.importorskip("datasets")
    files = [str(draw(tmp_path / f"{number}.png", number)) for number in range(4)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])})
    labels = {"train": [0, -1, 1, None], "test": [-1, -1, None, None]}
    tables = {
        split: datasets.Dataset.from_dict({"image": files, "label": found}, features=features)
        for split, found in labels.items()
    }
    datasets.DatasetDict(tables).save_to_disk(str(tmp_path / "saved"))
    listing = list_images(DataConfig(path=str(tmp_path / "saved")))
    assert [(row.id, row.label) for row in listing.rows] == [("train/0000000.png", "ant"), ("train/0000002.png", "bee")]
    assert listing.ignored == {
        "train": "2 of 4 rows without a label", "test": "4 of 4 rows without a label",
    }  # fmt: skip


def test_a_stray_file_makes_no_saved_data_set_of_a_folder(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "d/ant/1.png")
    draw(tmp_path / "d/bee/1.png")
    (tmp_path / "d/dataset_info.json").write_text("{}")
    assert list_images(DataConfig(path=str(tmp_path / "d"))).source == "folder"
    (tmp_path / "d/state.json").write_text("{}")
    with pytest.raises(TopworkError, match="datasets"):
        list_images(DataConfig(path=str(tmp_path / "d")))
