"""Images that count more or less than others: in the loss, and in every strategy that trains."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.drawings import draw
from torch.nn import functional

import topwork
from topwork.core.errors import SettingsChanged
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.batches import Targets
from topwork.data.transforms import Mixer
from topwork.training.loop import _Training


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1]), st.booleans())
def test_the_loss_is_the_weighted_sum_of_the_images_losses(seed: int, smoothing: float, balanced: bool) -> None:
    rng = np.random.default_rng(seed)
    labels, weights = rng.integers(0, 4, 9), rng.uniform(0.01, 3, 9)
    logits = torch.from_numpy(rng.normal(size=(9, 4)))
    classes = torch.tensor([0.5, 1.0, 2.0, 3.0]).double() if balanced else None
    made = SimpleNamespace(
        task=SimpleNamespace(class_weights=classes), config=SimpleNamespace(label_smoothing=smoothing)
    )
    target = Targets(labels, 4, weights)[np.arange(9)].double()
    single = functional.cross_entropy(
        logits, torch.from_numpy(labels), classes, label_smoothing=smoothing, reduction="none"
    )
    expected = (torch.from_numpy(weights) * single).sum() / 9
    torch.testing.assert_close(_Training._loss(cast("Any", made), logits, target), expected, atol=1e-5, rtol=1e-5)


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
    sets = ("compute.engine=torch", "finetune.epochs=2", "finetune.batch_size=8", "mlp.epochs=15", "mlp.batch_size=16")
    common: dict[str, Any] = {"sets": sets, "img_size": 48, "workers": 0, "threads": 1, "quiet": True}
    several: dict[str, Any] = {"strategies": names, "learning_curve": ["none"], "out": tmp_path / "a", **common}
    found = topwork.compare(table / "t.csv", **several)
    for name in names:
        assert found[name].metrics["test"]["accuracy"]["value"] >= 0.9, name
    radial = topwork.train(
        table / "t.csv", "svm", out=tmp_path / "b", **{**common, "sets": ("compute.engine=torch", "svm.kernel=rbf")}
    )
    assert radial.metrics["test"]["accuracy"]["value"] >= 0.9
    text = (table / "t.csv").read_text()
    (table / "plain.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()))
    plain = topwork.train(table / "plain.csv", "linear", out=tmp_path / "c", **{**common, "sets": sets[:1]})
    assert plain.metrics["test"]["accuracy"]["value"] < 0.8  # the wrong labels do teach if they count
    (table / "t.csv").write_text(text.replace(",2", ",3", 1))
    try:
        with pytest.raises(SettingsChanged):
            topwork.compare(resume=several["out"])
    finally:
        (table / "t.csv").write_text(text)
