"""Predictions by an image and its mirror image: the mean of both, where images held out say that it helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from tests.drawn_features import DrawnFeatures
from torch import nn

from topwork.core.progress import Progress
from topwork.strategies import STRATEGIES, load, mirroring
from topwork.strategies.base import head_scores
from topwork.strategies.mirrored import MirroredBackbone, MirroredFeatures
from topwork.training import image_task
from topwork.training.context import RunContext

HEADS = [name for name, info in STRATEGIES.items() if not info.trains_network]
QUICK: dict[str, dict[str, Any]] = {"mlp": {"epochs": 2, "hidden": 16, "batch_size": 32}}


class TwoViews(DrawnFeatures):
    """Views with noise of their own; or, if ``left_right``, a mirrored image looks as one of the other class."""

    def __init__(self, left_right: bool = False) -> None:
        super().__init__(2, 150, 1, 1.5)
        rng = np.random.default_rng(1)
        self._mirrored = {}
        for split, plain in self._features.items():
            own = np.stack([plain[self.labels[split] == k].mean(axis=0) for k in range(2)])
            noise = plain - own[self.labels[split]]
            other = 1 - self.labels[split] if left_right else self.labels[split]
            self._mirrored[split] = (own[other] + (noise if left_right else rng.permuted(noise, axis=1))).astype("f4")

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        self.views.add(mirrored)
        return (self._mirrored if mirrored else self._features)["val" if split == "test" else split]


def _context(drawn: DrawnFeatures, folder: Path) -> RunContext:
    return drawn.context(folder, balance=False)


@pytest.mark.parametrize("folds", [0, 5])
def test_images_held_out_decide_whether_both_views_are_used(folds: int, tmp_path: Path) -> None:
    for left_right, expected in ((False, True), (True, False)):
        settings = load("svm").Config(folds=folds)
        assert mirroring.resolve_tta(settings, _context(TwoViews(left_right), tmp_path)) is expected


def test_few_images_cannot_decide_and_an_explicit_setting_stays(tmp_path: Path) -> None:
    drawn = DrawnFeatures(2, 30, 1, 3.0)
    context = _context(drawn, tmp_path)
    drawn.load = cast("Any", lambda *_: pytest.fail("no features are needed"))
    for name in HEADS:
        strategy = load(name)
        assert strategy.resolve(strategy.Config(), context).tta is False
        assert strategy.resolve(strategy.Config(tta=True), context).tta is True


def test_a_sample_of_many_images_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(mirroring, "MAX_IMAGES", 120)
    real = mirroring.select_c
    monkeypatch.setattr(
        mirroring,
        "select_c",
        lambda kind, Cs, data, *rest, score: seen.append(data["train"]) or real(kind, Cs, data, *rest, score=score),
    )
    assert mirroring.resolve_tta(load("svm").Config(), _context(TwoViews(), tmp_path)) is True
    assert [len(labels) for _, labels in seen] == [120, 120]


def test_heads_of_a_comparison_ask_once_and_each_pays_for_the_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(mirroring, "_value", lambda folds, context: float(len(asked.append(folds) or asked)))
    drawn = TwoViews()
    context = _context(drawn, tmp_path)
    for name in ("svm", "linear"):
        drawn.views.clear()
        assert mirroring.resolve_tta(load(name).Config(), replace(context, folder=tmp_path / name)) is True
        assert drawn.views == {False, True}
    assert asked == [5, 5]
    fewer = {**context.splits.ids, "train": context.splits.ids["train"][1:]}
    for changed in (
        {"config": context.config.model_copy(update={"seed": 1})},
        {"config": context.config.model_copy(update={"metric": "log-loss"})},
        {"splits": replace(context.splits, ids=fewer)},
        {"tta_values": {}},  # of a resume
    ):
        mirroring.resolve_tta(load("svm").Config(), replace(context, **changed))
    assert asked == [5] * 10
    mirroring.resolve_tta(load("svm").Config(folds=0), context)
    assert asked[10:] == [0, 0]


@pytest.mark.parametrize("name", HEADS)
def test_a_head_learns_from_and_predicts_the_mean_of_both_views(name: str, tmp_path: Path) -> None:
    """The same as a head on features of one view that happen to be these means."""
    strategy, both, one = load(name), TwoViews(), TwoViews()
    one._features = {split: (plain + one._mirrored[split]) / 2 for split, plain in one._features.items()}
    one._mirrored = one._features
    found = []
    for drawn, tta in ((both, True), (one, False)):
        context = _context(drawn, tmp_path / str(tta))
        config = strategy.resolve(strategy.Config(tta=tta, **QUICK.get(name, {})), context)
        found.append(strategy.fit(config, context))
    ours, expected = found
    assert (ours.mirrored, expected.mirrored) == (True, False)
    assert both.views == {False, True}
    if name != "mlp":  # which is trained on single views as well
        np.testing.assert_array_equal(ours.out_of_fold, expected.out_of_fold)
        np.testing.assert_array_equal(ours.scores("test"), expected.scores("test"))
    head = strategy.head(ours.tensors)
    np.testing.assert_array_equal(ours.scores("test"), head_scores(head, one.load("val")))


def test_the_backbone_of_both_views_has_the_features_of_the_store() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(27, 5)).eval()
    x = torch.randn(4, 3, 3, 3)
    with torch.inference_mode():
        views = {False: net(x).numpy(), True: net(x.flip(3)).numpy()}
        store = SimpleNamespace(load=lambda split, mirrored=False: views[mirrored], views=set(), engine="", seconds=0.0)
        found = MirroredFeatures(cast("Any", store)).load("train")
        np.testing.assert_allclose(MirroredBackbone(net)(x).numpy(), found, atol=1e-6)
        np.testing.assert_allclose(MirroredBackbone(net)(x.flip(3)).numpy(), found, atol=1e-6)


@pytest.mark.parametrize("left_right", [False, True])
def test_validation_images_decide_for_a_network(left_right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By log-loss: the mean removes noise, or contradicts itself where the classes are left and right."""
    rng, labels = np.random.default_rng(0), np.arange(200) % 2
    views = [np.eye(2)[labels] + rng.normal(0, 0.7, (200, 2)) for _ in range(2)]
    both = (views[0] + (views[1][:, ::-1] if left_right else views[1])) / 2
    monkeypatch.setattr(
        image_task, "outputs", lambda *_: ((both if _[3] else views[0]).astype("f4"), np.zeros((200, 1), "f4"))
    )
    splits = SimpleNamespace(ids={"val": [str(i) for i in range(200)]}, labels={"val": labels})
    context = cast("Any", SimpleNamespace(splits=splits, progress=Progress(quiet=True)))
    found = image_task.NetworkOutputs(nn.Identity(), context, "auto")
    assert found.mirrored is not left_right
    np.testing.assert_array_equal(found.scores("val"), (views[0] if left_right else both).astype("f4"))
    assert image_task.NetworkOutputs(nn.Identity(), context, not found.mirrored).mirrored is left_right


def test_no_mirror_images_where_none_are_to_be_seen() -> None:
    with pytest.raises(ValueError, match="tta mirrors images"):
        load("finetune").Config(tta=True, flip="none")
