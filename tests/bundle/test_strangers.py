"""Runs and models of somebody else: every edit ends in one plain message, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from tests.torture.edits import _sign as sign

import topwork
from topwork.bundle.format import read_bundle
from topwork.bundle.network import build_network
from topwork.core.errors import CorruptFile, TopworkError
from topwork.explain.context import ShowContext, open_runs
from topwork.inference.locate import locate_bundle
from topwork.report.render import write_report


@pytest.fixture
def run(comparison: topwork.Comparison, tmp_path: Path) -> Path:
    """A copy of one run that may be changed, but not in place."""
    return Path(shutil.copytree(comparison["svm"].path, tmp_path / "run", copy_function=os.link))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.unlink()
    path.write_text(json.dumps(value))
    if path.parent.name == "model":
        sign(path.parent)


MODEL_EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no strategy": lambda m: m.pop("strategy"),
    "unknown strategy": lambda m: m.update(strategy="os"),
    "other strategy": lambda m: m.update(strategy="knn"),
    "hub model": lambda m: m.update(model="hf-hub:nobody/nothing"),
    "folder": lambda m: m.update(model="local-dir:/etc"),
    "huge model": lambda m: m.update(model="vit_giant_patch14_dinov2"),
    "pretrained": lambda m: m.update(on_hub={"name": m["model"], "args": {"pretrained": True}}),
    "checkpoint": lambda m: m.update(on_hub={"name": m["model"], "args": {"checkpoint_path": "/etc/passwd"}}),
    "path in the arguments": lambda m: m.update(on_hub={"name": m["model"], "args": {"act_layer": "/etc/passwd"}}),
    "huge argument": lambda m: m.update(on_hub={"name": m["model"], "args": {"channel_multiplier": 10**9}}),
    "weights of the hub": lambda m: m.update(
        on_hub={"name": m["model"], "args": {}, "hub_config": {"url": "http://x"}}
    ),
    "no classes": lambda m: m.update(classes=[]),
    "one class": lambda m: m["classes"].pop(),
    "more classes": lambda m: m["classes"].append("x"),
    "equal classes": lambda m: m.update(classes=["a"] * len(m["classes"])),
    "numbers as classes": lambda m: m.update(classes=[1, 2, 3]),
    "half a character": lambda m: m["classes"].__setitem__(0, "\ud800"),
    "huge input": lambda m: m["input"].update(size=10**6, resize_size=10**6),
    "huge resize": lambda m: m["input"].update(resize_size=10**6),
    "no pixels": lambda m: m["input"].update(size=0),
    "small resize": lambda m: m["input"].update(resize_size=3),
    "interpolation": lambda m: m["input"].update(interpolation="magic"),
    "no deviation": lambda m: m["input"].update(std=[0, 0, 0]),
    "mean of two": lambda m: m["input"].update(mean=[0.5, 0.5]),
    "unknown input": lambda m: m["input"].update(more=1),
    "pixel rules": lambda m: m["input"].update(pixel_rules={"bit_depth": 64, "background": "white"}),
    "temperature": lambda m: m["decision"].update(temperature=0),
    "no number": lambda m: m["decision"].update(temperature=float("nan")),
    "threshold": lambda m: m["decision"].update(confidence_threshold="high"),
    "neighbours": lambda m: m["decision"]["ood"].update(neighbours=-1),
    "list": lambda m: m.update(decision=[1]),
    "newer": lambda m: m.update(format=99),
    "format": lambda m: m.update(format="2"),
}


@pytest.mark.parametrize("name", MODEL_EDITS)
def test_each_edit_of_a_model_is_refused_in_one_line(run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    edit(run / "model" / "model.json", MODEL_EDITS[name])
    with pytest.raises(TopworkError) as error:
        build_network(read_bundle(run / "model"))
    assert 20 < len(str(error.value)) < 700
    assert "\n" not in str(error.value)


def test_what_other_versions_add_is_ignored(run: Path) -> None:
    edit(run / "model" / "model.json", lambda m: m.update(more={"a": [1]}) or m["decision"].update(more=None))
    build_network(read_bundle(run / "model"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(run: Path, value: float) -> None:
    import safetensors.torch

    path = run / "model" / "weights.safetensors"
    tensors = safetensors.torch.load(path.read_bytes())
    tensors["head.bias"][0] = value
    path.unlink()
    path.write_bytes(safetensors.torch.save(tensors))
    sign(path.parent)
    with pytest.raises(CorruptFile, match="bias has values that are no finite numbers"):
        read_bundle(run / "model")


@pytest.mark.parametrize("file", ["model/model.json", "model/README.md", "run.json", "metrics.json", "predictions.csv"])
def test_a_pipe_or_a_device_does_not_keep_a_command_waiting(run: Path, file: str) -> None:
    (run / file).unlink()
    if file == "run.json":
        (run / file).symlink_to("/dev/zero")
    else:
        os.mkfifo(run / file)

    def use() -> None:
        locate_bundle(run)
        read_bundle(run / "model")
        write_report(run)
        _ = topwork.Run(run).metrics, topwork.Run(run).predictions

    with pytest.raises(TopworkError):
        use()


@pytest.mark.parametrize("name", ["tables", "thumbnails", "explain", "export", "model", "metrics.json"])
def test_a_link_that_leads_out_is_refused_before_anything_is_written(run: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "victim"
    elsewhere.mkdir()
    (elsewhere / "results.csv").write_text("mine")
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(elsewhere if "." not in name else elsewhere / "results.csv")
    for use in (
        write_report, topwork.Run, locate_bundle,
        lambda run: open_runs(run, torch.device("cpu")), lambda run: topwork.export(run, "torch-export", quiet=True),
    ):  # fmt: skip
        with pytest.raises(TopworkError, match="is a link that leads out of"):
            use(run)
    assert [path.name for path in elsewhere.iterdir()] == ["results.csv"]
    assert (elsewhere / "results.csv").read_text() == "mine"


def test_links_inside_a_run_and_checkpoints_elsewhere_are_fine(run: Path, tmp_path: Path) -> None:
    (run / "tables").rename(run / "tables-1")
    (run / "tables").symlink_to("tables-1")
    (run / "checkpoints").mkdir(exist_ok=True)
    (run / "checkpoints" / "last").symlink_to(tmp_path)
    assert locate_bundle(run).run == run


@pytest.mark.parametrize(
    ("model", "weights"), [("hf-hub:nobody/nothing", "pretrained"), ("test_efficientnet", "/dev/zero")]
)
def test_show_opens_and_contacts_nothing_that_a_run_names(
    run: Path, model: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("looked for weights")

    monkeypatch.setattr("topwork.explain.context.find_weights", refuse)
    models, dataset = open_runs(run, torch.device("cpu"))
    object.__setattr__(dataset.backbone, "model", model)
    object.__setattr__(dataset.backbone, "weights", weights)
    context = ShowContext.__new__(ShowContext)
    object.__setattr__(context, "models", [type(models[0])(**{**vars(models[0]), "network": "finetune"})])
    object.__setattr__(context, "dataset", dataset)
    assert context.pretrained() is None


def _make_infinite(path: Path) -> None:
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    tensors = safetensors.numpy.load(data)
    tensors["scores"] = np.full_like(tensors["scores"], np.inf)
    path.unlink()
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("metrics.json", lambda path: edit(path, lambda m: m["test"]["ece"].pop("high"))),
        ("metrics.json", lambda path: edit(path, lambda m: m["costs"].update(train_seconds=-1))),
        ("run.json", _folder),
        ("predictions.safetensors", _make_infinite),
    ],
    ids=["half an interval", "negative seconds", "a folder", "infinite scores"],
)
def test_an_edited_run_of_a_comparison_is_refused_by_name(
    comparison: topwork.Comparison, tmp_path: Path, file: str, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "comparison"
    shutil.copytree(comparison.path, folder)
    name = comparison.recommended_run().strategy
    change(folder / name / file)

    def use() -> None:
        write_report(folder)
        topwork.Comparison(folder)._repr_html_()

    with pytest.raises(TopworkError, match=name):
        use()


def test_a_run_without_test_metrics_is_shown_without_them(comparison: topwork.Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "comparison"
    shutil.copytree(comparison.path, folder)
    (folder / "knn" / "metrics.json").write_text("{}")
    assert "<table" in topwork.Comparison(folder)._repr_html_()
