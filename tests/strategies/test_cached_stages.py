"""Frozen stages: the cut changes nothing, what is kept is what an epoch would see, and a damaged piece is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from safetensors.torch import save_file

import topwork
from topwork.backbones.stage_split import StageSplit, stage_parameters
from topwork.core import storage
from topwork.strategies import cached_stages, finetune

FAMILIES = (
    "resnet18", "tf_efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224", "mobilenetv3_small_050",
    "regnety_002", "densenet121", "swin_tiny_patch4_window7_224", "mixer_s32_224", "test_efficientnet",
    "efficientformerv2_s0",
)  # fmt: skip
FAST: dict[str, Any] = {
    "model": "test_resnet", "img_size": 64, "precision": "float32", "workers": 0, "threads": 1, "quiet": True
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_behind_the_cut_the_network_gives_what_the_whole_gives(name: str) -> None:
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0).eval()
    size = module.pretrained_cfg["input_size"][-1]
    x = torch.randn(3, 3, size, size)
    expected = module(x)
    stages = (len(stage_parameters(module)) - 2) // 2 + 1
    cut = StageSplit(module, stages, size)
    z = cut.forward_frozen(module, x)
    assert tuple(z.shape[1:]) == cut.shape
    torch.testing.assert_close(cut.forward_rest(z), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(module(x), expected)  # it is whole again
    cut.forward_rest(z).sum().backward()
    trains = {n for n, p in module.named_parameters() if p.grad is not None}
    fixed = {n for names in stage_parameters(module)[: stages + 1] for n in names}
    assert trains
    assert not trains & fixed
    assert all(not p.requires_grad for n, p in module.named_parameters() if n in fixed)


def test_a_network_with_several_ways_through_is_refused() -> None:
    module = timm.create_model("hrnet_w18_small", num_classes=0)
    with pytest.raises(topwork.TopworkError, match="a skip connection bypasses the split"):
        StageSplit(module, 2, 64)


@pytest.mark.parametrize("stages", [4, 9])
def test_too_many_stages_are_refused_with_the_number_there_is(stages: int) -> None:
    with pytest.raises(topwork.TopworkError, match="allowed are 1 to 3"):
        StageSplit(timm.create_model("resnet18", num_classes=0), stages, 64)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(3)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


def _train(photos: Path, out: Path, weights: str, *sets: str, stages: int = 2, **more: Any) -> topwork.Run:
    chosen = ["finetune.batch_size=8", *(f"finetune.{text}" for text in sets)]
    return topwork.train(
        photos, "finetune", out=out, weights=weights, epochs=2, freeze_stages=stages, sets=chosen, **{**FAST, **more}
    )


def _tensors(run: topwork.Run) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(storage.read_folder(run.path / "model")["weights.safetensors"])


def test_kept_views_train_as_the_images_of_the_epochs_would(
    photos: Path, tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _train(photos, tmp_path / "kept", weights, "views=2")

    def live(model: Any, groups: Any, config: Any, views: int, store: cached_stages.StageCache) -> Any:
        task = finetune.image_task(model, groups, config, store.context)
        task.train_mode = cached_stages.make_train_mode(model, config, store.stage_split.frozen)
        return task

    monkeypatch.setattr(finetune, "stage_task", live)
    whole = _train(photos, tmp_path / "live", weights, "views=2")
    for name, tensor in _tensors(kept).items():
        torch.testing.assert_close(tensor, _tensors(whole)[name], atol=2e-4, rtol=2e-3, msg=name)
    assert [r.val_accuracy for r in kept.history] == [r.val_accuracy for r in whole.history]


@pytest.mark.parametrize("views", [0, 1])
def test_frozen_stages_stay_as_they_were_and_the_rest_trains(
    photos: Path, tmp_path: Path, weights: str, views: int
) -> None:
    run = _train(photos, tmp_path / "out", weights, f"views={views}")
    tensors, before = _tensors(run), safetensors.torch.load_file(weights)
    network = timm.create_model("test_resnet", num_classes=0)
    fixed = {n for names in stage_parameters(network)[:3] for n in names}
    changed = {n for n, p in network.named_parameters() if not torch.equal(tensors[f"backbone.{n}"], before[n])}
    assert not changed & fixed
    assert changed >= {n for n, p in network.named_parameters() if p.ndim > 1} - fixed
    buffers = [n for n, _ in network.named_buffers() if n.startswith(("bn1", "layer1", "layer2"))]
    assert all(torch.equal(tensors[f"backbone.{n}"], before[n]) for n in buffers)
    costs = run.metrics["costs"]
    assert costs["all_tensors"] - costs["trained_tensors"] == len(fixed)
    assert not (run.path / "stages").exists()
    assert any("2 stages stay as pretrained" in note for note in run.metrics["notes"])


def test_a_stopped_training_goes_on_bit_for_bit_and_makes_a_damaged_piece_anew(
    photos: Path, tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _train(photos, tmp_path / "whole", weights)
    monkeypatch.setattr(storage, "remove_folder", lambda path: None)  # as if it had been killed before
    out = tmp_path / "again"
    _train(photos, out, weights)
    shards = list((out / "stages").rglob("*.safetensors"))
    assert shards
    data = bytearray(shards[0].read_bytes())
    data[len(data) // 2] ^= 1
    shards[0].write_bytes(data)
    monkeypatch.undo()
    for name in ("metrics.json", "model"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (out / "checkpoints").glob("*"):
        shutil.rmtree(path)
    again = topwork.train(resume=out)
    assert "is corrupt. It was removed" in capsys.readouterr().err
    assert all(torch.equal(tensor, _tensors(whole)[name]) for name, tensor in _tensors(again).items())
    assert again.history == whole.history


@pytest.mark.parametrize("setting", ["mixup=0.2", "cutmix=1.0", "resize_from=32", "compile=true"])
def test_what_does_not_go_with_it_is_refused_by_name(photos: Path, tmp_path: Path, weights: str, setting: str) -> None:
    with pytest.raises(topwork.TopworkError, match=setting.split("=")[0]):
        _train(photos, tmp_path / "out", weights, setting)


def test_the_flag_belongs_to_finetune(photos: Path) -> None:
    with pytest.raises(topwork.TopworkError, match="--freeze-stages is a setting of finetune"):
        topwork.train(photos, "mlp", freeze_stages=1)
