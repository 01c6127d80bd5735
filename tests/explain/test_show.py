"""``topwork show`` from end to end: what is on the page, for a comparison, a run and a bare backbone; and bad input."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.commands import error
from tests.commands import topwork as command

import topwork
from topwork.core.errors import DataError
from topwork.explain import page_content
from topwork.explain.show import ShowResult

FAST: dict[str, Any] = {"img_size": 64, "precision": "float32", "workers": 0, "threads": 1, "quiet": True}
SETS = ("scratch.epochs=1", "finetune.epochs=1", "mlp.epochs=2", "svm.Cs=[1e-2]", "finetune.batch_size=8")


@pytest.fixture(scope="module")
def comparison(
    photos: Path, tiny_network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> topwork.Comparison:
    out = tmp_path_factory.mktemp("show") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(out.parent / "cache"))
        return topwork.compare(photos, out=out, sets=SETS, learning_curve=["none"], **tiny_network, **FAST)


@pytest.fixture(scope="module")
def shown(comparison: topwork.Comparison) -> ShowResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_content, "visualize_channels", partial(page_content.visualize_channels, steps=8))
        return topwork.show(comparison, quiet=True, photos=3, sample=36)


def test_the_page_is_one_small_file_in_the_run(comparison: topwork.Comparison, shown: ShowResult) -> None:
    assert shown.path == comparison.path / "explain" / "show.html"
    assert shown.path.stat().st_size < 5e6
    stored = json.loads((comparison.path / "explain" / "show.json").read_text())
    assert stored["classes"] == ["class0", "class1", "class2"]
    assert "show.html" in shown._repr_html_()


def test_networks_are_analysed_once_and_strategies_all(shown: ShowResult) -> None:
    assert [network.name for network in shown.data.networks] == ["scratch", "pretrained", "finetune"]
    assert [s.name for s in shown.data.strategies] == ["scratch", "mlp", "svm", "finetune"]
    assert shown.data.networks[1].description == "pretrained, used by mlp and svm"


def test_photos_say_what_the_predictions_say(comparison: topwork.Comparison, shown: ShowResult) -> None:
    assert len(shown.data.images) == 3
    for photo in shown.data.images:
        for strategy, guesses in zip(shown.data.strategies, photo.predictions, strict=True):
            stored = comparison[strategy.name].predictions
            row = stored.ids.index(photo.name)
            assert photo.label == stored.labels[row]
            assert guesses[0].label == stored.predicted[row]
            assert guesses[0].score == pytest.approx(stored.scores[row].max(), abs=1e-3)
            assert guesses[0].probability == pytest.approx(stored.probabilities[row].max(), abs=1e-3)


def test_layer_maps_have_every_stage_of_every_network_and_photo(shown: ShowResult) -> None:
    stages = [layer.name for layer in shown.data.networks[0].layers if layer.ends_stage]
    seen = {(w.image, w.network, w.layer) for w in shown.data.layer_maps}
    assert {(p, n, s) for p in range(3) for n in range(3) for s in stages} <= seen
    assert all(layer.receptive_field for layer in shown.data.networks[0].layers if layer.ends_stage)
    assert all(layer.inactive_share is not None for layer in shown.data.networks[0].layers if layer.ends_stage)
    assert shown.data.inactive_measured_on == "33 images"  # 24 of train, all 9 of test


def test_heatmaps_for_every_strategy_and_class(shown: ShowResult) -> None:
    maps = shown.data.heatmaps
    assert {(m.strategy, m.label) for m in maps if m.image == 0} == {(s, k) for s in range(4) for k in range(3)}
    for strategy in (0, 2, 3):  # svm and the linear heads
        exact = next(m for m in maps if m.strategy == strategy and m.exact)
        guess = next(g for g in shown.data.images[exact.image].predictions[strategy] if g.label == exact.label)
        assert exact.score == pytest.approx(guess.score, abs=1e-3)
    assert not any(m.exact for m in maps if m.strategy == 1)  # a head with a hidden layer has no exact map
    for one in maps:
        assert len(base64.b64decode(one.values)) == one.height * one.width
        assert len(one.drop_marked) == len(one.drop_random) == len(one.fractions) > 0


def test_what_is_about_the_data_set(comparison: topwork.Comparison, shown: ShowResult) -> None:
    data = shown.data
    assert all(network.patches and network.visualizations and network.filters for network in data.networks)
    for patches in data.networks[1].patches:
        assert len(patches.ids) == len(set(patches.ids)) == patches.sheet.count
        assert list(patches.activations) == sorted(patches.activations, reverse=True)
    assert len(data.probes) == 3
    assert all(p.low <= p.accuracy <= p.high for row in data.probes for p in row)
    assert data.changes
    assert all(0 <= c.cka <= 1 for c in data.changes)
    assert any(c.weight for c in data.changes)
    assert data.similarity_map is not None
    tested = comparison["svm"].predictions
    guesses = dict(zip(tested.ids, tested.predicted.tolist(), strict=True))
    assert data.similarity_map.predicted[2] == tuple(guesses[i] for i in data.similarity_map.ids)


def test_a_single_run_compares_itself_with_the_pretrained_network(
    comparison: topwork.Comparison, photos: Path, tmp_path: Path
) -> None:
    """Unless that is from a file: a run of somebody else must not name files to open."""
    assert not topwork.show(comparison["finetune"].path, photos / "class1" / "000.png", quiet=True).data.changes
    quick: dict[str, Any] = {**FAST, "img_size": 32, "epochs": 1, "batch_size": 8}
    run = topwork.train(photos, "finetune", out=tmp_path / "run", sets=["compute.engine=torch"], **quick)
    shown = topwork.show(run.path, photos / "class1" / "000.png", quiet=True, sample=30)
    assert [p.name for p in shown.data.images] == ["class1/000.png"]
    assert shown.data.changes
    assert shown.path == run.path / "explain" / "show.html"


def test_a_moved_data_set_leaves_chosen_images(comparison: topwork.Comparison, photos: Path, tmp_path: Path) -> None:
    home = tmp_path / "moved"
    shutil.copytree(comparison["svm"].path, home)
    config = home / "config.toml"
    config.write_text(config.read_text().replace(str(photos), str(tmp_path / "gone")))
    shown = topwork.show(home, photos / "class1" / "000.png", quiet=True)
    assert shown.data.similarity_map is None
    assert "not found" in shown.data.notes[0]
    with pytest.raises(topwork.TopworkError, match="--image"):
        topwork.show(home, quiet=True)


def test_a_bare_backbone_with_its_own_classes(photos: Path, tmp_path: Path) -> None:
    picture = Image.open(photos / "class0" / "000.png")
    model = "tf_efficientnet_lite0"
    shown = topwork.show(
        image=picture,
        model=model,
        img_size=64,
        out=tmp_path / "bare",
        quiet=True,
        quick=True,
        classes=["sports car, sport car"],
    )
    assert len(shown.data.classes) == 1000
    assert shown.data.images[0].label is None
    assert {m.label for m in shown.data.heatmaps} >= {817, shown.data.images[0].predictions[0][0].label}


@pytest.mark.parametrize("model", ["resnet10t", "test_vit"])
def test_a_bare_backbone_without_classes_and_all_layers(photos: Path, tmp_path: Path, model: str) -> None:
    photo = photos / "class0" / "000.png"
    out = tmp_path / "bare"
    size = ["--img-size", "64"] if model == "resnet10t" else []
    done = command("show", "--model", model, "--weights", "random", *size, "--image", photo, "--layer", "all",
                   "--quick", "-o", out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Page: {out / 'show.html'}\n"
    data = json.loads((out / "show.json").read_text())
    placed = {layer["name"] for layer in data["networks"][0]["layers"] if layer["receptive_field"]}
    assert {w["layer"] for w in data["layer_maps"] if not w["attention"]} == placed
    assert any(w["attention"] for w in data["layer_maps"]) == (model != "resnet10t")
    assert not data["heatmaps"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["conv_stemm"]}, "conv_stem"),
        ({"classes": ["clas1"]}, "class1"),
        ({"methods": ["oclusion"]}, "occlusion"),
        ({"methods": ["exact"]}, "grad-cam"),
        ({"model": "resnet10t"}, "either a run"),
        ({"image": "none.jpg"}, "none.jpg"),
        ({"embedding": "pca"}, "tsne"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_options(comparison: topwork.Comparison, photos: Path, options: dict[str, Any], message: str) -> None:
    given = {"image": photos / "class0" / "000.png", "quiet": True, "quick": "embedding" not in options} | options
    with pytest.raises(topwork.TopworkError, match=message):
        topwork.show(comparison["svm"].path, **given)


def test_wrong_models_and_places(photos: Path, tmp_path: Path) -> None:
    photo = photos / "class0" / "000.png"
    with pytest.raises(topwork.TopworkError, match="resnet10t"):
        topwork.show(image=photo, model="resnet10tt", quiet=True)
    with pytest.raises(topwork.TopworkError, match="--image"):
        topwork.show(model="resnet10t", quiet=True)
    with pytest.raises(topwork.TopworkError, match="no classifier"):
        topwork.show(image=photo, model="resnet10t", weights="random", quiet=True, classes=["cat"])
    with pytest.raises(topwork.TopworkError, match="not a run"):
        topwork.show(tmp_path, photo, quiet=True)


def test_an_unreadable_photo_is_one_line(comparison: topwork.Comparison, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    assert "bad.jpg" in error(command("show", comparison["svm"].path, "--image", bad), 1)


def test_requested_layers_and_methods(comparison: topwork.Comparison, photos: Path) -> None:
    photo = photos / "class0" / "000.png"
    pytest.importorskip("captum")
    requested: dict[str, Any] = {"layers": "blocks.2.0", "methods": ["occlusion", "recipro-cam"], "quick": True}
    shown = topwork.show(comparison["svm"].path, [photo], quiet=True, **requested)
    of_class = [(m.layer, m.method) for m in shown.data.heatmaps if m.label == 0]
    assert len(of_class) == len(set(of_class))
    assert {("blocks.2.0", "Grad-CAM"), ("blocks.2.0", "Recipro-CAM"), ("input", "occlusion")} <= set(of_class)
    walk = next(w for w in shown.data.layer_maps if w.layer == "blocks.2.0")
    assert len(walk.maps.names) == 16
    assert np.all(np.array(walk.maps.limits) >= 0)


def test_lost_images_are_left_out_and_named(
    comparison: topwork.Comparison, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, run = shutil.copytree(photos, tmp_path / "photos"), shutil.copytree(comparison["svm"].path, tmp_path / "run")
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace(str(photos), str(moved)))
    split = {row["image"]: row["split"] for row in csv.DictReader((run / "split.csv").read_text().splitlines())}
    test, train = ([image for image in split if split[image] == name] for name in ("test", "train"))
    (moved / test[0]).unlink()
    (moved / train[0]).write_bytes((moved / train[0]).read_bytes()[:300])
    (moved / test[1]).write_bytes(b"")

    page = topwork.show(run, photos=2, sample=90, out=tmp_path / "page").data

    assert {photo.name for photo in page.images} <= set(test[2:])
    (note,) = page.notes
    assert all(image in note for image in (test[0], test[1], train[0]))
    assert page.similarity_map is not None
    assert sorted(page.similarity_map.ids) == sorted(test[2:])
    said = capsys.readouterr().err
    assert note in said
    assert "Traceback" not in said
    for image in test[2:]:
        (moved / image).unlink()
    with pytest.raises(DataError, match="|".join(map(re.escape, test))) as caught:
        topwork.show(run, quiet=True, quick=True)
    assert len(str(caught.value)) < 300
