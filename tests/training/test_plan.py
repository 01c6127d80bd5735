"""auto becomes numbers: crops that suit the network, compiling for long trainings, growing crops in a training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import timm
import torch
from safetensors.torch import save_file

import topwork
from topwork.compute import devices
from topwork.core import config as configuration
from topwork.core.artifacts import InputSpec, Splits
from topwork.core.config import ComputeConfig
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.training import plan
from topwork.training.context import RunContext


def _data(images: int, size: int = 224, dynamic_size: bool = True) -> RunContext:
    spec = InputSpec(size, size, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    splits = Splits(("a",), {"train": tuple(map(str, range(images)))}, {})
    compute, _ = devices.resolve(ComputeConfig(device="cpu", threads=1))
    return cast(
        RunContext,
        SimpleNamespace(splits=splits, spec=spec, compute=compute, backbone=SimpleNamespace(dynamic_size=dynamic_size)),
    )


def _resolve(data: RunContext, **settings: Any) -> ImageTrainingConfig:
    def never(_: ImageTrainingConfig) -> Any:
        raise AssertionError("nothing is timed when the epochs are given")

    return plan.resolve(ImageTrainingConfig(epochs=10, **settings), data, never, (1, 9), (1.0, 1.0))


def test_crops_on_a_cpu_are_smaller_where_the_network_allows_it() -> None:
    assert _resolve(_data(10)).train_size == 192
    assert _resolve(_data(10, dynamic_size=False)).train_size == 224


@pytest.mark.parametrize("settings", [{"train_size": 192}, {"resize_from": 128}])
def test_a_network_of_one_size_refuses_others(settings: dict[str, int]) -> None:
    with pytest.raises(topwork.TopworkError, match="accepts images of 224 px only"):
        _resolve(_data(10, dynamic_size=False), **settings)


def test_crops_cannot_grow_downwards() -> None:
    with pytest.raises(topwork.TopworkError, match="resize_from = 224 is larger than train_size = 192"):
        _resolve(_data(10), resize_from=224)


def test_compiling_is_for_long_trainings_on_a_cpu_with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "has_compiler", lambda: True)
    assert _resolve(_data(9_999)).compile is False
    assert _resolve(_data(10_000)).compile is True
    assert _resolve(_data(10_000), compile=False).compile is False
    monkeypatch.setattr(plan, "has_compiler", lambda: False)
    assert _resolve(_data(10_000)).compile is False


@pytest.mark.parametrize(
    ("seconds", "settings", "epochs"),
    [
        (1, {}, 7),  # all that the number of images asks for
        (20, {}, 5),  # 2 minutes allow 5
        (60, {}, 3),  # 2 minutes allow 1, and a quarter of an hour the minimum
        (600, {}, 1),  # a quarter of an hour allows 1
        (60, {"minutes": 2}, 1),  # a limit that was set is kept
        (20, {"minutes": 10}, 29),
        (20, {"minutes": 10, "epochs": 7}, 7),
    ],
)
def test_epochs_on_a_cpu_are_what_the_time_allows_but_no_fewer_than_can_be_judged(
    seconds: float, settings: dict[str, Any], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "seconds_per_epoch", lambda *_: seconds)
    found = plan.resolve(
        ImageTrainingConfig(**settings), _data(9_000), cast("Any", lambda _: None), (3, 9), (2.0, 15.0)
    )
    assert found.epochs == epochs


def test_a_transformer_of_one_size_is_fine_tuned_as_it_is(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "weights.safetensors")
    run = topwork.train(
        photos, "finetune", out=tmp_path / "out", model="test_vit", weights=str(tmp_path / "weights.safetensors"),
        epochs=1, precision="float32", workers=0, quiet=True, sets=["finetune.batch_size=8"],
    )  # fmt: skip
    settings = configuration.read(run.path / "config.toml").settings["finetune"]
    assert settings.train_size == 160
    assert settings.compile is False


def test_growing_crops_train(photos: Path, tmp_path: Path) -> None:
    run = topwork.train(
        photos, "scratch", out=tmp_path / "out", model="test_resnet", img_size=96, epochs=3, precision="float32",
        workers=0, quiet=True,
        sets=["scratch.batch_size=8", "scratch.resize_from=32", "scratch.train_size=96"],
        weights=_weights(tmp_path),
    )  # fmt: skip
    assert len(run.history) == 3


def _weights(folder: Path) -> str:
    save_file(timm.create_model("test_resnet").state_dict(), folder / "weights.safetensors")
    return str(folder / "weights.safetensors")
