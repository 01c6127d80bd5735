"""Bad input: one line that says what, where and a way out; the right exit status; nothing that existed is lost."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.commands import error, topwork
from tests.drawings import draw, write_folder

TINY = ["--img-size", "32", "--precision", "float32", "-j", "0"]


def _empty(root: Path) -> Path:
    root.mkdir()
    return root


def _one_class(root: Path) -> Path:
    return write_folder(root, classes=1)


def _small_class(root: Path) -> Path:
    write_folder(root, classes=2, each=6)
    (root / "rare").mkdir()
    draw(2, 0).save(root / "rare" / "only.png")
    return root


@pytest.mark.parametrize(
    ("make", "status", "says"),
    [
        (_empty, 1, "no image"),
        (_one_class, 2, "a classifier needs at least two class folders"),
        (_small_class, 1, "rare"),
        (lambda root: root, 2, "does not exist"),
    ],
)
def test_images_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], Path], status: int, says: str) -> None:
    data = make(tmp_path / "data")
    line = error(topwork("compare", data, "--out", tmp_path / "out"), status)
    assert says in line.lower()
    assert str(data) in line or "rare" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "resnett50"], "resnet50"),
        (["--strategy", "finetun"], "finetune"),
        (["--device", "cuda:7"], "--device cuda:7 is not available"),
        (["--epochs", "0"], "epochs"),
        (["--set", "nonsense"], "NAME=VALUE"),
        (["--config", "none.toml"], "none.toml"),
        (["--weights", "none.pth"], "none.pth"),
        (["--source", "folders"], "folder"),
        (["--imgsz=64"], "--img-size"),
        (["--lr", "inf"], "finetune.lr: input should be a finite number"),
        (["--lr", "1e400"], "finetune.lr: input should be a finite number"),
        (["--minutes", "nan"], "finetune.minutes: input should be a finite number"),
        (["--set", "svm.Cs=[0.1, inf]"], "svm.Cs"),
        (["--set", "svm.epochs=3"], "svm.epochs; the nearest are scratch.epochs, mlp.epochs, finetune.epochs"),
        (["--set", "finetune.lrr=1"], "no setting finetune.lrr; the nearest are finetune.lr,"),
        (["--set", "data.sources=folder"], "no setting data.sources; the nearest are data.source"),
        (["--set", "seeds=1"], "the nearest are seed"),
        (["--set", "svm.class_weight=balanced"], "no setting svm.class_weight; --balance, or a column `weight`"),
    ],
)
def test_settings_that_are_not_allowed(photos: Path, tmp_path: Path, words: list[str], says: str) -> None:
    line = error(topwork("train", photos, *words, "--out", tmp_path / "out"), 2)
    assert says in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["compare", "d", "--resume", "-o", "my run", "--epochs", "3"],
            "settings from it: topwork compare --resume 'my run'",
        ),
        (["train", "d", "--out", "r", "--resume"], "settings from it: topwork train --resume r"),
        (["train", "--resume"], "settings from it: topwork train --resume FOLDER"),
        (["train", "d", "--lr", "--epochs", "3"], "--lr needs a value: Peak learning rate"),
        (["predict", "r", "d", "--out", "--resume"], "--out needs a value: File to write."),
    ],
)
def test_an_option_is_not_taken_for_the_value_of_another(words: list[str], says: str) -> None:
    assert says in error(topwork(*words), 2)


def test_a_folder_with_content_is_left_alone(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    assert "--overwrite" in error(topwork("train", photos, "--strategy", "svm", "--out", out), 1)
    refused = topwork("train", photos, "--strategy", "svm", "--out", out, "--overwrite")
    assert "was not written by topwork" in error(refused, 1)
    assert (out / "thesis.txt").read_text() == "precious"
    assert error(topwork("train", photos, "--out", out / "thesis.txt"), 1)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(photos: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "Cannot write" in error(topwork("train", photos, "--strategy", "svm", "--out", locked / "out"), 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a place that cannot be written")
def test_a_place_that_is_no_folder(photos: Path) -> None:
    assert "Cannot write /dev/full/out" in error(
        topwork("train", photos, "--strategy", "svm", "--out", "/dev/full/out"), 1
    )


def test_resume_refuses_what_was_changed_and_what_is_not_there(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert topwork("train", photos, "--strategy", "svm", *TINY, "--out", out, "--quiet").returncode == 0
    before = (out / "metrics.json").read_bytes()
    assert "seed: 0 -> 3" in error(topwork("train", "--resume", out, "--seed", "3"), 2)
    assert "not a run" in error(topwork("train", "--resume", tmp_path / "nothing"), 1)
    assert "not a run" in error(topwork("compare", "--resume", tmp_path / "nothing"), 1)
    assert "Resume with: topwork train --resume" in error(topwork("compare", "--resume", out), 2)
    assert (out / "metrics.json").read_bytes() == before


def test_changed_images_are_noticed_on_resume(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    out = tmp_path / "out"
    assert topwork("train", data, "--strategy", "svm", *TINY, "--out", out, "--quiet").returncode == 0
    draw(1, 99).save(data / "class1" / "new.png")
    assert "are not those" in error(topwork("train", "--resume", out), 2)


def test_bad_images_and_hidden_folders_are_named(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    (data / "class0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    (data / ".ipynb_checkpoints").mkdir()
    (data / ".ipynb_checkpoints" / "x.png").write_bytes((data / "class0" / "000.png").read_bytes())
    done = topwork("train", data, "--strategy", "svm", *TINY, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert "excluded: class0/broken.jpg" in done.stderr
    assert ".ipynb_checkpoints" in done.stderr
    assert json.loads(done.stdout)["metrics"]["test"]["images"] > 0


def test_a_dry_run_shows_the_settings_checks_them_and_writes_nothing(photos: Path, tmp_path: Path) -> None:
    done = topwork("compare", photos, "--dry-run", "--lr", "0.25", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["settings"]["finetune"]["lr"] == 0.25
    assert "lrr" in error(topwork("compare", photos, "--dry-run", "--set", "finetune.lrr=1"), 2)
    assert "resnet50" in error(topwork("compare", photos, "--dry-run", "--model", "resnett50"), 2)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_the_configuration_file_as_it_would_be_run(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('strategies = ["svm"]\nseed = 4\n')
    shown = tomllib.loads(topwork("train", photos, "--config", tmp_path / "c.toml", "--dry-run").stdout)
    assert (shown["strategies"], shown["seed"]) == (["svm"], 4)
    (tmp_path / "c.toml").write_text("[svm]\nfolds = 3\n")
    assert "section [settings.svm]" in error(topwork("train", photos, "--config", tmp_path / "c.toml", "--dry-run"), 2)
    (tmp_path / "two.toml").write_text('strategies = ["svm", "mlp"]\n')
    assert "one strategy" in error(topwork("train", photos, "--config", tmp_path / "two.toml", "--dry-run"), 2)
    assert "compare" in error(topwork("train", photos, "--set", "folds=3", "--dry-run"), 2)


def test_options_of_a_comparison_are_logged_with_the_strategies_that_use_them(photos: Path, tmp_path: Path) -> None:
    done = topwork("compare", photos, "--epochs", "1", "--model", "resnett50", "--out", tmp_path / "out")
    assert "--epochs is used by scratch, finetune; mlp has its own, --set mlp.epochs" in done.stderr
    assert (
        "is used by" not in topwork("train", photos, "--epochs", "1", "--model", "no", "--out", tmp_path / "o").stderr
    )


def test_what_is_refused_is_refused_before_images_are_decoded(photos: Path, tmp_path: Path) -> None:
    done = topwork("compare", photos, "--model", "resnett50", "--out", tmp_path / "out")
    assert "Data " in done.stderr
    assert "Split " not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = topwork("compare", tmp_path / "none", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_the_words_of_a_finished_command(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "mine")
    done = topwork("compare", "mine", "--strategy", "svm", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("output goes to runs", "Device", "Data", "Backbone", "license Apache-2.0", "Split     train "):
        assert word in done.stderr
    for word in ("strategy", "95 % interval", "macro-F1", "training time", "trained parameters", "Report: ", "Next: "):
        assert word in done.stdout
    runs = topwork("runs", cwd=tmp_path)
    assert "done" in runs.stdout
    folder = next(path for path in (tmp_path / "runs").iterdir())
    shutil.rmtree(tmp_path / "mine")
    (folder / "report.html").unlink()
    again = topwork("report", folder.relative_to(tmp_path), cwd=tmp_path)
    assert "svm" in again.stdout
    read = "Read as: class folders; 3 classes: class0, class1, class2; e.g. class0/000.png -> class0"
    assert read in done.stderr
    assert f"{read.replace('>', '&gt;')}." in (folder / "report.html").read_text("utf-8")
    assert "tf_efficientnet_lite0" in topwork("models", "efficientnet_lite").stdout
    assert error(topwork("models", "no-such-network"), 2)


def test_a_question_shows_commands_that_work_in_any_folder_and_keep_the_options(tmp_path: Path) -> None:
    data = tmp_path / '-it\'s a "set" of 2'
    write_folder(data, classes=2, each=12, size=32)
    names = [f"class{label}/{number:03}.png" for label in range(2) for number in range(12)]
    cells = "".join(f"{name},{'abc'[number % 3]}\n" for number, name in enumerate(names))
    (data / "second rater.csv").write_text(f"image,grade\n{cells}")
    (tmp_path / "bad ones.csv").write_text(f"image\n{names[0]}\n")
    options = ("--exclude", str(tmp_path / "bad ones.csv"), "--group-by", r"([0-9]+)[.]png")
    asked = topwork("check", f"./{data.name}", *options, "--quick", cwd=tmp_path)
    assert asked.returncode == 2
    assert "; 2 classes: class0, class1:" in asked.stderr
    assert "; 3 classes: a, b, c:" in asked.stderr
    found = [line.strip() for line in asked.stderr.splitlines() if line.strip().startswith("topwork ")]
    seen = set()
    for line in found:
        _, _, *words = shlex.split(line)
        done = topwork("check", *words, "--quick", "--json", cwd=tmp_path)
        assert done.returncode in (0, 4), done.stderr
        assert set(options) <= set(words)
        page = json.loads(done.stdout)
        assert page["images"] == 23
        seen.add(len(page["classes"]))
    assert seen == {2, 3}
