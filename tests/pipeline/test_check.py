"""``topwork check`` on a folder in which everything is planted: each thing is found, and nothing else is."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.commands import topwork as command
from tests.drawings import draw

import topwork
from topwork.core.artifacts import read_run_info
from topwork.core.errors import DataError

SWAPPED = {f"train/class{label}/{number:03}.png" for label in range(3) for number in (3, 17)}


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "dirty"
    for split, many in (("train", 24), ("test", 10)):
        for label in range(3):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(many):
                swapped = f"{split}/class{label}/{number:03}.png" in SWAPPED
                shown = draw((label + 1) % 3 if swapped else label, number + (100 if split == "test" else 0), 96)
                shown.save(folder / f"{number:03}.png")
    draw(0, 5, 96).save(root / "test/class0/equal.bmp")
    mirrored = draw(1, 6, 96).transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((70, 70))
    mirrored.save(root / "test/class1/mirrored.jpg", quality=80)
    draw(2, 7, 96).save(root / "train/class1/two.png")
    (root / "train/class0/bad.jpg").write_bytes(b"<html>404</html>")
    (root / "train/class2/drawing.svg").write_bytes(b"x")
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(2, 50, 96).save(root / "train/class2/turned.jpg", exif=exif)
    return root


def digest(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_everything_that_was_planted_is_found_and_nothing_else(dirty: Path, tmp_path: Path) -> None:
    pytest.importorskip("topwork.features")
    before = digest(dirty)
    found = topwork.check(dirty, out=tmp_path / "out", quiet=True, img_size=64, workers=0)
    sets = {finding.kind: {frozenset(same) for same in finding.groups} for finding in found.findings if finding.problem}
    equal = frozenset({"test/class0/equal.bmp", "train/class0/005.png"})
    mirrored = frozenset({"test/class1/mirrored.jpg", "train/class1/006.png"})
    two = frozenset({"train/class1/two.png", "train/class2/007.png"})
    suspects = {image for (image,) in map(tuple, sets.pop("label"))}
    assert sets == {
        "leak-exact": {equal},
        "leak-near": {mirrored},
        "two-labels": {two},
        "excluded": {frozenset({"train/class0/bad.jpg"})},
        "duplicates": {equal, two},
        "near-duplicates": {mirrored},
    }
    assert suspects >= SWAPPED
    assert len(suspects - SWAPPED - two) <= 3
    known = {finding.text for finding in found.findings if not finding.problem}
    assert known == {
        "1 image: EXIF orientation applied",
        "ignored: train/class2/drawing.svg: image in an unsupported format",
    }
    assert digest(dirty) == before
    page = found.page.read_text("utf-8")
    assert page.count("data:image/jpeg") >= 10
    assert f"topwork compare {dirty} --exclude exclude.csv" in page
    assert topwork.check(dirty, out=tmp_path / "out", quiet=True, quick=True).notes == (
        "Labels were not checked (--quick).",
    )


def test_a_class_that_is_too_small_keeps_no_other_from_being_examined(dirty: Path, tmp_path: Path) -> None:
    root = shutil.copytree(dirty, tmp_path / "dirty")
    (root / "train/rare").mkdir()
    for number in range(3):
        draw(3, number, 96).save(root / f"train/rare/{number}.png")
    found = topwork.check(root, out=tmp_path / "out", quiet=True, img_size=64, workers=0)
    assert found.notes == ("Labels of rare were not checked: fewer than 4 different images of a class.",)
    (small,) = (finding.text for finding in found.findings if finding.kind == "small-class")
    assert "rare (3); train and compare leave such classes out with --min-images-per-class 10" in small
    suspects = {image for finding in found.findings if finding.kind == "label" for (image,) in finding.groups}
    assert suspects >= SWAPPED
    for label in (1, 2):
        shutil.rmtree(root / f"train/class{label}")
        shutil.rmtree(root / f"test/class{label}")
    alone = topwork.check(root, out=tmp_path / "out", quiet=True, img_size=64, workers=0)
    assert alone.notes == ("Labels were not checked: fewer than 4 different images of a class.",)


def test_labels_that_say_nothing_about_the_pictures_are_not_held_against_them(tmp_path: Path) -> None:
    for number in range(60):
        folder = tmp_path / "set" / f"class{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        draw(number // 3 % 3, number, 96).save(folder / f"{number}.png")
    found = topwork.check(tmp_path / "set", out=tmp_path / "out", quiet=True, img_size=64, workers=0)
    assert not [finding for finding in found.findings if finding.kind == "label"]
    (note,) = found.notes
    assert "not significantly more than the largest class would give (33%)" in note


def test_status_json_and_the_list_that_heals(dirty: Path, photos: Path, tmp_path: Path) -> None:
    fixes = tmp_path / "fixes.csv"
    done = command("check", dirty, "--quick", "--json", "--quiet", "--out", tmp_path / "a", "--write-exclude", fixes)
    assert done.returncode == 4, done.stderr
    value = json.loads(done.stdout)
    assert value == json.loads((tmp_path / "a" / "check.json").read_text())
    assert value["splits"]["test"] == 32
    with fixes.open() as file:
        out = {row["image"] for row in csv.DictReader(file)}
    assert "train/class0/005.png" in out  # what judges is kept
    assert "test/class0/equal.bmp" not in out
    healed = command("check", dirty, "--quick", "--exclude", fixes, "--out", tmp_path / "b")
    assert healed.returncode == 0, healed.stdout
    assert "No problems found" in healed.stdout
    assert command("check", photos, "--quick", "--out", tmp_path / "c").returncode == 0
    assert command("check", tmp_path / "none").returncode == 2


def test_a_leak_is_said_before_anything_is_trained(dirty: Path, tmp_path: Path) -> None:
    words = ["--strategy", "linear", "--img-size", "32", "-j", "0", "--out", tmp_path / "run"]
    done = command("train", dirty, *words)
    assert done.returncode == 0, done.stderr
    leak = done.stderr.index("LEAK: 2 images have an exact copy in another split")
    assert leak < done.stderr.index("linear: done")
    leaks = read_run_info(tmp_path / "run").details["data"]["leaks"]
    assert [entry["kind"] for entry in leaks] == ["leak-exact", "leak-near"]


@pytest.mark.parametrize(
    ("classes", "good", "kind", "says"),
    [(1, 6, "one-class", "all usable images are of one class, class0"), (2, 0, "no-image", "no image can")],
)
def test_what_cannot_be_trained_on_is_an_answer_not_an_error(
    tmp_path: Path, classes: int, good: int, kind: str, says: str
) -> None:
    for label in range(classes):
        folder = tmp_path / "set" / f"class{label}"
        folder.mkdir(parents=True)
        (folder / "bad.jpg").write_bytes(b"no picture")
        for number in range(good):
            draw(label, number).save(folder / f"{number}.png")
    done = command("check", tmp_path / "set", "--layout", "class", "--json", "--quiet", "--out", tmp_path / "out")
    assert done.returncode == 4, done.stderr
    value = json.loads(done.stdout)
    assert (value["images"], value["used"]) == (classes * (good + 1), good)
    first = value["findings"][0]
    assert first["kind"] == kind
    assert first["text"].startswith(says)
    assert "excluded" in {finding["kind"] for finding in value["findings"]}
    plain = command("check", tmp_path / "set", "--layout", "class", "--quick", "--out", tmp_path / "out")
    assert plain.returncode == 4, plain.stderr
    assert says in plain.stdout
    assert says in (tmp_path / "out" / "check.html").read_text("utf-8")
    with pytest.raises(DataError):
        topwork.train(tmp_path / "set", "linear", out=tmp_path / "run", layout="class", quiet=True)
