"""Images that count more or less than others: in the loss, and in every strategy that trains."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight
from tests.drawings import draw

import topwork
from topwork.core.artifacts import ImageRow, Manifest, Splits
from topwork.core.errors import SettingsChanged
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import Targets, train_weights
from topwork.data.transforms import Mixer
from topwork.training.loop import _Training


def _loss(logits: torch.Tensor, target: torch.Tensor, smoothing: float) -> torch.Tensor:
    return _Training._loss(
        cast("Any", SimpleNamespace(config=SimpleNamespace(label_smoothing=smoothing))), logits, target
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from(["none", "mixup", "cutmix"]))
def test_the_loss_is_the_weighted_sum_of_the_images_smoothed_losses(seed: int, smoothing: float, mix: str) -> None:
    """Brute force: an image counts its weight, a mixed image its share of the weights of both."""
    rng = np.random.default_rng(seed)
    labels, weights = rng.integers(0, 4, 9), rng.uniform(0.01, 100, 9)
    logits = rng.normal(size=(9, 4))
    mixer = Mixer(ImageTrainingConfig(**({} if mix == "none" else {mix: 1.0})), 4, seed)
    shown = torch.arange(1.0, 10.0).view(9, 1, 1, 1).expand(9, 1, 12, 12)  # the grey of an image is its number
    pixels, target = mixer(shown, Targets(labels, 4, weights)[np.arange(9)], 3)
    expected = 0.0
    for i, image in enumerate(pixels):
        other = i - 1 if i else 8
        share = float((image.mean() - (other + 1)) / (i - other)) if mix != "none" else 1.0
        for part, j in ((share, i), (1 - share, other)):
            smoothed = [(k == labels[j]) * (1 - smoothing) + smoothing / 4 for k in range(4)]
            log_p = logits[i] - np.log(np.exp(logits[i]).sum())
            expected -= part * weights[j] * float(np.dot(smoothed, log_p)) / 9
    found = float(_loss(torch.from_numpy(logits), target.double(), smoothing))
    assert found == pytest.approx(expected, rel=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.floats(0.01, 0.5), st.floats(1, 1000))
def test_no_weight_pulls_an_image_away_from_its_smoothed_target(classes: int, smoothing: float, ratio: float) -> None:
    labels = np.arange(classes)
    weights = np.where(labels % 2, ratio, 1.0)
    smoothed = torch.eye(classes, dtype=torch.float64) * (1 - smoothing) + smoothing / classes
    logits = smoothed.log().requires_grad_()
    _loss(logits, Targets(labels, classes, weights)[labels].double(), smoothing).backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6 * ratio


def _rows(labels: np.ndarray, weights: np.ndarray) -> tuple[Manifest, Splits]:
    rows = tuple(
        ImageRow(str(i), str(label), weight=w) for i, (label, w) in enumerate(zip(labels, weights, strict=True))
    )
    names = tuple(str(k) for k in range(int(labels.max()) + 1))
    return Manifest(Path(), rows, "drawn"), Splits(names, {"train": tuple(row.id for row in rows)}, {"train": labels})


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=8), st.booleans())
@example([1, 1], True)  # all weights are 1
def test_balanced_classes_count_the_same_as_scikit_learn_has_it(counts: list[int], weighted: bool) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    own = np.random.default_rng(0).uniform(0.1, 5, len(labels)) if weighted else np.ones(len(labels))
    weights = train_weights(*_rows(labels, own), balance=True)
    found = np.ones(len(labels)) if weights is None else weights
    if not weighted:
        np.testing.assert_allclose(found, compute_sample_weight("balanced", labels))
        assert (weights is None) == (len(set(counts)) == 1)  # nothing changes where all classes are equal
        return
    sums = np.bincount(labels, found)
    np.testing.assert_allclose(sums, len(labels) / len(counts))
    for k, total in enumerate(sums):  # within a class, images keep their proportions
        np.testing.assert_allclose(found[labels == k], own[labels == k] / own[labels == k].sum() * total)


def test_mixed_images_keep_their_weights() -> None:
    labels, weights = np.array([0, 1, 2, 0]), np.array([0.25, 0.75, 1.0, 2.0])
    mixer = Mixer(ImageTrainingConfig(mixup=1.0), 3, seed=0)
    x = torch.from_numpy(weights).float().view(4, 1, 1, 1).expand(4, 3, 8, 8)  # an image's grey is its weight
    mixed, target = mixer(x, Targets(labels, 3, weights)[np.arange(4)], 7)
    torch.testing.assert_close(target.sum(dim=1), mixed[:, 0, 0, 0])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most of train is labelled wrong, and counts next to nothing."""
    root = tmp_path_factory.mktemp("weights")
    rows = ["path,label,split,weight"]
    for split, start, many in (("train", 0, 24), ("val", 100, 8), ("test", 200, 12)):
        for label in range(3):
            for number in range(start, start + many):
                draw(label, number).save(root / f"{label}-{number}.png")
                wrong = split == "train" and number % 3 > 0
                shown = (label + number % 3) % 3 if wrong else label
                rows.append(f"{label}-{number}.png,class{shown},{split},{1e-6 if wrong else 2}")
    (root / "t.csv").write_text("\n".join(rows))
    return root


def test_what_counts_next_to_nothing_teaches_nothing(table: Path, tmp_path: Path) -> None:
    names = ["mlp", "linear", "svm", "knn", "finetune"]
    trained = ("finetune.epochs=2", "finetune.batch_size=8", "mlp.epochs=15", "mlp.batch_size=16")
    heads = [f"{name}.folds=0" for name in names[:-1]]  # else they learn from the labels of val, which are right
    sets = ("compute.engine=torch", *trained, *heads)
    common: dict[str, Any] = {"sets": sets, "img_size": 48, "workers": 0, "threads": 1, "quiet": True}
    several: dict[str, Any] = {"strategies": names, "learning_curve": ["none"], "out": tmp_path / "a", **common}
    found = topwork.compare(table / "t.csv", **several)
    for name in names:
        assert found[name].metrics["test"]["accuracy"]["value"] >= 0.9, name
    radial = topwork.train(
        table / "t.csv",
        "svm",
        out=tmp_path / "b",
        **{**common, "sets": ("compute.engine=torch", "svm.kernel=rbf", "svm.folds=0")},
    )
    assert radial.metrics["test"]["accuracy"]["value"] >= 0.9
    text = (table / "t.csv").read_text()
    (table / "plain.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()))
    plain = topwork.train(
        table / "plain.csv",
        "linear",
        out=tmp_path / "c",
        **{**common, "sets": ("compute.engine=torch", "linear.folds=0")},
    )
    assert plain.metrics["test"]["accuracy"]["value"] < 0.8  # the wrong labels do teach if they count
    (table / "t.csv").write_text(text.replace(",2", ",3", 1))
    try:
        with pytest.raises(SettingsChanged):
            topwork.compare(resume=several["out"])
    finally:
        (table / "t.csv").write_text(text)
