"""``topwork predict``: the same bits as evaluation, in order, whatever else is among the images."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.commands import topwork as call
from tests.shards import samples_of, write_shard, write_zip

import topwork
from topwork.core.config import DataConfig
from topwork.core.errors import DataError, Interrupted, SettingsChanged, StorageError, UsageError
from topwork.data.images import load_image
from topwork.data.sources import list_images as list_training_images
from topwork.inference import predict as predict_module
from topwork.inference.inputs import list_images
from topwork.inference.pixels import decode_batches
from topwork.inference.predict import predict_batches, predict_to_file
from topwork.inference.prediction_writer import PredictionWriter, csv_header, csv_row
from topwork.inference.predictor import Predictor
from topwork.strategies import STRATEGIES


def probabilities(model: Predictor | Path, files: list[str]) -> np.ndarray:
    opened = model if isinstance(model, Predictor) else topwork.load(model, workers=0)
    rows = [{g.label: g.probability for g in p.top} for p in topwork.predict(opened, files, top=0)]
    return np.array([[row[name] for name in opened.classes] for row in rows])


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_predicts_bit_for_bit_what_its_evaluation_said(
    comparison: topwork.Comparison, photos: Path, name: str
) -> None:
    said = comparison[name].predictions
    found = probabilities(comparison[name].path, [str(photos / image) for image in said.ids])
    assert (found == said.probabilities).all()


def test_a_moved_bundle_predicts_the_same(comparison: topwork.Comparison, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(comparison["svm"].path / "model", tmp_path / "elsewhere")
    said = comparison["svm"].predictions
    found = probabilities(tmp_path / "elsewhere", [str(photos / image) for image in said.ids])
    assert (found == said.probabilities).all()


def test_a_comparison_means_its_recommended_run_and_names_it(comparison: topwork.Comparison) -> None:
    said: list[str] = []
    model = topwork.load(comparison.path, workers=0, log=said.append)
    best = comparison.recommended_run()
    assert model.bundle.strategy == best.strategy
    assert best.strategy in said[0]
    assert "val" in said[0]


@pytest.mark.parametrize("where", ["nothing", "empty"])
def test_what_is_no_model_is_said(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises((UsageError, DataError), match=where):
        topwork.load(tmp_path / where)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that cannot be used, with a word of the reason."""
    root = tmp_path_factory.mktemp("odd")
    (root / "empty.jpg").touch()
    (root / "words.png").write_text("no image at all")
    buffer = io.BytesIO()
    Image.new("RGB", (90, 90), "red").save(buffer, "PNG")
    (root / "cut.png").write_bytes(buffer.getvalue()[:60])
    (root / "folder.jpg").mkdir()
    return {
        str(root / "empty.jpg"): "empty", str(root / "words.png"): "not an image", str(root / "cut.png"): "",
        str(root / "nowhere.jpg"): "No such file", str(root / "folder.jpg" / "..." / "x\0y"): "",
    }  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_said_of_an_image_does_not_depend_on_the_others(
    data: st.DataObject, mlp: Predictor, photos: Path, odd: dict[str, str]
) -> None:
    good = sorted(map(str, photos.rglob("*.png")))
    if not hasattr(mlp, "alone"):
        mlp.alone = dict(zip(good, probabilities(mlp, good), strict=True))  # type: ignore[attr-defined]
    files = data.draw(st.lists(st.sampled_from([*good, *odd]), min_size=1, max_size=70))
    found = list(topwork.predict(mlp, files, top=0))
    assert [p.image for p in found] == files
    for prediction in found:
        if prediction.image in odd:
            assert odd[prediction.image] in prediction.error
            assert prediction.error
            assert (prediction.label, prediction.probability, prediction.top) == ("", None, ())
        else:
            assert not prediction.error
            row = {g.label: g.probability for g in prediction.top}
            assert [row[name] for name in mlp.classes] == mlp.alone[prediction.image].tolist()  # type: ignore[attr-defined]
            assert [g.probability for g in prediction.top] == sorted(row.values(), reverse=True)


def test_pictures_arrays_and_bytes_are_as_good_as_files(mlp: Predictor, photos: Path) -> None:
    file = photos / "class1" / "003.png"
    with Image.open(file) as picture:
        picture.load()
    given = [str(file), picture, np.asarray(picture), file.read_bytes(), picture.convert("RGBA")]
    found = [[g.probability for g in p.top] for p in (next(iter(topwork.predict(mlp, [one]))) for one in given)]
    assert all(row == found[0] for row in found)
    assert [p.top for p in topwork.predict(mlp, np.asarray(picture))] == [p.top for p in topwork.predict(mlp, file)]
    wrong = next(iter(topwork.predict(mlp, [np.zeros((4, 4, 3))])))
    assert "uint8" in wrong.error


def test_memory_does_not_grow_with_the_number_of_images(mlp: Predictor, photos: Path) -> None:
    """An endless source is read a little ahead of what comes out."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for _ in count():
            taken += 1
            yield str(photos / "class0" / "000.png")

    batches = decode_batches(endless(), mlp.input_spec, 32, workers=1)
    for number, batch in enumerate(batches, 1):
        assert len(batch.pixels) == 32
        assert taken <= 32 * (number + 3)
        if number == 6:
            break
    batches.close()


def test_a_model_may_predict_while_it_predicts(mlp: Predictor, photos: Path) -> None:
    """The network runs in a thread of its own; what it says does not depend on who else asks."""
    files = sorted(map(str, photos.rglob("*.png"))) * 8
    expected = [p.top for p in topwork.predict(mlp, files)]
    found = []
    for number, prediction in enumerate(topwork.predict(mlp, files)):
        found.append(prediction.top)
        if number % 40 == 0:
            assert next(iter(topwork.predict(mlp, files[number:]))).top == expected[number]
    assert found == expected


def test_inputs_are_files_folders_patterns_and_tables(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "new"
    for name in ("b/2.png", "b/10.png", "a/1.JPG", ".hidden/3.png", "b/notes.txt", "b/.4.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "class0" / "000.png", root / name)
    expected = [str(root / name) for name in ("a/1.JPG", "b/10.png", "b/2.png")]
    assert list(map(str, list_images([root]))) == expected
    assert list(map(str, list_images([str(root / "b" / "*.png")]))) == expected[1:]
    assert list(map(str, list_images([str(root / "**" / "*.JPG"), str(root / "gone.png")]))) == [
        expected[0],
        str(root / "gone.png"),
    ]
    shutil.copytree(root / "b", root / "[b]")  # of a name that is a pattern too
    assert list(map(str, list_images([str(root / "[b]" / "?.png"), str(root / "[b]")]))) == [
        str(root / "[b]" / name) for name in ("2.png", "10.png", "2.png")
    ]
    (root / "list.csv").write_text("label,Image\nx,b/2.png\ny,\nz,a/1.JPG\n", "utf-8-sig")
    assert list(map(str, list_images([root / "list.csv"]))) == [expected[2], expected[0]]
    with pytest.raises(UsageError, match="matches"):
        list(list_images([str(root / "*.gif")]))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="No images found"):
        list(list_images([tmp_path / "none"]))


@pytest.mark.parametrize(
    ("names", "says"),
    [([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"], "CIFAR-10 as Python pickles"), (["x.h5"], "HDF5")],
)
def test_data_that_are_not_opened_are_called_what_they_are(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"\x80\4")
    with pytest.raises(UsageError, match=says) as refused:
        next(list_images([tmp_path]))
    with pytest.raises(UsageError) as in_training:
        list_training_images(DataConfig(path=str(tmp_path)))
    assert str(refused.value) == str(in_training.value)


def test_rows_read_back_as_what_was_said(
    mlp: Predictor, comparison: topwork.Comparison, photos: Path, odd: dict[str, str], tmp_path: Path
) -> None:
    files = [*map(str, sorted(photos.rglob("01*.png"))), *[name for name in odd if "\0" not in name]]
    said = [p for _, split in predict_batches(mlp, files, top=2) for p in split]
    for kind in ("csv", "jsonl"):
        predict_to_file(comparison["mlp"].path, files, tmp_path / f"out.{kind}", top=2, quiet=True, workers=0)
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == [line["image"] for line in lines] == files
    for row, line, prediction in zip(rows, lines, said, strict=True):
        if prediction.error:
            assert row["error"] == line["error"] == prediction.error
            assert line["label"] is line["probability"] is None
            continue
        assert row["label"] == line["label"] == prediction.label
        assert float(row["probability"]) == line["probability"] == prediction.probability
        assert float(row["probability_2"]) == line["top"][1]["probability"] == prediction.top[1].probability


def test_an_interrupted_file_goes_on_where_it_was(
    comparison: topwork.Comparison, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(path) for path in sorted(photos.rglob("*.png"))] * 3
    run, whole, out = comparison["mlp"].path, tmp_path / "whole.csv", tmp_path / "out.csv"
    predict_to_file(run, files, whole, quiet=True, workers=0)
    monkeypatch.setattr(predict_module, "SAVE_INTERVAL", 0.0)
    write, calls = PredictionWriter.write, 0

    def dying(self: PredictionWriter, predictions: list[topwork.Prediction]) -> None:
        nonlocal calls
        calls += 1
        write(self, predictions[:10] if calls == 3 else predictions)
        if calls == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(PredictionWriter, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(run, files, out, quiet=True, workers=0)
    monkeypatch.setattr(PredictionWriter, "write", write)
    assert out.read_bytes() != whole.read_bytes()
    with pytest.raises(StorageError, match="--resume"):
        predict_to_file(run, files, out, quiet=True, workers=0)
    with pytest.raises(SettingsChanged, match="different settings"):
        predict_to_file(run, files, out, quiet=True, workers=0, top=1, resume=True)
    with pytest.raises(SettingsChanged, match="has changed"):
        predict_to_file(run, files[1:], out, quiet=True, workers=0, resume=True)
    predict_to_file(run, files, out, quiet=True, workers=0, resume=True)
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(StorageError, match="--overwrite"):
        predict_to_file(run, files, out, quiet=True, workers=0, resume=True)


def test_an_interrupted_list_from_stdin_says_how_to_continue(
    comparison: topwork.Comparison, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "".join(f"{path}\n" for path in sorted(photos.rglob("*.png")) * 3)
    run, write = str(comparison["mlp"].path), PredictionWriter.write

    def stop(self: PredictionWriter, predictions: list[topwork.Prediction]) -> None:
        write(self, predictions)
        os.kill(os.getpid(), signal.SIGTERM)

    for out in ("whole.csv", "my list.csv"):
        monkeypatch.setattr("sys.stdin", io.StringIO(names))
        if out == "whole.csv":
            predict_to_file(run, ["-"], tmp_path / out, quiet=True, workers=0)
            monkeypatch.setattr(PredictionWriter, "write", stop)
    with pytest.raises(Interrupted, match="resume with: the same list on the stdin of: topwork predict ") as stopped:
        predict_to_file(run, ["-"], tmp_path / out, quiet=True, workers=0)
    monkeypatch.setattr(PredictionWriter, "write", write)
    monkeypatch.setattr("sys.stdin", io.StringIO(names))
    words = shlex.split(str(stopped.value).partition(": topwork ")[2])
    assert (tmp_path / "my list.csv").read_bytes() != (tmp_path / "whole.csv").read_bytes()
    assert call(*words, "--device", "cpu", "-j", "0").returncode == 0
    assert (tmp_path / "my list.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_model_of_boxes_predicts_the_boxes_of_a_table(photos: Path, tmp_path: Path) -> None:
    rows = [f"{path},{path.parent.name},{i % 5};1;20;18" for i, path in enumerate(sorted(photos.rglob("*.png")))]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,box", *rows]))
    flags = {"img_size": 32, "precision": "float32", "workers": 0, "quiet": True}
    run = topwork.train(tmp_path / "t.csv", "knn", out=tmp_path / "run", crop_to_box=True, **flags)
    found = {p.image: p for p in topwork.predict(run.path, [tmp_path / "t.csv"], top=0, workers=0)}
    said = run.predictions
    for image, row in zip(said.ids, said.probabilities, strict=True):
        probability = {one.label: one.probability for one in found[image].top}
        assert [probability[name] for name in said.classes] == row.tolist()


def test_relative_paths_refer_to_the_folder_of_the_moment(
    comparison: topwork.Comparison, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = topwork.load(comparison["mlp"].path, workers=1)
    for label in ("class0", "class1"):
        monkeypatch.chdir(photos / label)
        assert [p.error for p in topwork.predict(model, ["000.png"])] == [""]


def test_a_file_is_never_complete_before_it_is(
    comparison: topwork.Comparison, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill before the first note of progress, also of a file that replaces a complete one."""
    write = PredictionWriter.write
    run, files = str(comparison["mlp"].path), [str(path) for path in sorted(photos.rglob("*.png"))] * 3
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict_to_file(run, files, whole, quiet=True, workers=0)
    for before in (None, whole.read_bytes()):
        if before:
            out.write_bytes(before)

        def dying(self: PredictionWriter, predictions: list[topwork.Prediction]) -> None:
            write(self, predictions)
            raise KeyboardInterrupt

        monkeypatch.setattr(PredictionWriter, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(run, files, out, quiet=True, workers=0, overwrite=True)
        monkeypatch.setattr(PredictionWriter, "write", write)
        with pytest.raises(StorageError, match=r"exists. Use --resume"):
            predict_to_file(run, files, out, quiet=True, workers=0)
        predict_to_file(run, files, out, quiet=True, workers=0, resume=True)
        assert out.read_bytes() == whole.read_bytes()


def test_no_image_that_can_be_used_is_an_error_and_a_list_that_fails_leaves_no_file(
    comparison: topwork.Comparison, photos: Path, odd: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bad = comparison["mlp"].path, [name for name in odd if "\0" not in name]
    with pytest.raises(DataError, match=f"None of the {len(bad)} images could be used"):
        predict_to_file(run, bad, tmp_path / "bad.csv", quiet=True, workers=0)
    assert len((tmp_path / "bad.csv").read_text().splitlines()) == len(bad) + 1
    good = str(photos / "class0" / "000.png")
    assert predict_to_file(run, [*bad, good], tmp_path / "one.csv", quiet=True, workers=0) == (len(bad) + 1, len(bad))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="No images found"):
        predict_to_file(run, [str(tmp_path / "none")], tmp_path / "none.csv", quiet=True, workers=0)
    assert not list(tmp_path.glob("none.csv*"))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert predict_to_file(run, ["-"], tmp_path / "empty.csv", quiet=True, workers=0) == (0, 0)
    assert [path.name for path in tmp_path.glob("empty.csv*")] == ["empty.csv"]


def test_explain_writes_a_picture_an_image(comparison: topwork.Comparison, photos: Path, tmp_path: Path) -> None:
    files = [str(photos / "class0" / "000.png"), str(tmp_path / "gone.png"), str(photos / "class2" / "001.png")]
    predict_to_file(comparison["mlp"].path, files, tmp_path / "o.csv", explain=tmp_path / "maps", quiet=True, workers=0)
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert [name[:11] for name in names] == ["000001-000-", "000003-001-"]
    with Image.open(tmp_path / "maps" / names[0]) as picture:
        assert picture.size == (32, 32)


def test_header_and_cells_agree() -> None:
    bad = topwork.Prediction("x", error="gone")
    for top in (1, 2, 5):
        assert len(csv_header(top)) == len(csv_row(bad, top))


def test_predictions_on_shards_are_those_on_the_folder(mlp: Predictor, photos: Path, tmp_path: Path) -> None:
    samples = samples_of(photos)
    write_shard(tmp_path / "s" / "x-0.tar", samples[:40])
    write_shard(tmp_path / "s" / "x-1.tar", [pair for pair in samples[40:] if pair[0].endswith(".png")])  # no labels
    plain = list(topwork.predict(mlp, [str(photos)]))
    for data in (str(tmp_path / "s"), f"{tmp_path}/s/x-{{0..1}}.tar", f"file://{tmp_path}/s/x-*.tar"):
        found = list(topwork.predict(mlp, [data]))
        names = [p.image.rpartition(".tar/")[2] for p in found]
        assert names == [Path(p.image).relative_to(photos).as_posix() for p in plain]
        assert [p.top for p in found] == [p.top for p in plain]
    one = f"{tmp_path}/s/x-0.tar/class0/003.png"
    (single,) = topwork.predict(mlp, [one])
    assert single.label == next(p.label for p in plain if p.image.endswith("class0/003.png"))


def test_predictions_on_archives_and_arrays_are_those_on_the_folder(
    mlp: Predictor, photos: Path, tmp_path: Path
) -> None:
    files = sorted((photos / "class1").glob("*.png"))[:3]
    write_zip(tmp_path / "x.zip", [(f"new/{path.name}", path.read_bytes()) for path in files])
    write_zip(tmp_path / "only" / "x.zip", [(path.name, path.read_bytes()) for path in files])
    write_shard(tmp_path / "x.tar", [(f"new/{path.name}", path.read_bytes()) for path in files])
    pixels = np.stack([np.asarray(load_image(path)) for path in files])
    np.savez(tmp_path / "x.npz", x_test=pixels)
    columns = [f"pixel{n}" for n in range(pixels[0].size)]
    (tmp_path / "x.csv").write_text("\n".join(",".join(map(str, row)) for row in [columns, *pixels.reshape(3, -1)]))
    table = pyarrow.table({"image": [path.read_bytes() for path in files], "label": [None] * 3})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "names.csv").write_text("image\n" + "".join(f"x.zip/new/{path.name}\n" for path in files))
    expected = [prediction.top for prediction in topwork.predict(mlp, list(map(str, files)))]
    for data in ("x.zip", "only", "x.tar", "x.npz", "x.csv", "x.parquet", "names.csv"):
        found = list(topwork.predict(mlp, [str(tmp_path / data)]))
        assert [prediction.top for prediction in found] == expected, data
    assert found[0].image == str(tmp_path / "x.zip" / "new" / files[0].name)
