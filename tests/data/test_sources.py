"""What the sources list, ignore and refuse."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, MissingDependency, UnknownName, UsageError
from topwork.data.file_tree import TreeFolder
from topwork.data.sources import list_images
from topwork.data.sources.folder_layouts import find_layouts
from topwork.data.split_words import is_annotation, split_of

Draw = Callable[..., Path]


def listing(root: Path, kind: str = "folder") -> Manifest:
    return list_images(DataConfig(path=str(root), source=kind))


def found(root: Path, kind: str = "folder") -> dict[str, tuple[str, str]]:
    """Id to (label, part)."""
    images = listing(root, kind).rows
    assert len({image.id for image in images}) == len(images)
    return {image.id: (image.label, image.split) for image in images}


def test_class_folders_become_labels_and_paths_become_ids(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "set" / "bee" / "old" / "far away" / "1.png")
    draw(tmp_path / "set" / "ant" / "UPPER.JPG")
    assert found(tmp_path / "set") == {"bee/old/far away/1.png": ("bee", ""), "ant/UPPER.JPG": ("ant", "")}
    assert listing(tmp_path / "set").name == "set"


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_train_val_test_are_parts(tmp_path: Path, draw: Draw, val: str) -> None:
    for split in ("Train", val, "TEST"):
        draw(tmp_path / split / "bee" / "1.png")
    assert found(tmp_path) == {
        "Train/bee/1.png": ("bee", "train"),
        f"{val}/bee/1.png": ("bee", "val"),
        "TEST/bee/1.png": ("bee", "test"),
    }


def test_train_alone_is_a_part_if_it_holds_folders(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "train" / "bee" / "1.png")
    assert found(tmp_path) == {"train/bee/1.png": ("bee", "train")}


def test_train_may_be_a_class(tmp_path: Path, draw: Draw) -> None:
    for path in ("train/1.png", "bus/1.png", "a/train/2.png"):
        draw(tmp_path / path)
    assert {label for label, _ in found(tmp_path).values()} == {"train", "bus", "a"}
    assert {split for _, split in found(tmp_path).values()} == {""}


def test_a_test_folder_without_labels_is_ignored_and_said(tmp_path: Path, draw: Draw) -> None:
    for path in ("train/bee/1.png", "test/7.png", "extra/bee/1.png"):
        draw(tmp_path / path)
    assert set(found(tmp_path)) == {"train/bee/1.png"}
    ignored = listing(tmp_path).ignored
    assert ignored["test"] == "has no class folders"
    assert ignored["test/7.png"] == "image outside the class folders"
    assert ignored["extra"] == "folder beside train, val and test"


def test_everything_passed_over_has_a_reason(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "bee" / "1.png")
    draw(tmp_path / "loose.png")
    draw(tmp_path / ".hidden" / "1.png")
    draw(tmp_path / "__MACOSX" / "1.png")
    draw(tmp_path / "bee" / ".ipynb_checkpoints" / "1.png")
    (tmp_path / "bee" / "._1.png").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "bee" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "bee" / "notes.txt").write_text("")
    (tmp_path / "readme.md").write_text("")
    (tmp_path / "empty").mkdir()

    assert set(found(tmp_path)) == {"bee/1.png"}
    assert listing(tmp_path).ignored == {
        "loose.png": "image outside the class folders",
        "readme.md": "not an image",
        ".hidden": "hidden",
        "__MACOSX": "system file",
        "bee/.ipynb_checkpoints": "hidden",
        "bee/._1.png": "hidden",
        "bee/Thumbs.db": "system file",
        "bee/notes.txt": "not an image",
        "empty": "class folder without images",
    }


def test_loops_of_links_end_and_copy_nothing(tmp_path: Path, draw: Draw) -> None:
    for label in ("ant", "bee"):
        draw(tmp_path / label / "deep" / "1.png")
        (tmp_path / label / "up").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / label / "self").symlink_to(tmp_path / label, target_is_directory=True)
        (tmp_path / label / "deep" / "again").symlink_to(tmp_path / label, target_is_directory=True)
    (tmp_path / "ant" / "a link").symlink_to(tmp_path / "bee" / "deep", target_is_directory=True)

    assert found(tmp_path) == {"ant/deep/1.png": ("ant", ""), "bee/deep/1.png": ("bee", "")}
    assert listing(tmp_path).ignored["ant/up"] == "the same folder as the data folder"
    assert listing(tmp_path).ignored["ant/a link"] == "the same folder as bee/deep"


def test_links_to_places_outside_are_followed(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "elsewhere" / "1.png")
    draw(tmp_path / "set" / "ant" / "1.png")
    (tmp_path / "set" / "bee").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "set" / "ant" / "gone.png").symlink_to(tmp_path / "nothing.png")
    assert set(found(tmp_path / "set")) == {"ant/1.png", "ant/gone.png", "bee/1.png"}


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "ant" / "1.png")
    draw(tmp_path / "bee" / "1.png")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "bee":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read all, so that chmod would prove nothing
    assert set(found(tmp_path)) == {"ant/1.png"}
    assert listing(tmp_path).ignored["bee"] == "folder cannot be read: Permission denied"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_unicode_survive(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "bee" / "1.png")
    picture = draw(tmp_path / "ant" / "1.png")
    os.rename(picture, os.fsencode(tmp_path / "ant") + b"/\xff\xfe.png")
    assert list(found(tmp_path)) == ["ant/\udcff\udcfe.png", "bee/1.png"]
    assert listing(tmp_path).rows[0].ref.path
    os.rename(tmp_path / "ant", os.fsencode(tmp_path) + b"/gr\xf6\xdfe")
    (row,) = (row for row in list_images(DataConfig(path=str(tmp_path))).rows if row.label != "bee")
    assert (row.label, row.id) == ("größe", "gr\udcf6\udcdfe/\udcff\udcfe.png")
    assert os.path.exists(row.ref.path)


def devkit(root: Path, draw: Draw, tests: str | None) -> Path:
    """Two classes, three training images and one for test; a third training file has no row."""
    kind = [("bbox_x1", object), ("class", object), ("fname", object)]
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": np.array(["Audi A4 1996", "BMW X5 2007"], dtype=object)})
    rows = np.array([(1, 1, "1.jpg"), (1, 2, "2.jpg"), (1, 2, "3.jpg")], dtype=kind)
    savemat(root / "devkit" / "cars_train_annos.mat", {"annotations": rows})
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg"):
        draw(root / "cars_train" / name)
    if tests:
        draw(root / "cars_test" / "1.jpg")
        savemat(root / tests, {"annotations": np.array([(1, 1, "1.jpg")], dtype=kind)})
    return root


def test_the_devkit_without_labels_of_test_has_no_parts(tmp_path: Path, draw: Draw) -> None:
    root = devkit(tmp_path / "cars", draw, None)
    assert list_images(DataConfig(path=str(root))).source == "stanford-cars"
    assert found(root, "stanford-cars") == {
        "cars_train/1.jpg": ("Audi A4 1996", ""),
        "cars_train/2.jpg": ("BMW X5 2007", ""),
        "cars_train/3.jpg": ("BMW X5 2007", ""),
    }
    assert listing(root, "stanford-cars").ignored == {"cars_train/4.jpg": "no label in the devkit"}


@pytest.mark.parametrize("where", ["devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat"])
def test_the_devkit_with_labels_of_test_comes_split(tmp_path: Path, draw: Draw, where: str) -> None:
    images = found(devkit(tmp_path / "cars", draw, where), "stanford-cars")
    assert images["cars_test/1.jpg"] == ("Audi A4 1996", "test")
    assert images["cars_train/1.jpg"] == ("Audi A4 1996", "train")


@pytest.mark.parametrize("table", ["cars_meta.mat", "cars_train_annos.mat"])
def test_a_damaged_devkit_is_one_line(tmp_path: Path, draw: Draw, table: str) -> None:
    root = devkit(tmp_path / "cars", draw, None)
    for content in (b"", b"not MATLAB" * 50):
        (root / "devkit" / table).write_bytes(content)
        with pytest.raises(DataError, match=table):
            listing(root, "stanford-cars")
    (root / "devkit" / table).unlink()
    with pytest.raises(DataError, match=table):
        listing(root, "stanford-cars")


def test_a_row_of_no_class_is_refused(tmp_path: Path, draw: Draw) -> None:
    root = devkit(tmp_path / "cars", draw, None)
    rows = np.array([(1, 3, "1.jpg")], dtype=[("bbox_x1", object), ("class", object), ("fname", object)])
    savemat(root / "devkit" / "cars_train_annos.mat", {"annotations": rows})
    with pytest.raises(DataError, match="class 3 of 2"):
        listing(root, "stanford-cars")


def test_the_solar_cells_are_listed_from_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("elpv_dataset")
    monkeypatch.chdir(tmp_path)
    cells = list_images(DataConfig(path="elpv"))
    labels = [image.label for image in cells.rows]
    assert {label: labels.count(label) for label in set(labels)} == {"functional": 1803, "with defect": 821}
    assert sorted(set(labels))[1] == "with defect"  # the second class is the positive one
    assert len({image.stratum for image in cells.rows}) == 8
    assert (cells.license, cells.test_fraction) == ("CC BY-NC-SA 4.0", 0.25)
    assert all(Path(image.ref.path).is_file() for image in cells.rows)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"topwork\[demo\]"):
        listing(Path("elpv"), "elpv")


def test_a_folder_named_elpv_is_a_folder(class_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(class_folders.rename(class_folders.parent / "elpv").parent)
    assert list_images(DataConfig(path="elpv")).source == "folder"


def test_wrong_names_and_places_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"No source is called 'foldr'; the nearest are folder"):
        listing(tmp_path, "foldr")
    with pytest.raises(UsageError, match="does not exist"):
        listing(tmp_path / "none", "auto")
    (tmp_path / "file.txt").write_text("")
    for kind in ("folder", "stanford-cars"):
        with pytest.raises(UsageError, match="is a file, not a folder"):
            listing(tmp_path / "file.txt", kind)


SPLITS = [
    (["Training", "Testing"], ["train", "test"]),
    (["seg_train", "seg_test", "seg_pred"], ["train", "test", ""]),
    (["TRAIN", "TEST", "TEST_SIMPLE"], ["train", "test", ""]),
    (["train_mini", "val"], ["train", "val"]),
    (["trainData", "x_val", "test1"], ["train", "val", "test"]),
    (["training", "validation", "evaluation"], ["train", "val", "test"]),
    (["train", "eval"], ["train", "val"]),
    (["train2017", "val2017", "hold-out"], ["train", "val", "test"]),
    (["train", "test", "train_masks"], ["train", "test", ""]),
    (["bus", "car", "a train of thought"], ["", "", ""]),
    (["class_train", "class_bus"], ["train", ""]),
]


@pytest.mark.parametrize(("names", "splits"), SPLITS)
def test_words_that_mean_splits_are_known_beside_each_other(names: list[str], splits: list[str]) -> None:
    assert [split_of(names).get(name, "") for name in names] == splits


def laid_out(root: Path, draw: Draw, *folders: str) -> Path:
    for number, folder in enumerate(folders):
        for name in ("1.png", "2.png"):
            draw(root / folder / name, number)
    return root


def test_the_layout_may_be_said(tmp_path: Path, draw: Draw) -> None:
    paths = [f"{site}/{split}/{label}" for site in "pq" for split in ("Train", "Test") for label in ("ant", "bee")]
    root = laid_out(tmp_path, draw, *paths)
    with pytest.raises(UsageError, match="can be read in"):
        list_images(DataConfig(path=str(root)))
    rows = list_images(DataConfig(path=str(root), layout="*/split/class")).rows
    assert {(row.id.split("/")[1].lower(), row.id.split("/")[2]) for row in rows} == {(r.split, r.label) for r in rows}
    assert {row.label for row in list_images(DataConfig(path=str(root), layout="class/*")).rows} == {"p", "q"}
    manifest = list_images(DataConfig(path=str(root), layout="class/split"))
    assert {(row.label, row.split) for row in manifest.rows} == {(a, b) for a in "pq" for b in ("train", "test")}
    manifest = list_images(DataConfig(path=str(root), layout="*/class/bee"))
    assert {(row.label, row.id.split("/")[2]) for row in manifest.rows} == {("Train", "bee"), ("Test", "bee")}
    assert "folder beside bee" in manifest.ignored.values()
    for layout, problem in (
        ("classes", "expected are the words 'split', 'class' and '*' and names of folders, separated by /, with "),
        ("split/class", "no folder at level 1 has the name of a split; the folders there are p, q"),
        ("*/*/*/class", "no folder 4 levels below it holds images; the folders in it are p/, q/"),
    ):
        with pytest.raises(UsageError, match=re.escape(problem)):
            list_images(DataConfig(path=str(root), layout=layout))
    with pytest.raises(UsageError, match="--layout is not supported"):
        list_images(DataConfig(path="elpv", layout="class"))


@pytest.mark.parametrize(
    "names",
    [
        "figures tables text", "Results Methods Introduction", "logs planks chips", "temp humid dry", "valid invalid",
        "test_tube beaker", "train_station bus_stop", "dev_board sensor", "2019 2020 2021", "left right", "part whole",
        "patient control", "fold_mountains plains", "copy original", "train bus car", "mask no_mask", "input output",
        "thumbs_up thumbs_down", "disc ring plate", "label bottle cap", "predator prey",
    ],
)  # fmt: skip
@pytest.mark.parametrize("pattern", ["IMG_{folder}{n}.jpg", "{n}.jpg"])
def test_class_folders_are_read_without_a_question_whatever_they_are_called(
    tmp_path: Path, names: str, pattern: str
) -> None:
    rows = {}
    for folder, name in enumerate(names.split()):
        for n in range(4 + folder):
            rows[f"{name}/{pattern.format(folder=folder, n=n)}"] = (name, "")
    for path in rows:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert found(tmp_path) == rows


@pytest.mark.parametrize(
    "written", [["x1.jpg"], ["a.png", "b.png", "c.png", "d.png"], ["ant0.jpg", "ant1.jpg", "bee0.jpg", "bee1.jpg"]]
)
def test_few_other_or_derived_images_in_a_folder_of_results_are_a_question(tmp_path: Path, written: list[str]) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for n in range(4):
            (tmp_path / name / f"{name}{n}.jpg").touch()
    (tmp_path / "results").mkdir()
    for name in written:
        (tmp_path / "results" / name).touch()
    with pytest.raises(UsageError, match=r"results/ seems to hold the output of a program.*--layout class"):
        listing(tmp_path)


def test_one_folder_beside_images_without_labels_is_no_class(tmp_path: Path, draw: Draw) -> None:
    root = laid_out(tmp_path, draw, "labeled bottles", "unlabeled bottles")
    with pytest.raises(UsageError, match=r"none of its folders .*unlabeled bottles/ is a class.*--layout class"):
        listing(root)


def test_an_option_that_the_nearest_source_does_not_support_is_named(tmp_path: Path, draw: Draw) -> None:
    root = laid_out(tmp_path, draw, "ant", "bee")
    (root / "labels.csv").write_text("path,label\nant/1.png,x\nbee/1.png,y\n")
    config = DataConfig(path=str(root), label_column="label", path_column="path", layout="class")
    with pytest.raises(UsageError, match=r"--layout is not supported for .* \(source table\), only for: folder"):
        list_images(config)


def test_splits_may_be_inside_the_class_folders(tmp_path: Path, draw: Draw) -> None:
    root = laid_out(tmp_path, draw, "ant/train", "ant/test", "bee/train", "bee/test")
    rows = list_images(DataConfig(path=str(root))).rows
    assert {(row.label, row.split) for row in rows} == {(a, b) for a in ("ant", "bee") for b in ("train", "test")}


def test_masks_beside_images_are_no_images_of_the_class(tmp_path: Path, draw: Draw) -> None:
    for name in ("benign (1)", "benign (1)_mask", "benign (2)", "benign (2)_mask_1", "mask"):
        draw(tmp_path / "benign" / f"{name}.png")
    laid_out(tmp_path, draw, "normal")
    manifest = list_images(DataConfig(path=str(tmp_path)))
    assert [row.id for row in manifest.rows if row.label == "benign"] == [
        f"benign/{name}.png" for name in ("benign (1)", "benign (2)", "mask")
    ]
    assert manifest.ignored["benign/benign (1)_mask.png"] == "mask of benign (1).png"


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "is not a regular expression"),
        (r"\d+", "has 0 groups, expected 1"),
        (r"(fox)_\d", "matches none of the paths; the first path is 'ant_1.png'. Pass an expression with one group"),
    ],
)
def test_a_label_expression_that_is_wrong_is_said(tmp_path: Path, draw: Draw, pattern: str, problem: str) -> None:
    draw(tmp_path / "ant_1.png")
    with pytest.raises(UsageError, match=re.escape(problem)):
        list_images(DataConfig(path=str(tmp_path), label_from=pattern))


def test_labels_come_from_file_names_and_splits_from_folders(tmp_path: Path, draw: Draw) -> None:
    for path in ("train/ant_1.png", "train/bee_1.png", "test/ant_9.png", "test/x.png"):
        draw(tmp_path / path)
    manifest = list_images(DataConfig(path=str(tmp_path), label_from=r"([a-z]+)_\d"))
    assert {row.id: (row.label, row.split) for row in manifest.rows} == {
        "train/ant_1.png": ("ant", "train"),
        "train/bee_1.png": ("bee", "train"),
        "test/ant_9.png": ("ant", "test"),
    }
    assert manifest.ignored == {"test/x.png": "--label-from does not match"}


def test_one_sentence_says_how_the_data_were_read(tmp_path: Path, draw: Draw) -> None:
    root = laid_out(tmp_path, draw, "d/Training/ant", "d/Training/bee", "d/Testing/ant", "d/more")
    (root / "readme.md").write_text("")
    assert list_images(DataConfig(path=str(root))).reading == (
        "class folders in d/Testing/ (test) and d/Training/ (train); 2 classes: ant, bee; "
        "e.g. d/Testing/ant/1.png -> ant; ignored: 2 other files or folders, "
        "such as d/more/ (folder beside train, val and test)"
    )


def test_many_class_folders_are_looked_at_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(name: str) -> bool:
        nonlocal calls
        calls += 1
        return is_annotation(name)

    monkeypatch.setattr("topwork.data.sources.folder_layouts.is_annotation", counted)
    folders = [TreeFolder(f"species {n:04}", images=["a.jpg", "b.jpg"], total=2) for n in range(2000)]
    (found,) = find_layouts(TreeFolder("", folders, total=4000))
    assert len(found.classes) == 2000
    assert calls <= 3 * len(folders)
