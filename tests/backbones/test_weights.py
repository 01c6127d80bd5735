"""Pretrained weights: at another size, in the layouts that others save, from the hub's cache, of topwork's own runs."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from tests.torture.exports import copy_quick
from timm.models import beit, deit, eva, generate_default_cfgs, register_model, swin_transformer, vision_transformer

import topwork
from topwork.backbones import build, torch_files
from topwork.backbones.torch_files import Tensors
from topwork.backbones.weights import WeightsSource, find_weights
from topwork.bundle.format import read_bundle
from topwork.core import storage
from topwork.core.errors import TopworkError, UnknownName, UsageError, WeightsError
from topwork.pipeline import configure

VIT = "tiny_vit_patch16"
TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2}
CREATE = {
    VIT: (vision_transformer._create_vision_transformer, TINY),
    "tiny_vit_patch14_dinov2": (
        vision_transformer._create_vision_transformer, TINY | {"patch_size": 14, "init_values": 1e-5}
    ),
    "tiny_vit_patch14_reg4_dinov2": (
        vision_transformer._create_vision_transformer,
        TINY | {"patch_size": 14, "init_values": 1e-5, "reg_tokens": 4, "no_embed_class": True},
    ),
    "tiny_vit_patch16_siglip": (
        vision_transformer._create_vision_transformer, TINY | {"class_token": False, "global_pool": "map"}
    ),
    "tiny_deit_distilled": (deit._create_deit, TINY | {"distilled": True}),
    "tiny_deit3": (deit._create_deit, TINY | {"no_embed_class": True, "init_values": 1e-6}),
    "tiny_beit": (beit._create_beit, TINY | {"use_abs_pos_emb": False, "use_rel_pos_bias": True, "init_values": 0.1}),
    "tiny_eva02": (
        eva._create_eva,
        TINY | {"patch_size": 14, "swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (16, 16)},
    ),
    "tiny_swin": (
        swin_transformer._create_swin_transformer,
        {"window_size": 7, "embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)},
    ),
}  # fmt: skip
NATIVE = {name: 112 if "dinov2" in name or "eva" in name else 128 for name in CREATE} | {"tiny_swin": 224}
default_cfgs = generate_default_cfgs(
    {
        name: {
            "input_size": (3, size, size), "fixed_input_size": True, "num_classes": 10, "license": "apache-2.0",
            "first_conv": "patch_embed.proj", "classifier": "head.fc" if "swin" in name else "head",
        }
        for name, size in NATIVE.items()
    }
)  # fmt: skip


def _register(name: str) -> None:
    create, fixed = CREATE[name]

    def entrypoint(pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
        return create(name, pretrained=pretrained, **(fixed | kwargs))

    entrypoint.__name__ = name
    register_model(entrypoint)


for _name in CREATE:
    if not timm.is_model(_name):
        _register(_name)


def _random(model: str, **kwargs: Any) -> Tensors:
    torch.manual_seed(5)
    network = timm.create_model(model, **kwargs)
    return {name: torch.randn_like(t) if t.is_floating_point() else t for name, t in network.state_dict().items()}


@pytest.mark.parametrize("model", CREATE)
def test_a_network_of_fixed_size_takes_images_of_other_sizes_as_in_timm(tmp_path: Path, model: str) -> None:
    path = tmp_path / "weights.safetensors"
    stored = _random(model)
    safetensors.torch.save_file(stored, path)
    step = {14: 14, 16: 16}.get(14 if "14" in model or "eva" in model else 16, 16) * (2 if "swin" in model else 1)
    for size in (NATIVE[model], NATIVE[model] - 2 * step, NATIVE[model] + 2 * step):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about timm's code
            expected = timm.create_model(
                model, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, num_classes=0, img_size=size
            ).state_dict()
        backbone = build.create(model, find_weights(model, str(path)), size)
        found = backbone.module.state_dict()
        assert found.keys() == expected.keys()
        assert [name for name in found if not torch.equal(found[name], expected[name])] == []
        resized = [name for name in found if found[name].shape != stored[name].shape]
        assert all(torch.equal(found[name], stored[name]) for name in found if name not in resized)
        assert ("resampled" in backbone.summary) == bool(resized)
        assert backbone.spec.size == size
        with torch.inference_mode():
            assert backbone.module(torch.zeros(2, 3, size, size)).isfinite().all()


def _source(model: str, path: Path) -> WeightsSource:
    """The weights in a file, read without a process of its own, which takes seconds and is tested elsewhere."""
    return replace(find_weights(model, str(path)), load=lambda: torch_files.load(path))


def _prefixed(prefix: str) -> Callable[[Tensors], Any]:
    return lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()}


def _other(tensors: Tensors) -> Tensors:
    return {name: tensor + 1 for name, tensor in tensors.items()}


LAYOUTS: dict[str, Callable[[Tensors], Any]] = {
    "state_dict": lambda t: {"state_dict": t},
    "model_state_dict": lambda t: {
        "epoch": 3, "model_state_dict": t, "optimizer_state_dict": {"state": {0: {"exp_avg": t["cls_token"]}}},
    },
    "lightning": lambda t: {
        "state_dict": {**_prefixed("model.")(t), "criterion.weight": torch.ones(10)}, "hyper_parameters": {"lr": 0.1},
        "pytorch-lightning_version": "2.4.0",
    },
    "lightning, compiled": lambda t: {"state_dict": _prefixed("model._orig_mod.")(t)},
    "MMPretrain": lambda t: {
        "meta": {"epoch": 1}, "state_dict": {**_prefixed("backbone.")(t), "head.layers.head.weight": torch.ones(4, 32)},
    },
    "several processes": lambda t: {"model": _prefixed("module.")(t), "args": argparse.Namespace(lr=0.1)},
    "DINO": lambda t: {
        "student": _prefixed("module.backbone.")(_other(t)), "teacher": _prefixed("backbone.")(t), "epoch": 1,
        "dino_loss": {"center": torch.ones(1, 8)},
    },
    "timm with average": lambda t: {"state_dict": _other(t), "state_dict_ema": t, "arch": "vit"},
    "DINOv2": lambda t: {**t, "mask_token": torch.zeros(1, 32)},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [128, 96])
def test_a_file_of_another_training_is_read_and_what_was_left_off_is_said(
    tmp_path: Path, layout: str, size: int
) -> None:
    model, tensors = VIT, _random(VIT)
    torch.save(LAYOUTS[layout](tensors), tmp_path / "w.pth")
    safetensors.torch.save_file(tensors, tmp_path / "plain.safetensors")
    backbone = build.create(model, _source(model, tmp_path / "w.pth"), size)
    expected = build.create(model, find_weights(model, str(tmp_path / "plain.safetensors")), size)
    assert backbone.weights_hash == expected.weights_hash
    assert ("prefix" in backbone.summary) == (layout != "DINOv2")


def test_timms_own_conversions_read_official_files(tmp_path: Path) -> None:
    """DINOv2 has its names for registers, Swin reduces at the end of a stage, old files have no counters."""
    model = "tiny_vit_patch14_reg4_dinov2"
    tensors = _random(model)
    official = {name.replace("reg_token", "register_tokens"): t for name, t in tensors.items()}
    official["pos_embed"] = torch.cat([torch.zeros(1, 1, 32), official["pos_embed"]], 1)  # with one of the class token
    torch.save({**official, "mask_token": torch.zeros(1, 32)}, tmp_path / "dino.pth")
    backbone = build.create(model, _source(model, tmp_path / "dino.pth"))
    assert all(torch.equal(t, tensors[name]) for name, t in backbone.module.state_dict().items())
    assert "converted by timm" in backbone.summary

    tensors = _random("tiny_swin")
    official = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[2:3] == ["downsample"]:
            parts[1] = str(int(parts[1]) - 1)
        official[".".join(parts).replace("head.fc.", "head.")] = tensor
    torch.save({"model": official}, tmp_path / "swin.pth")
    backbone = build.create("tiny_swin", _source("tiny_swin", tmp_path / "swin.pth"))
    assert all(torch.equal(t, tensors[name]) for name, t in backbone.module.state_dict().items())

    tensors = _random("test_resnet")
    torch.save({n: t for n, t in tensors.items() if "num_batches" not in n}, tmp_path / "old.pth")
    backbone = build.create("test_resnet", _source("test_resnet", tmp_path / "old.pth"))
    own = backbone.module.state_dict()
    assert all(torch.equal(t, tensors[name]) for name, t in own.items() if "num_batches" not in name)


def _without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


DAMAGES: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "a bias is missing": (_without("blocks.1.attn.proj.bias"), "blocks.1.attn.proj.bias"),
    "so behind a prefix": (lambda t: _prefixed("model.")(_without("norm.weight")(t)), "norm.weight"),
    "a constant is missing": (_without("cls_token"), "cls_token"),
    "more blocks": (lambda t: t | {n.replace("blocks.1", "blocks.2"): x for n, x in t.items()}, "blocks.2."),
    "another width": (lambda t: {n: torch.cat([x, x], -1) for n, x in t.items()}, "shape|size"),
    "half a prefix": (
        lambda t: {("model." if i % 2 else "") + n: x for i, (n, x) in enumerate(t.items())}, "missing"
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", [128, 96])
@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_do_not_fit_are_refused_with_what_differs_and_what_was_tried(
    tmp_path: Path, damage: str, size: int
) -> None:
    change, expected = DAMAGES[damage]
    torch.save(change(_random(VIT)), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=expected) as caught:
        build.create(VIT, _source(VIT, tmp_path / "w.pth"), size)
    assert "\n" not in str(caught.value)
    assert "names as they are" in str(caught.value)


FAST: dict[str, Any] = {"precision": "float32", "workers": 0, "threads": 1, "quiet": True}


def test_a_transformer_at_another_size_trains_resumes_predicts_is_exported_and_shown(
    photos: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    safetensors.torch.save_file(timm.create_model(VIT).state_dict(), tmp_path / "weights.safetensors")
    fast = FAST | {"model": VIT, "weights": str(tmp_path / "weights.safetensors"), "img_size": 96}
    run = topwork.train(photos, "finetune", out=tmp_path / "run", epochs=2, batch_size=8, **fast)
    assert "pos_embed" in (run.path / "train.log").read_text()
    expected = storage.sha256_file(run.path / "model" / "weights.safetensors")
    newest = max((run.path / "checkpoints").glob("last-*"))
    (newest / "state.safetensors").write_bytes(b"cut")
    (run.path / "metrics.json").unlink()
    topwork.train(resume=run.path, quiet=True)
    assert storage.sha256_file(run.path / "model" / "weights.safetensors") == expected
    image = next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg"))
    (prediction,) = topwork.predict(run.path, [image], workers=0)
    assert prediction.top
    quick = copy_quick(run.path, tmp_path / "quick")
    assert topwork.export(quick, "torch-export", out=tmp_path / "exported", quiet=True)
    assert topwork.show(run.path, image=image, quick=True, quiet=True).path.is_file()


def test_the_features_of_a_run_are_reproduced_from_it(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    safetensors.torch.save_file(timm.create_model(VIT).state_dict(), tmp_path / "weights.safetensors")
    fast = FAST | {"strategies": ["finetune", "knn"], "learning_curve": ["none"]}
    first = topwork.compare(
        photos, out=tmp_path / "first", model=VIT, weights=str(tmp_path / "weights.safetensors"), img_size=96,
        epochs=1, sets=["finetune.batch_size=8", "backbone.crop_pct=0.8"], **fast,
    )  # fmt: skip
    trained = read_bundle(first["finetune"].path / "model")
    assert not torch.equal(
        trained.backbone["pos_embed"], read_bundle(first["knn"].path / "model").backbone["pos_embed"]
    )
    folder = first.path
    again = topwork.train(photos, "knn", out=tmp_path / "again", weights=str(folder), **FAST)
    bundle = read_bundle(again.path / "model")
    assert (bundle.model, bundle.input_spec) == (VIT, trained.input_spec)
    assert bundle.backbone.keys() == trained.backbone.keys()
    assert all(torch.equal(tensor, trained.backbone[name]) for name, tensor in bundle.backbone.items())
    for given in ("finetune", "finetune/model", "finetune/model/weights.safetensors"):
        same = configure.build(photos, ["knn"], options={"weights": str(folder / given)}).backbone
        assert same == configure.build(photos, ["knn"], options={"weights": str(folder)}).backbone
    with pytest.raises(UsageError, match="knn trained only a head"):
        topwork.train(photos, "knn", out=tmp_path / "no", weights=str(folder / "knn"), **FAST)
    with pytest.raises(UsageError, match=f"--model {VIT}"):
        topwork.train(photos, "knn", out=tmp_path / "no", weights=str(folder), model="test_resnet", **FAST)
    other = topwork.train(photos, "knn", out=tmp_path / "64", weights=str(folder), img_size=64, **FAST)
    bundle = read_bundle(other.path / "model")
    assert bundle.input_spec.crop_pct == pytest.approx(trained.input_spec.crop_pct, abs=0.01)
    assert bundle.backbone["pos_embed"].shape == (1, 17, 32)
    file = folder / "finetune/model/weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(TopworkError, match="damaged"):
        topwork.train(photos, "knn", out=tmp_path / "no", weights=str(folder), **FAST)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that has one model of a stranger, as a download leaves it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--me--birds" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    config = {
        "architecture": "test_vit", "num_classes": 7, "model_args": {"depth": 1, "img_size": 96},
        "pretrained_cfg": {
            "tag": "birds", "input_size": [3, 96, 96], "fixed_input_size": True, "interpolation": "bilinear",
            "crop_pct": 0.8, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "num_classes": 7, "classifier": "head",
            "first_conv": "patch_embed.proj", "license": "mit",
        },
    }  # fmt: skip
    (snapshot / "config.json").write_text(json.dumps(config))
    tensors = _random("test_vit", depth=1, img_size=96, num_classes=7)
    safetensors.torch.save_file(tensors, snapshot / "model.safetensors")
    return snapshot


def test_a_model_of_the_hub_is_used_from_its_cache_and_its_bundle_without(
    photos: Path, tmp_path: Path, hub: Path
) -> None:
    stored = safetensors.torch.load_file(hub / "model.safetensors")
    for size in (None, 64):
        run = topwork.train(photos, "knn", out=tmp_path / f"run-{size}", model="hf-hub:me/birds", img_size=size, **FAST)
        bundle = read_bundle(run.path / "model")
        assert (bundle.input_spec.size, bundle.input_spec.mean) == (size or 96, (0.1, 0.2, 0.3))
        assert bundle.metadata["weights_license"] == "mit"
        same = [name for name in bundle.backbone if bundle.backbone[name].shape == stored[name].shape]
        assert all(torch.equal(bundle.backbone[name], stored[name]) for name in same)
        assert len(bundle.backbone) - len(same) == (size is not None)
    for file in hub.iterdir():
        file.unlink()
    image = next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg"))
    (prediction,) = topwork.predict(run.path, [image], workers=0)
    assert prediction.top
    with pytest.raises(WeightsError, match=r"hf-hub:me/birds .* not cached and could not be downloaded"):
        build.create("hf-hub:me/birds", None)


def test_a_model_of_the_hub_that_timm_cannot_make_is_refused_in_one_line(hub: Path) -> None:
    (hub / "config.json").write_text('{"model_type": "vit", "hidden_size": 3}')
    with pytest.raises(WeightsError, match="does not describe a timm model"):
        build.create("hf-hub:me/birds", None)
    (hub / "config.json").write_text('{"architecture": "vit_of_next_year"}')
    with pytest.raises(WeightsError, match="no architecture 'vit_of_next_year'"):
        build.create("hf-hub:me/birds", None)


@pytest.mark.parametrize(
    ("model", "error", "expected"),
    [
        ("resnet50.foo", UsageError, "a1_in1k"),
        ("resnet5O.a1_in1k", UnknownName, "resnet50"),
        ("google/vit-base", UnknownName, "hf-hub:OWNER/NAME"),
        ("hf-hub:no/such", WeightsError, "hf-hub:no/such"),
        ("hf-hub:", WeightsError, "hf-hub:"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line_before_images_are_read(
    photos: Path, tmp_path: Path, model: str, error: type[TopworkError], expected: str
) -> None:
    for strategy in ("scratch", "svm"):
        with pytest.raises(error) as caught:
            topwork.train(photos, strategy, out=tmp_path / "run", model=model, quiet=True, workers=0)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_random_weights_need_no_pretrained_ones(photos: Path, tmp_path: Path) -> None:
    """A model without any weights, and one whose weights are neither cached nor reachable."""
    fast = FAST | {"epochs": 1, "batch_size": 8, "img_size": 32}
    without = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    assert timm.get_pretrained_cfg(without) is None or not timm.get_pretrained_cfg(without).has_weights
    run = topwork.train(photos, "scratch", out=tmp_path / "run", model="test_resnet", **fast)
    comparison = topwork.compare(
        photos, out=tmp_path / "both", strategies=["scratch"], model="test_resnet", learning_curve=["none"], **fast
    )
    found = [read_bundle(path / "model").backbone for path in (run.path, comparison["scratch"].path)]
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())
    assert "weights: random" in (run.path / "train.log").read_text()
    assert build.create(without, None, 32).summary == "random"
    with pytest.raises(WeightsError, match="cannot be fetched"):
        topwork.train(photos, "svm", out=tmp_path / "svm", model="test_resnet", **FAST)
