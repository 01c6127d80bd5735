"""Heads are fitted on training and validation images; what chooses and calibrates has not been seen by its fit."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score
from tests.drawn_features import SIZE, DrawnFeatures

from topwork.core.artifacts import ImageRow
from topwork.core.errors import Interrupted
from topwork.core.signals import Signals
from topwork.evaluation import target_metric
from topwork.evaluation.calibration import fit_temperature
from topwork.linear.selection import stratified_folds
from topwork.strategies import STRATEGIES, load, out_of_fold
from topwork.strategies.base import TrainedStrategy
from topwork.strategies.out_of_fold import join_validation
from topwork.training.context import RunContext

HEADS = [name for name, info in STRATEGIES.items() if not info.trains_network]
SETTINGS: dict[str, dict[str, Any]] = {
    "svm": {"Cs": (1e-3, 1e-2, 1.0)},
    "knn": {"neighbours": (1, 5)},
    "mlp": {"epochs": 20, "hidden": 128, "batch_size": 32, "lr": 5e-3},
}
GROUP = 4


class Groups(DrawnFeatures):
    """Groups of four nearly equal images, two of them for training and two for validation, with labels at random."""

    def __init__(self, classes: int, groups: int, seed: int = 0) -> None:
        self.views: set[bool] = set()
        rng = np.random.default_rng(seed)
        centers, labels = rng.normal(size=(groups, SIZE)), rng.permutation(np.arange(groups) % classes)
        group = np.repeat(np.arange(groups), GROUP // 2)
        self.group = {"train": group, "val": group}
        self.labels = dict.fromkeys(self.group, labels[group])
        self._features = {
            split: (centers[group] + 0.01 * rng.normal(size=(len(group), SIZE)) + 5).astype(np.float32)
            for split in self.group
        }

    def rows(self, ids: dict[str, tuple[str, ...]]) -> tuple[ImageRow, ...]:
        triples = [
            (image, label, group)
            for split in ids
            for image, label, group in zip(ids[split], self.labels[split], self.group[split], strict=True)
        ]
        return tuple(ImageRow(image, str(label), group=str(group)) for image, label, group in triples)


def _fit(name: str, drawn: DrawnFeatures, folder: Path, **settings: Any) -> TrainedStrategy:
    strategy, context = load(name), drawn.context(folder, balance=False)
    config = strategy.Config(**(SETTINGS.get(name, {}) | settings))
    return strategy.fit(strategy.resolve(config, context), context)


def _accuracy(trained: TrainedStrategy, drawn: DrawnFeatures, folder: Path) -> float:
    scores, labels = trained.held_out(drawn.context(folder, balance=False).splits)
    assert len(scores) == len(drawn.labels["train"]) + len(drawn.labels["val"])
    return float((scores.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("settings", [{}, {"kernel": "rbf"}], ids=["", "rbf"])
@pytest.mark.parametrize("name", HEADS)
def test_no_prediction_comes_from_a_fit_that_has_seen_the_image_or_its_group(
    name: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels at random can be known only from the same group."""
    if settings and name != "svm":
        pytest.skip("an option of svm")
    drawn = Groups(classes=3, groups=60)
    trained = _fit(name, drawn, tmp_path / "a", **settings)
    assert abs(_accuracy(trained, drawn, tmp_path) - 1 / 3) < 0.2  # 60 groups: three standard errors
    scores, _ = trained.held_out(drawn.context(tmp_path, False).splits)
    np.testing.assert_array_equal(trained.scores("val"), scores[120:])
    monkeypatch.setattr(out_of_fold, "unit_folds", _leaking_folds)
    assert _accuracy(_fit(name, drawn, tmp_path / "b", **settings), drawn, tmp_path) > 0.8


def _leaking_folds(rows: Any, ids: Any, folds: int, seed: int) -> list[np.ndarray]:
    return stratified_folds(np.zeros(len(ids), dtype=np.int64), folds, seed)


@pytest.mark.parametrize("name", HEADS)
def test_the_final_fit_has_the_labels_of_the_validation_images(name: str, tmp_path: Path) -> None:
    """A third class that only the validation images have."""
    drawn = DrawnFeatures(3, 40, 1, distance=12)
    keep = drawn.labels["train"] != 0
    drawn.labels["train"] = drawn.labels["train"][keep]
    drawn._features["train"] = drawn._features["train"][keep]
    trained = _fit(name, drawn, tmp_path)
    assert drawn.recalls(trained.scores("val"))[0] > 0.9  # of other folds
    apart = _fit(name, drawn, tmp_path / "apart", folds=0)
    assert drawn.recalls(apart.scores("val"))[0] == 0


@pytest.mark.parametrize("metric", ["balanced-accuracy", "macro-f1", "roc-auc", "log-loss"])
@pytest.mark.parametrize("name", ["linear", "svm", "knn"])
def test_the_setting_is_the_best_by_the_metric_that_decides(name: str, metric: str, tmp_path: Path) -> None:
    """Of fits with one value each, by scikit-learn's metric."""
    drawn, strategy = DrawnFeatures(2, 15, 8, distance=2.5), load(name)
    context = drawn.context(tmp_path, balance=False)
    context = replace(context, config=context.config.model_copy(update={"metric": metric}))
    key, values = ("neighbours", (1, 5, 40)) if name == "knn" else ("Cs", (1e-5, 1e-2, 1.0))
    shown = target_metric.NAMES[metric]

    def fit(*some: float) -> TrainedStrategy:
        config = strategy.Config(**{key: some})
        return strategy.fit(strategy.resolve(config, context), context)

    found, alone = fit(*values), {value: _metric(metric, fit(value), context) for value in values}
    best = (min if metric == "log-loss" else max)(alone, key=alone.__getitem__)
    assert found.selection["k" if name == "knn" else "C"] == best
    assert found.selection[f"5-fold {shown}"] == pytest.approx(alone[best], abs=2e-3)


def _metric(metric: str, trained: TrainedStrategy, context: RunContext) -> float:
    scores, labels = trained.held_out(context.splits)
    predicted = scores.argmax(axis=1)
    if metric == "balanced-accuracy":
        return balanced_accuracy_score(labels, predicted)
    if metric == "macro-f1":
        return f1_score(labels, predicted, average="macro")
    if metric == "roc-auc":
        return roc_auc_score(labels, scores[:, 1] - scores[:, 0])
    strategy = load("svm" if trained.kind == "margin" else "linear")
    temperature = 1.0 if trained.kind == "margin" else fit_temperature(scores, labels)
    return log_loss(labels, strategy.probabilities(scores, trained.tensors, temperature))


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_are_whole_groups_with_the_classes_in_proportion(folds: int, tmp_path: Path) -> None:
    drawn = Groups(classes=3, groups=60)
    joined, found = join_validation(folds, drawn.context(tmp_path, balance=False))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(240))
    groups, labels = np.concatenate([drawn.group["train"], drawn.group["val"]]), joined.splits.labels["train"]
    assert len(found) == folds
    for fold in found:
        assert not np.intersect1d(groups[fold], np.delete(groups, fold)).size
        np.testing.assert_array_equal(np.bincount(labels[fold], minlength=3), 240 / folds / 3)


def test_a_class_of_few_groups_makes_fewer_folds_and_one_group_none(tmp_path: Path) -> None:
    for groups, expected in ((9, 3), (3, 0)):
        context = Groups(classes=3, groups=groups).context(tmp_path, balance=False)
        joined, found = join_validation(5, context)
        assert len(found) == expected
        assert (joined is context) == (not expected)  # then the validation set chooses


def test_without_validation_images_single_images_are_held_out_if_nothing_else_can_be(tmp_path: Path) -> None:
    """A point of a learning curve may have one group of each class."""
    context = Groups(classes=3, groups=3).context(tmp_path, balance=False)
    ids, labels = {**context.splits.ids, "val": ()}, {**context.splits.labels, "val": np.array([], dtype=np.int64)}
    context = replace(context, splits=replace(context.splits, ids=ids, labels=labels))
    _, found = join_validation(5, context)
    assert [len(fold) for fold in found] == [3, 3]


@pytest.mark.parametrize("name", HEADS)
def test_zero_folds_keep_the_validation_images_apart(name: str, tmp_path: Path) -> None:
    drawn = DrawnFeatures(3, 10, 1, distance=3)
    trained = _fit(name, drawn, tmp_path, folds=0)
    assert trained.out_of_fold is None
    scores, labels = trained.held_out(drawn.context(tmp_path, False).splits)
    np.testing.assert_array_equal(labels, drawn.labels["val"])
    np.testing.assert_array_equal(scores, trained.scores("val"))


class _StopAt(Signals):
    """A request to stop that comes at one of the steps."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def stop_requested(self) -> bool:
        self.left -= 1
        if not self.left:
            self.received = signal.SIGTERM
        return super().stop_requested()


@pytest.mark.parametrize("step", [1, 8, 9, 20])
def test_mlp_resumes_bit_for_bit_with_all_its_heads(step: int, tmp_path: Path) -> None:
    drawn = Groups(classes=3, groups=60)
    unbroken = _fit("mlp", drawn, tmp_path / "a")
    strategy, context = load("mlp"), drawn.context(tmp_path / "b", balance=False)
    config = strategy.Config(**SETTINGS["mlp"])
    with pytest.raises(Interrupted):
        strategy.fit(config, replace(context, signals=_StopAt(step)))
    resumed = strategy.fit(config, context)
    assert unbroken.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(value, resumed.tensors[name]) for name, value in unbroken.tensors.items())
    np.testing.assert_array_equal(unbroken.out_of_fold, resumed.out_of_fold)
    assert [vars(record) for record in unbroken.history] == [vars(record) for record in resumed.history]


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 5e-3), ("sgd", 0.05)])
def test_heads_of_mlp_side_by_side_learn_as_one_alone(optimizer: str, lr: float, tmp_path: Path) -> None:
    """Without dropout the head that is kept is that of a training without folds on the same images."""
    drawn = DrawnFeatures(3, 40, 1, distance=3)
    settings = {**SETTINGS["mlp"], "dropout": 0.0, "epochs": 1, "clip_norm": 1e9, "optimizer": optimizer, "lr": lr}
    together = _fit("mlp", drawn, tmp_path / "a", **settings)
    whole = DrawnFeatures(3, 40, 1, distance=3)
    whole.labels["train"] = np.concatenate([drawn.labels["train"], drawn.labels["val"]])
    whole._features["train"] = np.concatenate([drawn.load("train"), drawn.load("val")])
    alone = _fit("mlp", whole, tmp_path / "b", **settings, folds=0)
    for name, value in alone.tensors.items():
        np.testing.assert_allclose(together.tensors[name], value, atol=1e-4)
