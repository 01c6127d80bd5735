"""Labels: one thing is one class, however it is written; rare classes can be left out, and nothing happens silently."""

from __future__ import annotations

import json
import shlex
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.commands import error, topwork
from tests.drawings import draw as stripes

from topwork import check
from topwork.core.artifacts import read_run_info
from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.data.manifest import build_manifest
from topwork.data.sources import list_images
from topwork.data.splits import make_split

Draw = Callable[..., Path]
Folder = Callable[[dict[str, int]], Path]
NFC, NFD = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Folder:
    """Makes a folder with class folders of these names and numbers of images."""

    def make(sizes: dict[str, int]) -> Path:
        for start, (name, count) in enumerate(sizes.items()):
            for number in range(count):
                draw(tmp_path / "set" / name / f"{number}.png", 100 * start + number)
        return tmp_path / "set"

    return make


def classes(data: Path, **options: str) -> dict[str, int]:
    rows = list_images(DataConfig.model_validate({"path": str(data), **options})).rows
    return {label: sum(row.label == label for row in rows) for label in sorted({row.label for row in rows})}


def table(path: Path, labels: list[str]) -> Path:
    path.write_text("path,label\n" + "".join(f'{n}.png,"{label}"\n' for n, label in enumerate(labels)), "utf-8")
    return path


def test_unicode_forms_and_blanks_make_no_second_class(tmp_path: Path, folder: Folder) -> None:
    root = folder({f"train/{NFC}": 3, f"test/{NFD}": 2, "train/bee": 2, "test/bee": 2})
    assert NFC != NFD
    assert classes(root) == {NFC: 5, "bee": 4}
    (remark,) = list_images(DataConfig(path=str(root))).remarks
    assert remark.startswith(f"Class {NFC!r} is written in 2 ways")
    assert classes(table(tmp_path / "t.csv", [NFC, f" {NFD} ", "bee", "bee "])) == {NFC: 2, "bee": 2}


@pytest.mark.parametrize(
    ("labels", "merged"),
    [
        (["Cat", "cat", "cat", "dog"], {"cat": 3, "dog": 1}),
        (["1", "1.0", "1", "0", "0.0", "0."], {"0": 3, "1": 3}),
        (["polar bear", "Polar  bear", "ant"], {"polar bear": 2, "ant": 1}),
        (["STRASSE", "straße", "straße", "x"], {"straße": 3, "x": 1}),
        (["01", "1", "1.5", "-1", "1x"], None),  # may be different things
    ],
)
def test_one_thing_in_two_forms_is_never_trained_as_two_classes_silently(
    tmp_path: Path, draw: Draw, labels: list[str], merged: dict[str, int] | None
) -> None:
    data = table(tmp_path / "t.csv", labels)
    for number in range(len(labels)):
        draw(tmp_path / f"{number}.png", number)
    apart = {label: labels.count(label) for label in sorted(set(labels))}
    assert classes(data) == classes(data, similar_labels="keep") == apart
    if merged is None:
        assert set(build_manifest(DataConfig(path=str(data)), tmp_path / "cache").classes) == set(labels)
        return
    assert classes(data, similar_labels="merge") == dict(sorted(merged.items()))
    with pytest.raises(DataError, match=r"seem to be one class.*--similar-labels keep.*--similar-labels merge"):
        build_manifest(DataConfig(path=str(data)), tmp_path / "cache")
    kept = build_manifest(DataConfig(path=str(data), similar_labels="keep"), tmp_path / "cache")
    assert set(kept.classes) == set(labels)
    if "Cat" not in labels:
        return
    kinds = [
        [finding.kind for finding in found.problems if finding.kind == "similar-labels"]
        for similar in ("error", "merge", "keep")
        for found in [check(data, quick=True, out=tmp_path / "check", quiet=True, similar_labels=similar)]
    ]
    assert kinds == [["similar-labels"] * len(kinds[0]), [], []]
    assert kinds[0]


@pytest.mark.parametrize("label", ['["cat", "dog"]', '{"cat": 1}', "[]", "['cat', 'dog']"])
def test_a_list_is_no_label_and_is_refused_by_line(tmp_path: Path, label: str) -> None:
    texts = {"t.csv": f'path;label\na.png;cat\nb.png;"{label.replace(chr(34), chr(34) * 2)}"\n'}
    if "'" not in label:
        texts["t.jsonl"] = f'{{"path": "a.png", "label": "cat"}}\n{{"path": "b.png", "label": {label}}}\n'
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=rf"{name}:{3 if name == 't.csv' else 2}: the label is .*Several labels"):
            list_images(DataConfig(path=str(tmp_path / name)))
    assert classes(table(tmp_path / "one.csv", ["['cat']", "dog", "cat"])) == {"cat": 2, "dog": 1}
    assert classes(table(tmp_path / "fine.csv", ["[cat]", "(1)", "{x", "a"])) == {"(1)": 1, "[cat]": 1, "a": 1, "{x": 1}


def test_labels_that_join_others_are_a_problem(tmp_path: Path, folder: Folder) -> None:
    labels = ["cat", "dog", "cat,dog", "dog|cat", "cat dog", "cat,bird", "hot dog"]
    data = folder(dict.fromkeys(labels, 1))
    (finding,) = [
        finding
        for finding in check(data, quick=True, out=tmp_path / "check", quiet=True).problems
        if finding.kind == "several-labels"
    ]
    assert finding.groups == (("cat dog/0.png",), ("cat,dog/0.png",), ("dog|cat/0.png",))
    assert (
        "3 labels combine others (cat dog, cat,dog, dog|cat): several labels per image are not supported"
        in finding.text
    )


def test_rare_classes_are_left_out_by_name(folder: Folder, tmp_path: Path) -> None:
    root = folder({"ant": 12, "bee": 9, "rare": 2, "single": 1, "other": 6})
    cache = tmp_path / "cache"
    with pytest.raises(
        DataError, match=r"'rare' \(2\), 'single' \(1\); each class needs 3.*--min-images-per-class 3\."
    ):
        make_split(build_manifest(DataConfig(path=str(root)), cache), 0)
    full = build_manifest(DataConfig(path=str(root), min_images_per_class=1), cache)
    assert full == build_manifest(DataConfig(path=str(root)), cache)
    manifest = build_manifest(DataConfig(path=str(root), min_images_per_class=3), cache)
    assert manifest.classes == ("ant", "bee", "other")
    reasons = {name: reason for name, reason in manifest.ignored.items() if name.startswith(("rare", "single"))}
    assert set(reasons) == {"rare/0.png", "rare/1.png", "single/0.png"}
    assert set(reasons.values()) == {"its class has fewer than 3 images"}
    assert manifest.remarks == (
        "2 of 5 classes, 3 images, are left out (--min-images-per-class 3): 'rare' (2), 'single' (1).",
    )
    make_split(manifest, 0)
    with pytest.raises(DataError, match=r"No class .* as many images"):
        build_manifest(DataConfig(path=str(root), min_images_per_class=50), cache)
    with pytest.raises(DataError, match="one class only, 'ant'"):
        build_manifest(DataConfig(path=str(root), min_images_per_class=10), cache)


def test_copies_count_once_and_given_test_images_do_not_count(folder: Folder, tmp_path: Path) -> None:
    root = folder({"train/ant": 5, "train/bee": 5, "test/ant": 3, "test/bee": 3, "test/new": 8, "train/copy": 1})
    for number in range(5):
        (root / f"train/copy/x{number}.png").write_bytes((root / "train/copy/0.png").read_bytes())
    with pytest.raises(DataError, match=r"No usable training image of 'new', .*--min-images-per-class 1\."):
        make_split(build_manifest(DataConfig(path=str(root)), tmp_path / "cache"), 0)
    with pytest.raises(DataError, match=r"'copy' \(1\); each class needs 2.*--min-images-per-class 2\."):
        make_split(build_manifest(DataConfig(path=str(root), min_images_per_class=1), tmp_path / "cache"), 0)
    assert build_manifest(DataConfig(path=str(root), min_images_per_class=2), tmp_path / "cache").classes == (
        "ant",
        "bee",
    )


def test_the_printed_command_trains_without_the_rare_class_and_says_so(tmp_path: Path) -> None:
    for label, count in enumerate((12, 12, 2)):
        folder = tmp_path / "my set" / ("ant", "bee", "Rare")[label]
        folder.mkdir(parents=True)
        for number in range(count):
            stripes(label, number).save(folder / f"{number}.png")
    (tmp_path / "my set/bee/0.png").rename(tmp_path / "my set/ant/b.png")
    words = ["--strategy", "linear", "--img-size", 32, "-j", 0, "--out", "my run"]
    refused = error(topwork("train", "my set", *words, cwd=tmp_path), 1)
    assert "'Rare' (2); each class needs 3" in refused
    _, _, command = refused.rpartition(": topwork ")
    done = topwork(*shlex.split(command), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    remark = "1 of 3 classes, 2 images, are left out (--min-images-per-class 3): 'Rare' (2)."
    assert remark in done.stderr
    info = read_run_info(tmp_path / "my run").details["data"]
    assert info["note"] == remark
    assert "are left out" in (tmp_path / "my run/report.html").read_text("utf-8")
    topwork("check", "my set", "--quick", "--min-images-per-class", 3, "--out", "c", cwd=tmp_path)
    found = {
        finding["kind"]: finding["text"] for finding in json.loads((tmp_path / "c/check.json").read_text())["findings"]
    }
    assert found["remark"] == remark
