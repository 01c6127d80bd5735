"""Seeds, folds and the search for settings: inside one comparison, resumable, aggregated honestly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import topwork
from topwork.backbones import build
from topwork.core import config, storage
from topwork.core.artifacts import read_split
from topwork.report.folder_evaluation import evaluate_folder
from topwork.report.results import Run, format_verdict
from topwork.strategies.mlp import MLP
from topwork.training.search_space import Categorical, LogUniform, sample, space

FAST: dict[str, Any] = {"img_size": 32, "precision": "float32", "workers": 0, "threads": 1, "quiet": True}
SETS = ("mlp.epochs=2", "svm.Cs=[1e-3, 1e-2]")


def test_seeds_share_the_split_and_a_resume_trains_only_what_is_missing(photos: Path, tmp_path: Path) -> None:
    flags = {"strategies": ["mlp", "knn"], "out": tmp_path / "out", "sets": SETS, "n_seeds": 3, "seed": 4, **FAST}
    comparison = topwork.compare(photos, **flags)
    again = [comparison.path / "repeats" / f"seed-{seed}" for seed in (5, 6)]
    mlps = [comparison["mlp"], *(Run(path / "mlp") for path in again)]
    assert all(run.predictions.ids == mlps[0].predictions.ids for run in mlps)
    assert len({run.predictions.scores.tobytes() for run in mlps}) == 3
    assert [config.read(run.path / "config.toml").seed for run in mlps] == [4, 5, 6]
    verdict = comparison.verdict
    assert verdict is not None
    assert verdict.repeats == ("seeds", 3)
    by_name = {s.name: s for s in verdict.results}
    assert by_name["mlp"].by_repeat == tuple(run.metrics["test"]["accuracy"]["value"] for run in mlps)
    assert by_name["knn"].std is None
    assert not [path for path in again if (path / "knn").exists()]
    assert "knn does not depend on the seed and was fitted once." in " ".join(format_verdict(comparison).split())
    before = (again[0] / "mlp" / "predictions.csv").read_bytes()
    for name in ("metrics.json", "predictions.csv"):
        (again[0] / "mlp" / name).unlink()
    kept = (again[1] / "mlp" / "metrics.json").stat().st_mtime_ns
    topwork.compare(resume=comparison.path, quiet=True)
    assert (again[0] / "mlp" / "predictions.csv").read_bytes() == before
    assert (again[1] / "mlp" / "metrics.json").stat().st_mtime_ns == kept


def test_folds_test_every_image_once_and_are_pooled(photos: Path, tmp_path: Path) -> None:
    flags = {"strategies": ["svm", "linear"], "out": tmp_path / "out", "sets": SETS, "folds": 3, **FAST}
    comparison = topwork.compare(photos, **flags)
    judged = evaluate_folder(comparison.path)
    everything = {image for ids in read_split(comparison.path / "split.csv").ids.values() for image in ids}
    for predictions in judged.predictions.values():
        assert len(predictions.ids) == len(everything) == 42
        assert set(predictions.ids) == everything
    assert judged.verdict is not None
    assert judged.verdict.repeats == ("folds", 3)
    assert judged.verdict.images == 42
    assert format_verdict(comparison).startswith("The table is over 3 folds; training times are those of the first.")
    assert "<small>over 3 folds" in (comparison.path / "report.html").read_text("utf-8")
    one, other = (read_split(comparison.path / p / "split.csv").ids["test"] for p in ("svm", "repeats/fold-2/svm"))
    assert not set(one) & set(other)


def test_seeds_and_folds_together_are_refused_and_train_takes_neither(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(topwork.TopworkError, match="two ways to repeat"):
        topwork.compare(photos, out=tmp_path / "a", n_seeds=2, folds=3, **FAST)
    with pytest.raises(topwork.TopworkError, match="one training"):
        topwork.train(photos, "svm", out=tmp_path / "a", n_seeds=2, **FAST)
    with pytest.raises(topwork.TopworkError, match="leaves nothing"):
        topwork.compare(photos, out=tmp_path / "a", folds=1, **FAST)


def test_a_search_looks_at_val_only_and_goes_on_where_it_stopped(photos: Path, tmp_path: Path) -> None:
    flags = {"out": tmp_path / "run", "trials": 4, "sets": ("mlp.epochs=2", "mlp.hidden=32", "mlp.folds=0"), **FAST}
    run = topwork.train(photos, "mlp", **flags)
    trials = [storage.read_json(run.path / "tune" / f"{i:03d}" / "trial.json") for i in range(4)]
    best = max(range(4), key=lambda i: (trials[i]["accuracy"], -trials[i]["log_loss"]))
    settings = config.read(run.path / "config.toml").settings["mlp"]
    assert settings.model_dump(mode="json", exclude_none=True) == trials[best]["settings"]
    assert {t["settings"]["hidden"] for t in trials} == {32}  # it was asked for
    assert trials[0]["settings"]["lr"] == 5e-4  # the first is without a search
    assert len({t["settings"]["lr"] for t in trials}) == 4
    assert run.metrics["val"]["accuracy"]["value"] == trials[best]["accuracy"]
    assert run.metrics["costs"]["tune_trials"] == 4
    assert not list((run.path / "tune").rglob("checkpoints"))
    killed = tmp_path / "killed"
    run.path.rename(killed)
    for name in ("config.toml", "metrics.json", "tune/tune.json", "tune/003/trial.json"):
        (killed / name).unlink()
    kept = (killed / "tune" / "001" / "trial.json").stat().st_mtime_ns
    again = topwork.train(resume=killed, quiet=True)
    assert (killed / "tune" / "001" / "trial.json").stat().st_mtime_ns == kept
    assert config.read(killed / "config.toml").settings["mlp"] == settings
    assert np.array_equal(again.predictions.scores, run_scores(killed))


def test_a_trial_that_diverges_is_a_failed_trial_and_only_if_all_do_it_is_an_error(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MLP, "search", space(lr=Categorical((1e30, 1e-3))))
    flags = {"trials": 4, "sets": ("mlp.epochs=4", "mlp.hidden=8"), **FAST}
    run = topwork.train(photos, "mlp", out=tmp_path / "some", **flags)
    trials = [storage.read_json(run.path / "tune" / f"{i:03d}" / "trial.json") for i in range(4)]
    failed = [i for i, trial in enumerate(trials) if trial["settings"]["lr"] == 1e30]
    assert 0 < len(failed) < 4
    assert all(("failed" in trial) == (i in failed) for i, trial in enumerate(trials))
    assert all("loss became" in trials[i]["failed"] and "accuracy" not in trials[i] for i in failed)
    assert storage.read_json(run.path / "tune" / "tune.json")["best"] not in failed
    assert f"{len(failed)} failed" in (run.path / "train.log").read_text()
    flags["sets"] = (*flags["sets"], "mlp.lr=1e30")
    with pytest.raises(topwork.TopworkError, match=r"All trials have failed; the first: mlp: the loss became"):
        topwork.train(photos, "mlp", out=tmp_path / "all", **flags)


def test_a_trial_without_memory_is_a_failed_trial(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, sizes = MLP.fit, list[int]()

    def fitting(self: MLP, config: Any, context: Any) -> Any:
        sizes.append(config.hidden)
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit(self, config, context)

    monkeypatch.setattr(MLP, "fit", fitting)
    run = topwork.train(photos, "mlp", out=tmp_path / "run", trials=3, sets=("mlp.epochs=2",), **FAST)
    assert "out of memory" in storage.read_json(run.path / "tune" / "001" / "trial.json")["failed"]
    assert len(sizes) == 4  # three trials and the run


def run_scores(path: Path) -> np.ndarray:
    return Run(path).predictions.scores


def test_points_of_a_search_lie_where_it_looks_and_depend_on_the_seed() -> None:
    where = space(lr=LogUniform(1e-4, 1e-2), Cs=LogUniform(0.1, 10, as_tuple=True), k=Categorical((1, 2)))
    points = [sample(where, 0, "x", trial) for trial in range(200)]
    assert all(1e-4 <= p["lr"] <= 1e-2 and p["k"] in (1, 2) and len(p["Cs"]) == 1 for p in points)
    assert np.median([p["lr"] for p in points]) == pytest.approx(1e-3, rel=0.5)
    assert points[3] == sample(where, 0, "x", 3) != sample(where, 1, "x", 3)


def test_a_network_that_is_trained_is_fed_what_the_frozen_one_is_fed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[build.Backbone] = []
    create = build.create
    monkeypatch.setattr(build, "create", lambda *given, **named: made.append(create(*given, **named)) or made[-1])
    sets = ("backbone.crop_pct=1", "scratch.epochs=1")
    topwork.train(photos, "scratch", out=tmp_path / "out", sets=sets, **FAST)
    assert len(made) > 1
    assert {(network.spec.size, network.spec.resize_size) for network in made[:2]} == {(32, 32)}
