"""Joined networks keep the contract of one: cache, resume, bundle, export, serve, show."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from tests.commands import Started, error
from tests.commands import topwork as command
from tests.serving.client import serving

import topwork
from topwork.backbones.build import create
from topwork.backbones.weights import find_weights
from topwork.core import storage
from topwork.core.artifacts import read_split
from topwork.core.errors import CorruptFile
from topwork.data.images import load_image
from topwork.data.transforms import eval_transform, normalize, renormalize
from topwork.explain.attribution import ClassActivationMaps
from topwork.explain.inspected_model import load_run
from topwork.explain.joined_maps import add_maps, last_maps
from topwork.explain.layers import list_layers, stages_by_network
from topwork.report.results import Run

NAMES = ("test_efficientnet", "test_resnet", "test_vit")  # the first is normalized differently from the others
FAST: dict[str, Any] = {"img_size": 64, "precision": "float32", "workers": 0, "threads": 1, "quiet": True}
HEADS = ("svm", "linear", "mlp", "knn")
SETS = ("mlp.epochs=3", "svm.tta=true", "knn.tta=true")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Random weights of each network."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        found[name] = str(folder / f"{name}.safetensors")
        network = timm.create_model(name, num_classes=0, **({"img_size": 64} if "vit" in name else {}))
        safetensors.torch.save_file(network.state_dict(), found[name])
    return found


@pytest.fixture(scope="module")
def options(files: dict[str, str]) -> Callable[[int], dict[str, Any]]:
    """The arguments that join the first so many networks."""
    return lambda n: {"model": "+".join(NAMES[:n]), "weights": "+".join(files[name] for name in NAMES[:n])}


@pytest.fixture(scope="module", params=[2, 3], ids=["pair", "triple"])
def joined(
    photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
    options: Callable[[int], dict[str, Any]],
    request: pytest.FixtureRequest,
) -> topwork.Comparison:
    out = tmp_path_factory.mktemp("joined") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(out.parent / "cache"))
        return topwork.compare(photos, out=out, strategies=list(HEADS), sets=SETS, **options(request.param), **FAST)


def _networks(run: topwork.Run) -> list[str]:
    return json.loads((run.path / "model" / "model.json").read_text())["model"].split("+")


def _pixels(run: topwork.Run, photos: Path) -> torch.Tensor:
    spec = load_run(run.path).spec
    return torch.stack([eval_transform(load_image(photos / image), spec) for image in run.predictions.ids])


@pytest.mark.parametrize("name", HEADS)
def test_a_prediction_has_the_bits_of_the_evaluation(joined: topwork.Comparison, photos: Path, name: str) -> None:
    run = joined[name]
    scores, _ = topwork.load(run.path, workers=0).forward_all(_pixels(run, photos))
    np.testing.assert_array_equal(scores, run.predictions.scores)


@pytest.mark.parametrize("name", HEADS)
def test_the_module_scores_as_the_run_did(joined: topwork.Comparison, photos: Path, name: str) -> None:
    run = joined[name]
    subject = load_run(run.path)
    x = normalize(_pixels(run, photos), subject.spec, torch.device("cpu"))
    with torch.inference_mode():
        scores = subject.predicted_scores(x).double().numpy()
    np.testing.assert_allclose(scores, run.predictions.scores, atol=2e-4, rtol=2e-4)


def test_the_features_of_each_network_have_length_one(joined: topwork.Comparison, photos: Path) -> None:
    run = joined["linear"]
    _, features = topwork.load(run.path, workers=0).forward_all(_pixels(run, photos))
    sizes = [timm.create_model(name, num_classes=0).num_features for name in _networks(run)]
    parts = np.split(features, np.cumsum(sizes)[:-1], axis=1)
    assert [part.shape[1] for part in parts] == sizes
    for part in parts:
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(("name", "format"), [("svm", "torch-export"), ("mlp", "onnx")])
def test_it_is_exported_as_one_graph(joined: topwork.Comparison, tmp_path: Path, name: str, format: str) -> None:
    result = topwork.export(joined[name].path, format, out=tmp_path / "out", quiet=True)
    assert result.agreement.within_tolerance
    assert {path.name for path in (tmp_path / "out").iterdir()} == {result.path.name, "export.json"}


def test_it_is_served(joined: topwork.Comparison, photos: Path) -> None:
    run = joined["svm"]
    image = run.predictions.ids[0]
    expected = next(iter(topwork.predict(run.path, [photos / image], workers=0)))
    with serving(run.path, workers=1) as server:
        (found,) = server.post("/predict", [(Path(image).name, (photos / image).read_bytes())]).json["predictions"]
    assert (found["label"], found["probability"]) == (expected.label, expected.probability)


def test_its_page_shows_it(joined: topwork.Comparison) -> None:
    page = topwork.show(joined["svm"].path, quick=True, quiet=True).path.read_text("utf-8")
    for name in _networks(joined["svm"]):
        assert f"{name}." in page


@pytest.mark.parametrize("name", ["linear", "svm"])
def test_the_maps_of_all_networks_add_up_to_the_score(joined: topwork.Comparison, photos: Path, name: str) -> None:
    subject = load_run(joined[name].path)
    x = normalize(_pixels(joined[name], photos)[:2], subject.spec, torch.device("cpu"))
    stages = stages_by_network(subject.backbone, list_layers(subject.backbone, x))
    by_network = [last_maps(subject, x, [0, 2], [own]) for own in stages[:2]]  # the third has a class token
    for network, maps in zip(NAMES, by_network, strict=False):
        assert maps is not None
        assert maps.exact
        assert maps.layer.startswith(f"{network}.")
    total = add_maps([maps for maps in by_network if maps])
    with torch.inference_mode():
        features = subject.backbone(x)
        features[:, : subject.backbone.columns(NAMES[1]).stop] = 0
        rest = subject.head(features).double().numpy()[:, [0, 2]]  # the constant, and what the third network adds
        scores = subject.score(x).double().numpy()[:, [0, 2]]
    np.testing.assert_allclose(total.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(total.values.sum(axis=(2, 3)) + rest, scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total.bias, rest, rtol=1e-4, atol=1e-5)


def test_maps_of_different_grids_add_up() -> None:
    rng = np.random.default_rng(0)
    scores = np.zeros((1, 1))
    maps = [
        ClassActivationMaps("a", "exact", (0,), rng.normal(size=(1, 1, side, side)), scores, True, scores)
        for side in (7, 9, 4)
    ]
    total = add_maps(maps)
    assert total.values.shape == (1, 1, 9, 9)
    np.testing.assert_allclose(total.values.sum(), sum(one.values.sum() for one in maps), rtol=1e-5)
    assert total.exact
    even = add_maps([replace(one, values=np.full_like(one.values, 1 / one.values[0, 0].size)) for one in maps])
    np.testing.assert_allclose(even.values, 3 / 81, rtol=1e-6)


def test_what_is_stored_says_what_was_joined(joined: topwork.Comparison) -> None:
    facts = json.loads((joined["svm"].path / "model" / "model.json").read_text())
    assert [member["model"] for member in facts["members"]] == facts["model"].split("+")
    assert facts["members"][0]["mean"] == facts["input"]["mean"] != facts["members"][1]["mean"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda facts: facts.pop("members"),
        lambda facts: facts["members"].pop(),
        lambda facts: facts["members"].reverse(),
        lambda facts: facts["members"][1].update(std=[0, 0, 0]),
        lambda facts: facts.update(model="resnet18+resnet18"),
    ],
)
def test_an_edited_list_of_networks_is_refused(
    joined: topwork.Comparison, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    folder = Path(shutil.copytree(joined["svm"].path / "model", tmp_path / "model"))
    facts = json.loads((folder / "model.json").read_text())
    edit(facts)
    storage.replace_file(folder, "model.json", json.dumps(facts).encode())
    with pytest.raises(CorruptFile):
        topwork.load(folder)


def test_networks_after_one_of_them_extract_only_the_others(
    photos: Path, tmp_path: Path, options: Callable[[int], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    loud = FAST | {"quiet": False}
    topwork.train(photos, "linear", out=tmp_path / "one", **options(1), **FAST)
    topwork.train(photos, "linear", out=tmp_path / "three", **options(3), **loud)
    assert f"Features of {NAMES[1]}, {NAMES[2]}: 42 images" in capsys.readouterr().err
    topwork.train(photos, "linear", out=tmp_path / "two", **options(2), **loud)
    assert "Features" not in capsys.readouterr().err


def test_killed_is_never_killed(photos: Path, tmp_path: Path, options: Callable[[int], dict[str, Any]]) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    words = ["--strategy", "mlp", "--img-size", "64", "--precision", "float32", "--epochs", "40"]
    words += ["--set", "compute.threads=1", "--set", "compute.engine=torch", "-j", "0"]
    words += [word for name, value in options(3).items() for word in (f"--{name}", value)]
    assert command("train", photos, *words, "--out", unbroken).returncode == 0
    process = Started(["train", str(photos), *words, "--out", str(killed)], tmp_path / "output")
    while not list((killed / "checkpoints").glob("last-*")):
        assert process.is_alive(), process.text
        time.sleep(0.01)
    process.kill()
    assert not (killed / "metrics.json").exists()
    assert command("train", "--resume", killed, "--quiet").returncode == 0
    for file in ("history.jsonl", "predictions.csv", "model/weights.safetensors"):
        assert (killed / file).read_bytes() == (unbroken / file).read_bytes(), file
    assert Run(killed).metrics["test"] == Run(unbroken).metrics["test"]


def test_only_heads_learn_from_joined_networks(
    photos: Path, tmp_path: Path, options: Callable[[int], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for name, value in options(2).items() for word in (f"--{name}", value)]
    for strategy in ("finetune", "scratch"):
        done = command("train", photos, "--strategy", strategy, *words, "--out", tmp_path / strategy)
        assert f"{strategy} trains one network" in error(done, 2)
        assert not (tmp_path / strategy).exists()
    compared = topwork.compare(photos, out=tmp_path / "out", **options(2), **FAST | {"quiet": False})
    assert {run.strategy for run in compared} == {"svm", "mlp"}
    assert "scratch and finetune train one network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "weights", "reason"),
    [
        ("test_efficientnet+", "pretrained", "empty name"),
        ("test_efficientnet+test_efficientnet", "pretrained", "names a network twice"),
        ("test_efficientnet+test_resnet", "one.safetensors", "is for 1 of 2 networks"),
        ("test_efficientnet+no_such_network", "pretrained", "no_such_network"),
    ],
)
def test_what_cannot_be_joined_is_refused(photos: Path, tmp_path: Path, model: str, weights: str, reason: str) -> None:
    words = ["train", photos, "--strategy", "svm", "--model", model, "--weights", weights, "--out", tmp_path / "out"]
    assert reason in error(command(*words), 2)


def test_a_size_that_a_network_cannot_take_is_refused(files: dict[str, str]) -> None:
    model, weights = "test_efficientnet+test_vit", f"{files['test_efficientnet']}+{files['test_vit']}"
    with pytest.raises(topwork.TopworkError, match=r"test_vit cannot be joined to test_efficientnet at 100 x 100"):
        create(model, find_weights(model, weights), 100)


def test_every_network_gets_the_image_of_the_first(options: Callable[[int], dict[str, Any]]) -> None:
    chosen = options(3)
    backbone = create(chosen["model"], find_weights(**chosen), 64)
    assert {(member.spec.size, member.spec.resize_size, member.spec.interpolation) for member in backbone.members} == {
        (64, backbone.spec.resize_size, backbone.spec.interpolation)
    }
    assert backbone.spec == backbone.members[0].spec
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    for member in backbone.members:
        own = normalize(pixels, member.spec, torch.device("cpu"))
        x = normalize(pixels, backbone.spec, torch.device("cpu"))
        assert torch.equal(renormalize(x, backbone.spec, member.spec), own)
        torch.testing.assert_close(backbone.module.input_of(member.model, x), own, atol=1e-5, rtol=1e-5)


def test_the_frozen_networks_in_the_bundle_are_those_of_the_files(
    joined: topwork.Comparison, files: dict[str, str]
) -> None:
    stored = safetensors.torch.load(storage.read_folder(joined["svm"].path / "model")["weights.safetensors"])
    for name in _networks(joined["svm"]):
        for tensor, value in safetensors.torch.load_file(files[name]).items():
            assert torch.equal(stored[f"backbone.{name}.{tensor}"], value)
    assert len(read_split(joined.path / "split.csv").ids["test"]) == len(joined["svm"].predictions.ids)
