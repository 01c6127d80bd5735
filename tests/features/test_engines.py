"""What runs the backbone changes nothing but speed: folded, compiled and OpenVINO against the plain network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

import topwork
from topwork.backbones.batchnorm_fusion import fuse_batchnorm
from topwork.backbones.build import create
from topwork.compute import devices
from topwork.core.config import ComputeConfig
from topwork.features import engines, extract

FAMILIES = (
    "tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050", "regnety_002", "convnext_atto", "densenet121",
    "vit_tiny_patch16_224", "test_efficientnet",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("fastest_engine")


def _lively(module: torch.nn.Module) -> torch.nn.Module:
    """Random BatchNorm statistics, as if it had been trained."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.2, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return module


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folded_network_gives_the_same_features(name: str) -> None:
    torch.manual_seed(0)
    module = _lively(timm.create_model(name, num_classes=0).eval())
    size = module.pretrained_cfg["input_size"][-1]
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        expected, got = module(x), fuse_batchnorm(module, size)(x)
    torch.testing.assert_close(got, expected, atol=float(1e-4 * expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050", "regnety_002"])
def test_no_batchnorm_is_left_that_follows_a_convolution(name: str) -> None:
    module = fuse_batchnorm(timm.create_model(name, num_classes=0), 224)
    assert not [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]


class _Twice(torch.nn.Module):
    """Its convolution's output goes to a BatchNorm and past it: folding would be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return (self.norm(y) + y).mean(dim=(2, 3))


def test_a_network_that_cannot_be_folded_stays_as_it_is() -> None:
    module = _lively(_Twice()).eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(fuse_batchnorm(module, 16)(x), module(x))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("engine", ["folded", "compiled", "openvino"])
def test_every_engine_agrees_with_the_plain_network(engine: str, precision: str) -> None:
    if engine == "openvino" and not importlib.util.find_spec("openvino"):
        pytest.skip("the extra openvino is not installed")
    if engine == "compiled" and "compiled" not in engines.available(_compute("float32")):
        pytest.skip("there is no C++ compiler")
    backbone = create("test_efficientnet", None, seed=1)
    _lively(backbone.module)
    size = backbone.spec.size
    x = torch.randn(4, 3, size, size).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = backbone.module(x)
    compute = _compute(precision)
    forward = engines.build_engines(engine, backbone, compute, [4])[4]
    with torch.inference_mode(), compute.autocast():
        got = forward(x).float()
    scale = float(expected.abs().max())
    assert float((got - expected).abs().max()) < scale * (1e-4 if precision == "float32" else 5e-2)


def test_an_engine_gives_its_memory_back_after_many_images_and_starts_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), weights)
    started, start = [], engines.build_engines
    monkeypatch.setattr(engines, "build_engines", lambda *given: started.append(given) or start(*given))
    found = {}
    for many in (5, 1000):
        monkeypatch.setattr(extract, "RELEASE_MIN_IMAGES", many)
        monkeypatch.setenv("TOPWORK_CACHE", str(tmp_path / str(many)))
        fast = {"precision": "float32", "workers": 0, "model": "test_efficientnet", "epochs": 1, "quiet": True}
        found[many] = topwork.train(photos, "mlp", out=tmp_path / f"run-{many}", weights=str(weights), **fast)
    assert len(started) == 2 + 1  # mlp asks for the images as they are, then mirrored
    np.testing.assert_array_equal(found[5].predictions.scores, found[1000].predictions.scores)


def _compute(precision: str) -> devices.DeviceContext:
    return devices.resolve(ComputeConfig(device="cpu", precision=precision))[0]  # type: ignore[arg-type]


def test_compiling_is_for_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "available", lambda compute: ["compiled", "folded", "plain"])
    small, large = create("test_efficientnet", None), create("resnet18", None)
    compute = _compute("float32")
    assert engines.choose_engine(small, compute, 2000) == engines.choose_engine(large, compute, 2000) == "folded"
    assert engines.choose_engine(small, compute, 50_000) == "folded"
    assert engines.choose_engine(large, compute, 50_000) == "compiled"


def test_images_added_later_cost_only_themselves_whatever_is_the_fastest_then(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = {"precision": "float32", "workers": 0, "model": "test_efficientnet", "seed": 1}
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), weights)
    first = topwork.train(
        photos, "linear", out=tmp_path / "a", sets=["compute.engine=torch"], weights=str(weights), **fast
    )
    assert "; folded)" in capsys.readouterr().err
    second = topwork.train(photos, "linear", out=tmp_path / "b", weights=str(weights), **fast)
    assert "per second" not in capsys.readouterr().err  # all were found, computed by what was not the first choice
    np.testing.assert_array_equal(first.predictions.scores, second.predictions.scores)


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs the package openvino")
def test_predictions_are_those_of_the_evaluation_also_by_the_fastest_engine(photos: Path, tmp_path: Path) -> None:
    run = topwork.train(photos, strategy="svm", out=tmp_path / "run", img_size=32, workers=0, threads=1, quiet=True)
    said = run.predictions
    found = topwork.predict(topwork.load(run.path, workers=0), [str(photos / image) for image in said.ids], top=0)
    rows = [{guess.label: guess.probability for guess in p.top} for p in found]
    np.testing.assert_array_equal([[row[name] for name in said.classes] for row in rows], said.probabilities)
