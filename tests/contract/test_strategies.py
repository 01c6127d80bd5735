"""Every strategy keeps the same contract: files, figures, frozen backbone, resume, bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from tests.commands import SVG, TIMED

import topwork
from topwork.bundle.format import read_bundle
from topwork.bundle.network import load_network
from topwork.core import storage
from topwork.core.artifacts import read_split
from topwork.data.images import load_image
from topwork.evaluation import evaluate
from topwork.explain.inspected_model import load_run
from topwork.pipeline import outputs
from topwork.report import charts
from topwork.strategies import STRATEGIES, load
from topwork.strategies.mirrored import MirroredBackbone

FAST: dict[str, Any] = {"img_size": 32, "precision": "float32", "workers": 0, "threads": 1, "quiet": True}
SETS = (
    "scratch.epochs=2",
    "finetune.epochs=2",
    "mlp.epochs=3",
    "svm.Cs=[1e-3, 1e-2]",
    "svm.tta=true",
    "mlp.tta=true",
    "knn.tta=true",
    "finetune.tta=true",
    "scratch.batch_size=8",
    "finetune.batch_size=8",
)


@pytest.fixture(scope="module")
def comparison(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> topwork.Comparison:
    out = tmp_path_factory.mktemp("contract") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "_svg", SVG)  # these runs leave nothing out
        patch.setattr(outputs, "forward_milliseconds_per_image", TIMED)
        patch.setenv("TOPWORK_CACHE", str(out.parent / "cache"))
        return topwork.compare(photos, out=out, strategies=list(STRATEGIES), sets=SETS, **FAST)


def test_the_dict_and_the_names_agree() -> None:
    assert all(load(name).name == name for name in STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
class TestEveryStrategy:
    def test_it_writes_the_files_of_a_run(self, comparison: topwork.Comparison, name: str) -> None:
        folder = comparison[name].path
        for file in ("run.json", "config.toml", "environment.json", "manifest.csv", "split.csv", "predictions.csv"):
            assert (folder / file).is_file(), file
        assert (folder / "report.html").stat().st_size < 3e6
        assert comparison[name].status == "done"
        for config in (folder / "config.toml", comparison.path / "config.toml"):
            assert '"auto"' not in config.read_text()

    def test_every_test_image_is_predicted_once_and_metrics_follow(
        self, comparison: topwork.Comparison, name: str
    ) -> None:
        run = comparison[name]
        splits = read_split(run.path / "split.csv")
        assert run.predictions.ids == splits.ids["test"]
        assert evaluate(run.predictions)["accuracy"] == run.metrics["test"]["accuracy"]
        np.testing.assert_allclose(run.predictions.probabilities.sum(axis=1), 1, atol=1e-9)

    def test_scores_say_their_kind(self, comparison: topwork.Comparison, name: str) -> None:
        assert comparison[name].predictions.kind == ("margin" if name == "svm" else "logit")

    def test_the_frozen_backbone_in_the_bundle_is_the_pretrained_one(
        self, comparison: topwork.Comparison, name: str
    ) -> None:
        folder = comparison[name].path / "model"
        tensors = safetensors.torch.load(storage.read_folder(folder)["weights.safetensors"])
        facts = json.loads((folder / "model.json").read_text())
        assert facts["classes"] == ["class0", "class1", "class2"]
        pretrained = _pretrained()
        same = [bool((tensors[f"backbone.{k}"] == v).all()) for k, v in pretrained.items() if v.ndim > 1]
        assert all(same) if not STRATEGIES[name].trains_network else not any(same)

    def test_it_learns_what_it_can(self, comparison: topwork.Comparison, name: str) -> None:
        if name != "scratch":  # six steps from random weights learn nothing
            assert comparison[name].metrics["test"]["accuracy"]["value"] > 0.6

    def test_the_bundle_scores_as_the_run_did(self, comparison: topwork.Comparison, photos: Path, name: str) -> None:
        _scores_again(comparison[name], photos)

    def test_the_bundle_says_how_scores_become_an_answer(self, comparison: topwork.Comparison, name: str) -> None:
        run, bundle = comparison[name], read_bundle(comparison[name].path / "model")
        assert bundle.decision == run.metrics["decision"]
        assert bundle.temperature == 1 if name == "svm" else bundle.temperature > 0
        sure = load(name).probabilities(run.predictions.scores, bundle.head, bundle.temperature)
        np.testing.assert_allclose(sure, run.predictions.probabilities, atol=1e-12)
        below, facts = bundle.decision["confidence_threshold"], bundle.decision["abstain"]["test"]
        assert facts["coverage"] == (sure.max(axis=1) >= below).mean()

    def test_the_bundle_knows_training_images_from_foreign_ones(
        self, comparison: topwork.Comparison, photos: Path, name: str
    ) -> None:
        network, bundle = load_network(comparison[name].path / "model")
        splits = read_split(comparison.path / "split.csv")
        assert bundle.neighbours is not None
        learned = ("train",) if STRATEGIES[name].trains_network else ("train", "val")
        assert bundle.neighbours.ids == sum((splits.ids[split] for split in learned), ())
        labels = np.concatenate([splits.labels[split] for split in learned])
        np.testing.assert_array_equal(bundle.neighbours.labels, labels)
        assert bundle.decision["images"] == len(splits.ids["val"] if learned == ("train",) else labels)
        known = [load_image(photos / image) for image in (*splits.ids["train"][:3], *splits.ids["test"])]
        subject = load_run(comparison[name].path)
        backbone = MirroredBackbone(network.backbone) if bundle.mirrored else network.backbone
        with torch.inference_mode():
            features = backbone(subject.inputs(known)).numpy()
            noise = backbone(subject.inputs([Image.effect_noise((48, 48), 120).convert("RGB")])).numpy()
        distances = bundle.neighbours.distances(features)
        np.testing.assert_allclose(distances[:3], 0, atol=2e-3)  # they are among them, and k is 1 here
        ood = bundle.decision["ood"]
        assert (distances[3:] > ood["threshold"]).mean() == ood["test_false_positive_rate"]["value"]
        if name != "scratch":  # nearly random weights see little
            assert bundle.neighbours.distances(noise)[0] > ood["threshold"]

    def test_it_says_what_it_costs(self, comparison: topwork.Comparison, name: str) -> None:
        costs = comparison[name].metrics["costs"]
        splits = read_split(comparison.path / "split.csv")
        train, val = (len(splits.ids[split]) for split in ("train", "val"))
        views = 1 if name == "linear" else 2  # the others see mirror images, or train for two epochs
        assert costs["forward_passes"] == views * (train + val)
        assert costs["disk_bytes"] > 4 * costs["parameters"]
        assert costs["forward_milliseconds_per_image"] > 0
        assert (costs["feature_seconds"] > 0) == STRATEGIES[name].features
        assert costs["peak_memory"] > 1e8  # torch alone takes more

    def test_it_says_that_it_was_cut_short(self, comparison: topwork.Comparison, name: str) -> None:
        found, trained = comparison[name].metrics["cut_short"], len(comparison[name].history)
        ordinary = {"scratch": 100, "finetune": 40, "mlp": 40}.get(name)
        if ordinary is None:
            assert found is None
        else:
            assert found == {
                "epochs": trained,
                "ordinary": ordinary,
                "limit": "epochs",
                "improving": found["improving"],
            }

    def test_it_says_what_it_trained(self, comparison: topwork.Comparison, name: str) -> None:
        costs = comparison[name].metrics["costs"]
        if name == "mlp":
            assert costs["trained_parameters"] == 1280 * 1024 + 1024 + 1024 * 3 + 3
            assert costs["trained_tensors"] == 4
            assert costs["all_tensors"] == 147 + 4
        if name == "knn":
            assert costs["trained_parameters"] == 0
        if name in ("linear", "svm"):
            assert costs["trained_parameters"] == (1280 + 1) * 3
        if name in ("scratch", "finetune"):
            assert costs["trained_parameters"] == costs["parameters"] == 3371008 + 1281 * 3


def _scores_again(run: topwork.Run, photos: Path) -> None:
    subject = load_run(run.path)
    x = subject.inputs([load_image(photos / image) for image in run.predictions.ids])
    with torch.inference_mode():
        scores = subject.predicted_scores(x).double().numpy()
    np.testing.assert_allclose(scores, run.predictions.scores, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_bundle_with_a_radial_kernel_scores_as_the_run_did(photos: Path, tmp_path: Path, classes: int) -> None:
    data = tmp_path / "data"
    for i in range(classes):
        shutil.copytree(photos / f"class{i}", data / f"class{i}")
    run = topwork.train(data, "svm", out=tmp_path / "out", sets=["svm.kernel=rbf"], **FAST)
    _scores_again(run, data)


def _pretrained() -> dict[str, Any]:
    from topwork.backbones.build import create
    from topwork.backbones.weights import find_weights

    return create("tf_efficientnet_lite0", find_weights("tf_efficientnet_lite0", "pretrained")).module.state_dict()


def test_python_objects_show_themselves(comparison: topwork.Comparison) -> None:
    html = comparison._repr_html_()
    assert html.count("<tr>") == 1 + len(STRATEGIES)
    assert comparison.report.is_file()
    assert set(comparison.history) == set(STRATEGIES)
    assert [record.epoch for record in comparison["mlp"].history] == [1, 2, 3]


def test_resuming_a_finished_comparison_changes_nothing(comparison: topwork.Comparison, photos: Path) -> None:
    before = {path: path.read_bytes() for path in comparison.path.rglob("predictions.csv")}
    again = topwork.compare(photos, strategies=list(STRATEGIES), resume=comparison.path, sets=SETS, **FAST)
    assert again.metrics == comparison.metrics
    assert {path: path.read_bytes() for path in comparison.path.rglob("predictions.csv")} == before


def test_a_changed_setting_is_refused_by_name(comparison: topwork.Comparison, photos: Path) -> None:
    with pytest.raises(topwork.TopworkError, match=r"settings\.mlp\.lr") as caught:
        topwork.compare(photos, strategies=list(STRATEGIES), resume=comparison.path, sets=(*SETS, "mlp.lr=0.1"), **FAST)
    assert caught.value.exit_status == 2


def test_bad_images_change_nothing(photos: Path, tmp_path: Path, comparison: topwork.Comparison) -> None:
    dirty = tmp_path / "stripes"
    shutil.copytree(photos, dirty)
    (dirty / "class0" / "000-empty.jpg").touch()
    (dirty / "class1" / "half.png").write_bytes((photos / "class1" / "003.png").read_bytes()[:700])
    (dirty / ".hidden").mkdir()
    run = topwork.compare(dirty, out=tmp_path / "out", sets=SETS, strategies=["mlp"], **FAST)["mlp"]
    clean = comparison["mlp"]
    assert run.predictions.ids == clean.predictions.ids
    assert (run.path / "model" / "weights.safetensors").read_bytes() == (
        clean.path / "model" / "weights.safetensors"
    ).read_bytes()
    assert "000-empty.jpg" in (run.path / "report.html").read_text()


def test_no_figure_of_test_chooses_anything(
    photos: Path, tmp_path: Path, comparison: topwork.Comparison, tiny_network: dict[str, Any]
) -> None:
    """Swap the labels of all test images: the weights stay the same, only the figures of test change."""
    splits = read_split(comparison.path / "split.csv")
    roots = tmp_path / "splits"
    for swapped in (False, True):
        root = roots / str(swapped)
        for split, ids in splits.ids.items():
            for image in ids:
                label = image.split("/")[0]
                if split == "test" and swapped:
                    label = {"class0": "class1", "class1": "class2", "class2": "class0"}[label]
                target = root / split / label / image.replace("/", "-")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(photos / image, target)
    runs = [
        topwork.compare(
            roots / str(s),
            strategies=list(STRATEGIES),
            out=tmp_path / f"out{s}",
            sets=SETS,
            learning_curve=["none"],
            **tiny_network,
            **FAST,
        )
        for s in (False, True)
    ]
    for name in STRATEGIES:
        a, b = (run[name] for run in runs)
        weights = [(run.path / "model" / "weights.safetensors").read_bytes() for run in (a, b)]
        assert weights[0] == weights[1], name
        assert a.metrics["val"] == b.metrics["val"]
        one, other = (run.metrics["decision"] for run in (a, b))
        assert [one[key] for key in ("temperature", "confidence_threshold")] == [
            other[key] for key in ("temperature", "confidence_threshold")
        ]
        assert one["ood"]["threshold"] == other["ood"]["threshold"]
    assert runs[0]["mlp"].metrics["test"] != runs[1]["mlp"].metrics["test"]
