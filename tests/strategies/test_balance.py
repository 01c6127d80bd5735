"""`--balance`: rare classes count as much as common ones, in every strategy, at any imbalance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.class_weight import compute_sample_weight
from tests.drawings import write_folder
from tests.drawn_features import SIZE, DrawnFeatures
from torch import nn

import topwork
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.transforms import Mixer
from topwork.linear.normalize import fit_normalizer
from topwork.strategies import load
from topwork.strategies.base import CachedBatches, TrainedStrategy
from topwork.strategies.linear_head import fit_linear_head
from topwork.training.epoch_choice import ValMetrics
from topwork.training.image_task import val_metrics
from topwork.training.loop import TrainingTask, fit

HEADS = ["mlp", "svm", "linear", "knn"]


def _fit(name: str, drawn: DrawnFeatures, folder: Path, balance: bool, **settings: Any) -> TrainedStrategy:
    """With ``folds=0``: the validation set has as many images of the rare class as of the others."""
    strategy, context = load(name), drawn.context(folder / f"{name}-{balance}", balance)
    return strategy.fit(strategy.resolve(strategy.Config(folds=0, **settings), context), context)


@pytest.mark.parametrize("ratio", [10, 25, 100])
@pytest.mark.parametrize(("classes", "rare"), [(2, 4), (5, 2), (50, 1)])
def test_separable_classes_are_told_apart_at_any_imbalance(classes: int, rare: int, ratio: int, tmp_path: Path) -> None:
    drawn = DrawnFeatures(classes, rare, ratio, distance=14)
    batch = 32 if classes < 50 else 128
    epochs = max(2, 150 // (len(drawn.labels["train"]) // batch))
    for name in HEADS:
        settings = {"epochs": epochs, "lr": 2e-3, "batch_size": batch} if name == "mlp" else {}
        recalls = drawn.recalls(_fit(name, drawn, tmp_path, True, **settings).scores("val"))
        assert recalls.mean() >= 0.95, name
        assert recalls[0] >= 0.95, name


@pytest.mark.parametrize("name", HEADS)
def test_more_images_of_a_rare_class_are_found(name: str, tmp_path: Path) -> None:
    drawn = DrawnFeatures(3, 8, 25, distance=2.5)
    settings: dict[str, Any] = {"epochs": 10} if name == "mlp" else {"neighbours": (20,)} if name == "knn" else {}
    plain, balanced = (
        drawn.recalls(_fit(name, drawn, tmp_path, balance, **settings).scores("val")) for balance in (False, True)
    )
    assert balanced[0] >= plain[0] + 0.1
    assert balanced.mean() > plain.mean()


@pytest.mark.parametrize("name", HEADS)
def test_classes_of_equal_size_give_the_same_bits(name: str, tmp_path: Path) -> None:
    drawn = DrawnFeatures(3, 10, 1, distance=3)
    settings = {"epochs": 3} if name == "mlp" else {}
    plain, balanced = (_fit(name, drawn, tmp_path, balance, **settings).tensors for balance in (False, True))
    assert all(torch.equal(plain[key], balanced[key]) for key in plain | balanced)


@pytest.mark.parametrize("classes", [2, 4])
def test_linear_classifiers_are_those_of_scikit_learn_with_balanced_weights(classes: int, tmp_path: Path) -> None:
    drawn, c = DrawnFeatures(classes, 6, 10, distance=3), 0.05
    normalizer = fit_normalizer(drawn.load("train"))
    x, x_val = (normalizer(drawn.load(split)).astype(np.float64) for split in ("train", "val"))
    biased, biased_val = (np.pad(z, ((0, 0), (0, 1)), constant_values=10.0) for z in (x, x_val))
    labels = drawn.labels["train"]
    weights = compute_sample_weight("balanced", labels)  # LIBLINEAR weights only the positive class of one-vs-rest
    machine = LinearSVC(C=c, dual=False, tol=1e-10, max_iter=100_000, class_weight="balanced" if classes == 2 else None)
    machine.fit(x, labels, None if classes == 2 else weights)
    radial = SVC(C=5.0, class_weight="balanced", gamma="scale").fit(x, labels)
    softmax = LogisticRegression(
        C=c * (2 if classes == 2 else 1), class_weight="balanced", fit_intercept=False, tol=1e-10, max_iter=10_000
    ).fit(biased, labels)
    expected = {
        "svm": machine.decision_function(x_val),
        "rbf": radial.decision_function(x_val),
        "linear": softmax.decision_function(biased_val),
    }
    for name, margins in expected.items():
        settings = {"kernel": "rbf", "Cs": (5.0,)} if name == "rbf" else {"Cs": (c,)}
        found = _fit("linear" if name == "linear" else "svm", drawn, tmp_path / name, True, **settings)
        scores = found.scores("val")
        if classes == 2:
            scores = scores[:, 1] - (scores[:, 0] if name == "linear" else 0)
        np.testing.assert_allclose(scores, margins, atol=0.05, err_msg=name)


def test_the_fitted_head_of_fine_tuning_has_the_same_weights(tmp_path: Path) -> None:
    """At the optimum, with a bias that is hardly penalized, the weighted mean probability of each class is 1 / K."""
    drawn = DrawnFeatures(3, 8, 20, distance=2)
    context = drawn.context(tmp_path, True)
    weight, bias = fit_linear_head(drawn, context.splits, "cpu", context.image_weights)
    logits = torch.from_numpy(drawn.load("train") @ weight.T + bias)
    assert context.image_weights is not None
    means = np.average(logits.softmax(1).numpy(), axis=0, weights=context.image_weights)
    np.testing.assert_allclose(means, 1 / 3, atol=0.01)


@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
@pytest.mark.parametrize(("classes", "ratio"), [(2, 100), (5, 25), (50, 10)])
def test_networks_tell_separable_classes_apart_also_when_mixed(
    classes: int, ratio: int, mix: str, tmp_path: Path
) -> None:
    drawn = DrawnFeatures(classes, 4, ratio, distance=14, positive=False)
    context = drawn.context(tmp_path, True)
    batch = 128 if classes == 50 else 32
    steps = len(drawn.labels["train"]) // batch
    config = ImageTrainingConfig(
        epochs=max(2, 150 // steps), batch_size=batch, lr=4e-3, **({} if mix == "none" else {mix: 0.4})
    )
    mixer = Mixer(config, classes, 0)
    images = torch.from_numpy(drawn.load("train")).view(-1, 1, 6, 6)
    val = torch.from_numpy(drawn.load("val")).view(-1, 1, 6, 6)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 128), nn.ReLU(), nn.Linear(128, classes))

    def evaluate() -> ValMetrics:
        with torch.inference_mode():
            logits = model(val)
        worst = float(drawn.recalls(logits.numpy()).min())
        return replace(val_metrics(logits, drawn.labels["val"]), accuracy=worst)

    task = TrainingTask(
        model,
        [{"params": list(model.parameters()), "weight_decay": 0.05, "lr_scale": 1.0}],
        CachedBatches(lambda _: lambda rows: images[rows], context.targets, batch, 0),
        lambda pair, step: mixer(*pair, step),
        evaluate,
        quick=True,
    )
    state = fit(task, config, replace(context, on_epoch=lambda _: None), "drawn")
    assert state.history[-1].val_accuracy >= 0.8  # of the class that is found worst


def test_the_flag_reaches_a_network_and_its_report(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "drawn", classes=2, each=60, size=32)
    for number in range(6, 60):
        (root / "class1" / f"{number:03d}.png").unlink()
    run = topwork.train(
        root, "finetune", out=tmp_path / "out", balance=True, sets=("finetune.epochs=1", "finetune.lr=2e-5"),
        img_size=32, precision="float32", workers=0, threads=1, quiet=True,
    )  # fmt: skip
    assert run.metrics["val"]["balanced_accuracy"]["value"] >= 0.95
    assert "each class counted as much" in (tmp_path / "out" / "report.html").read_text()
