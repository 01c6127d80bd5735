"""``compare --model A --model B``: every strategy on every backbone, one split, one verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.commands import error
from tests.commands import topwork as command
from tests.drawings import write_folder
from tests.torture.trainings import fingerprint, signal_after

import topwork
from topwork.core import storage
from topwork.core.config import read
from topwork.core.errors import ConfigError, Interrupted
from topwork.core.names import all_names, model_of, same_model, strategies_of
from topwork.pipeline.configure import build
from topwork.report.results import Comparison

PRETRAINED = ["tf_efficientnet_lite0", "tf_efficientnet_lite1"]
RANDOM = ["test_efficientnet", "test_resnet"]
SMALL = {"img_size": 64, "workers": 0, "threads": 1, "quiet": True}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("backbones") / "photos", classes=2, each=12)


@pytest.fixture(scope="module")
def heads(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("heads") / "two"
    return topwork.compare(photos, strategies=["svm", "linear"], models=PRETRAINED, out=out, **SMALL)


def test_every_strategy_runs_on_every_backbone(heads: Comparison) -> None:
    assert list(heads.runs) == all_names(["svm", "linear"], PRETRAINED)
    for name, run in heads.runs.items():
        config = read(run.path / "config.toml")
        assert config.backbone.model == model_of(name, PRETRAINED, "")
        assert config.strategies == (run.strategy,) == tuple(strategies_of([name]))
        assert config.models == ()
        assert storage.read_json(run.path / "model" / "model.json")["model"] == config.backbone.model
    first, second = (heads[name].predictions for name in list(heads.runs)[:2])
    assert first.ids == second.ids, "one split"
    assert not np.allclose(first.scores, second.scores), "two networks"


def test_the_verdict_and_the_report_know_all_of_them(heads: Comparison) -> None:
    assert heads.verdict
    assert len(heads.verdict.pairs) == 6
    assert {result.name for result in heads.verdict.results} == set(heads.runs)
    page = heads.report.read_text()
    assert "2 strategies on 2 backbones compared" in page
    assert all(page.count(model) > 2 for model in PRETRAINED)
    details = storage.read_json(heads.path / "run.json")["details"]
    assert [one["model"] for one in details["backbones"]] == PRETRAINED
    assert f"--model {PRETRAINED[0]} --model {PRETRAINED[1]}" in details["command"]


def test_predict_and_show_use_the_recommended_one(heads: Comparison, photos: Path, tmp_path: Path) -> None:
    run, image = heads.recommended_run(), next(photos.rglob("*.png"))
    [of_all], [of_one] = (topwork.predict(path, image, workers=0) for path in (heads.path, run.path))
    assert of_all == of_one
    shown = topwork.show(heads.path, quick=True, photos=1, out=tmp_path / "page", quiet=True)
    model = read(run.path / "config.toml").backbone.model
    assert f"{model}, one of the 2 backbones that were compared" in shown.path.read_text()
    assert {same_model(name, run.name) for name in heads.runs} == {True, False}


def test_only_what_is_missing_is_extracted(photos: Path, tmp_path: Path) -> None:
    one = topwork.train(photos, "knn", model=PRETRAINED[1], out=tmp_path / "one", **SMALL)
    both = topwork.compare(photos, strategies=["knn"], models=PRETRAINED, out=tmp_path / "both", **SMALL)
    assert (both.path / "train.log").read_text().count("Features:") == 1
    assert np.array_equal(one.predictions.scores, both[f"knn@{PRETRAINED[1]}"].predictions.scores)


def test_a_stopped_comparison_resumes_to_the_same_bits(photos: Path, tmp_path: Path) -> None:
    flags = {"strategies": ["scratch"], "models": RANDOM, "epochs": 2, "batch_size": 8, **SMALL}
    whole = topwork.compare(photos, out=tmp_path / "whole", **flags)
    with signal_after(3), pytest.raises(Interrupted) as stopped:
        topwork.compare(photos, out=tmp_path / "stopped", **flags)
    assert f"topwork compare --resume {tmp_path / 'stopped'}" in str(stopped.value)
    assert command("compare", "--resume", tmp_path / "stopped").returncode == 0
    for name in whole.runs:
        assert fingerprint(tmp_path / "stopped" / name) == fingerprint(whole.path / name)


def test_several_at_a_time_and_several_seeds(photos: Path, tmp_path: Path) -> None:
    flags = {"strategies": ["scratch"], "models": RANDOM, "epochs": 1, "batch_size": 8, **SMALL}
    both = topwork.compare(photos, out=tmp_path / "both", parallel=2, n_seeds=2, **flags)
    for name in both.runs:
        again = both.path / "repeats" / "seed-1" / name
        assert read(again / "config.toml").backbone.model == model_of(name, RANDOM, "")
    assert both.verdict
    assert both.verdict.repeats == ("seeds", 2)


def test_of_joined_networks_only_heads_are_compared(photos: Path) -> None:
    joined = "+".join(PRETRAINED)
    names = build(photos, ["svm", "finetune"], options={"model": [*PRETRAINED, joined]}).strategies
    assert set(names) == {*all_names(["svm"], [*PRETRAINED, joined]), *all_names(["finetune"], PRETRAINED)}
    again = build(photos, base=build(photos, ["svm"], options={"model": PRETRAINED}))
    assert again.models == tuple(PRETRAINED)
    assert again.strategies == tuple(all_names(["svm"], PRETRAINED))


def test_what_is_refused(photos: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"")
    for problem, message, options in (
        (ConfigError, "named twice", {"models": [RANDOM[0]] * 2}),
        (ConfigError, "fit one backbone", {"models": RANDOM, "weights": str(weights)}),
    ):
        with pytest.raises(problem, match=message):
            topwork.compare(photos, out=tmp_path / "no", **options, **SMALL)
    assert not (tmp_path / "no").exists()
    done = command("train", photos, "--model", RANDOM[0], "--model", RANDOM[1], "--strategy", "scratch", "--dry-run")
    assert done.returncode == 0, "the last one counts, as everywhere"
    unknown = command("compare", photos, "--model", RANDOM[0], "--model", "resnet-18", "--strategy", "scratch")
    assert "resnet-18" in error(unknown, 2)
