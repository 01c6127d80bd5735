"""Exported graphs: Pillow's pixels, and the bundle's probabilities, for every strategy and format."""

from __future__ import annotations

from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import SETS
from tests.torture import exports

import topwork
from topwork.bundle.format import read_bundle
from topwork.core.artifacts import InputSpec
from topwork.core.errors import StorageError, UnknownName, UsageError
from topwork.data.images import load_image
from topwork.data.transforms import eval_transform
from topwork.inference.export import FORMATS
from topwork.inference.export.exporter import export
from topwork.inference.export.pillow_resize import Resize
from topwork.inference.export.resize_weights import FILTERS
from topwork.inference.export.validation import ExportFailed, check_file, compute_reference
from topwork.inference.locate import locate_bundle
from topwork.strategies import STRATEGIES, load


@pytest.fixture(scope="module")
def tiny(photos: Path, tiny_network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> topwork.Comparison:
    """All strategies on a network of a few layers, which is exported within seconds."""
    root = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(root / "cache"))
        return topwork.compare(
            photos, out=root / "out", img_size=32, strategies=list(STRATEGIES), sets=(*SETS, "compute.engine=torch"),
            learning_curve=["none"], workers=0, threads=1, quiet=True, **tiny_network,
        )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 900), width=st.integers(1, 900), side=st.integers(16, 96), kept=st.integers(1, 96),
    interpolation=st.sampled_from([*FILTERS, "nearest"]), smooth=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_resize_is_pillows_and_without_float64_but_for_a_tie_in_thousands(
    height: int, width: int, side: int, kept: int, interpolation: str, smooth: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 256, (9, 9, 3) if smooth else (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(array).resize((width, height))
    spec = InputSpec(min(kept, side), side, interpolation, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    expected, given = eval_transform(image, spec).float(), torch.from_numpy(np.array(image))[None]
    assert torch.equal(Resize(spec)(given)[0], expected)
    off = (Resize(spec, float64=False)(given)[0] - expected).abs()
    assert off.max() <= 1
    assert off.sum() <= 1 + off.numel() / 2000


@pytest.mark.parametrize(
    ("kind", "interpolation"),
    [("onnx", "bicubic"), ("onnx", "nearest"), ("torch-export", "bicubic"), ("torch-export", "nearest")],
)
def test_the_resize_in_the_file_is_pillows(kind: str, interpolation: str) -> None:
    """A filter in each format; ``make torture`` has every one in both."""
    tally = exports.check_resize(kind, interpolation)
    assert tally.wrong == []
    assert tally.hit == 60


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_probability_layer_is_the_strategys(comparison: topwork.Comparison, name: str) -> None:
    bundle = read_bundle(comparison[name].path / "model")
    scores = np.random.default_rng(0).normal(0, 3, (20, 3))
    layer = load(name).probability_layer(bundle.head)(torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(layer, load(name).probabilities(scores, bundle.head), atol=1e-7)


@pytest.mark.parametrize(
    ("name", "kind"), [*zip(STRATEGIES, chain(FORMATS, cycle(("onnx", "torch-export"))), strict=False)]
)
def test_every_strategy_is_exported_and_predicts_images_of_any_size(
    tiny: topwork.Comparison, photos: Path, name: str, kind: str, tmp_path: Path
) -> None:
    """OpenVINO with the resize of the network, the others with a quick one, of which OpenVINO lacks the float64."""
    quick = kind != "openvino"
    run = exports.copy_quick(tiny[name].path, tmp_path / "run") if quick else tiny[name].path
    result = export(run, kind, out=tmp_path / "out", quiet=True)
    assert result.agreement.within_tolerance
    assert result.metadata["classes"] == ["class0", "class1", "class2"]
    assert result.metadata["check"]["resize_mismatch_share"] == 0
    opened = FORMATS[kind].open(tmp_path / "out")
    model = topwork.Predictor(locate_bundle(run), device="cpu", precision="float32", engine="plain", workers=0)
    assert model.input_spec.interpolation == ("nearest" if quick else "bicubic")
    picture = load_image(photos / "class1" / "003.png")
    for size in ((48, 48), (331, 77), (50, 700)):
        image = picture.resize(size)
        expected = model.predict_batch(eval_transform(image, model.input_spec)[None]).probabilities
        found, _ = opened(np.array(image)[None])
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "files"), [("onnx", ["model.onnx"]), ("openvino", ["model.bin", "model.xml"])], ids=["onnx", "openvino"]
)
def test_int8_tells_what_it_costs(tiny: topwork.Comparison, name: str, files: list[str], tmp_path: Path) -> None:
    run = exports.copy_quick(tiny["mlp"].path, tmp_path / "run")
    result = export(run, name, out=tmp_path / "out", quantize="int8", quiet=True)
    if name == "onnx":  # the other file is mostly words for a network of a few layers
        assert result.metadata["bytes"] < result.metadata["bytes_float32"]
    assert {"same_class_share", "difference", "accuracy", "accuracy_float32"} <= set(
        result.metadata["quantization_error"]
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export.json", *files]


@pytest.mark.parametrize(("name", "kind"), [("test_convnext", "onnx"), ("test_coatnet", "openvino")])
def test_networks_of_other_families_are_exported_and_agree(name: str, kind: str) -> None:
    """Two, beside the network of the test before; ``make torture`` has twelve in every format."""
    tally = exports.check([(name, kind)], {name: 32}, quick=True)
    assert tally.wrong == []
    assert tally.hit == 1


def test_a_file_that_disagrees_is_refused(comparison: topwork.Comparison, photos: Path) -> None:
    model = topwork.Predictor(locate_bundle(comparison["mlp"].path), device="cpu", precision="float32", workers=0)
    images = {str(p): np.asarray(load_image(p)) for p in sorted(photos.rglob("00*.png"))}
    reference = compute_reference(model, images)

    def wrong(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = np.full((1, 3), 1 / 3)
        return p, p

    with pytest.raises(ExportFailed, match=r"worst: .*\.png"):
        check_file("onnx", wrong, reference)


def test_what_cannot_be_exported_is_said(comparison: topwork.Comparison, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="--overwrite"):
        export(comparison["svm"].path, "onnx", out=tmp_path, quiet=True)
    with pytest.raises(UnknownName, match="onnx"):
        export(comparison.path, "tflite", out=tmp_path / "x", quiet=True)
    with pytest.raises(UsageError, match="int8"):
        export(comparison.path, "torch-export", quantize="int8", out=tmp_path / "x", quiet=True)
    with pytest.raises(UsageError, match="int4"):
        export(comparison.path, "onnx", quantize="int4", out=tmp_path / "x", quiet=True)
