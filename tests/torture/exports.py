"""Exports of networks of many families, in every format, against the bundle that they were made of."""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.drawings import draw
from tests.torture.calls import Tally
from topwork.backbones import build
from topwork.bundle.format import Bundle, read_bundle, write_bundle
from topwork.core.artifacts import InputSpec
from topwork.core.errors import TopworkError
from topwork.data.images import load_image
from topwork.data.transforms import eval_transform, normalize
from topwork.inference.export import FORMATS
from topwork.inference.export.exporter import export, trace_program
from topwork.inference.export.pillow_resize import Resize
from topwork.inference.export.resize_weights import FILTERS

FAMILIES = {  # a small member of each, and the side of its input
    "resnet18": 64, "tf_efficientnet_lite0": 64, "mobilenetv3_small_050": 64, "regnety_002": 64, "convnext_atto": 64,
    "densenet121": 64, "ghostnet_050": 64, "edgenext_xx_small": 64, "nf_regnet_b0": 64, "mambaout_femto": 64,
    "vit_tiny_patch16_224": 64, "swin_tiny_patch4_window7_224": 224,
}  # fmt: skip
SIZES = ((48, 48), (331, 77), (50, 400), (33, 32), (200, 150), (20, 20))


def write_images(folder: Path) -> list[Path]:
    """Images of several sizes, smaller and larger than any input, upright and across."""
    paths = []
    for number, (width, height) in enumerate(SIZES * 2):
        paths.append(folder / f"{number:02}.png")
        draw(number % 3, number, 64).resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def write_random_bundle(folder: Path, model: str, size: int, images: Iterable[Path], quick: bool = False) -> Path:
    """A bundle with random weights, whose statistics and head distinguish the images; ``quick`` as for ``check``."""
    backbone = build.create(model, None, size)
    if quick:  # to a power of two, where rounding to float32 changes no pixel: OpenVINO lacks the float64 of the others
        backbone = replace(backbone, spec=replace(backbone.spec, interpolation="nearest", resize_size=size))
    generator = torch.Generator().manual_seed(1)
    for layer in backbone.module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.normal_(0, 0.2, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    pixels = torch.stack([eval_transform(load_image(path), backbone.spec) for path in images])
    with torch.inference_mode():
        features = backbone.module(normalize(pixels, backbone.spec, torch.device("cpu")))
        weight = torch.randn(5, backbone.feature_dim, generator=generator)
        scores = features @ weight.T
        weight = 2 * weight / scores.std()
        bias = -(features @ weight.T).mean(0)
    head = {"weight": weight, "bias": bias}
    metadata = {"decision": {"temperature": 1.5}}
    network = backbone.module.state_dict()
    write_bundle(folder, Bundle("finetune", model, tuple("abcde"), backbone.spec, metadata, network, head))
    return folder


def copy_quick(run: Path, folder: Path) -> Path:
    """A copy of a run whose images are resized to the nearest pixel, which is quick to export."""
    shutil.copytree(run, folder)
    bundle = read_bundle(folder / "model")
    write_bundle(folder / "model", replace(bundle, input_spec=replace(bundle.input_spec, interpolation="nearest")))
    return folder


def check(pairs: Iterable[tuple[str, str]], sides: dict[str, int], log: bool = False, quick: bool = False) -> Tally:
    """Export and compare.

    Args:
        pairs: A model and a format each.
        sides: Of the models' inputs.
        log: Print a row for each.
        quick: Resize to the nearest pixel. The other resizes take most of the time of an export, and what follows them
            is the same. The sides must be powers of two.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        images = write_images(root)
        for model, kind in pairs:
            bundle = root / model
            if not bundle.exists():
                write_random_bundle(bundle, model, sides[model], images, quick)
            tally.tried += 1
            try:
                result = export(bundle, kind, out=root / f"{model}-{kind}", images=images, quiet=True)
            except TopworkError as error:
                tally.wrong.append(f"{model} {kind}: {error}")
                continue
            tally.hit += 1
            if log:
                found = result.metadata["check"]
                print(f"| {model} | {kind} | {found['same_class_share']:.1%} | {found['difference']:.1e} |", flush=True)
    return tally


def every_family(log: bool = False) -> Tally:
    """All families in all formats."""
    return check(itertools.product(FAMILIES, FORMATS), FAMILIES, log)


class Resized(nn.Module):
    """The resize as a graph with the outputs of one."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.resize = Resize(spec)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.resize(images)
        return x, x.clone()


@cache
def _traced(spec: InputSpec) -> torch.export.ExportedProgram:
    """The resize, traced once for all formats."""
    image = np.random.default_rng(2).integers(0, 256, (331, 397, 3), dtype=np.uint8)
    return trace_program(Resized(spec), image)[0]


def check_resize(kind: str, interpolation: str) -> Tally:
    """Write the resize alone, and compare what the file makes of 60 images of any size with Pillow's pixels."""
    rng = np.random.default_rng(2)
    tally = Tally(tried=60)
    spec = InputSpec(121, 217, interpolation, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with tempfile.TemporaryDirectory() as folder:
        FORMATS[kind].write(_traced(spec), Path(folder), {"topwork": ""})
        run = FORMATS[kind].open(Path(folder))
        for _ in range(tally.tried):
            height, width = np.exp(rng.uniform(0, np.log(900), 2)).astype(int)
            array = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            found, _ = run(array[None])
            off = int((found[0] != eval_transform(Image.fromarray(array), spec).numpy()).sum())
            tally.hit += 1
            tally.wrong += [f"{kind} {interpolation}, {width} x {height}: {off} pixels differ"] if off else []
    return tally


def every_resize() -> Tally:
    """All resizes in the formats that have float64."""
    tally = Tally()
    for kind, interpolation in itertools.product(("onnx", "torch-export"), (*FILTERS, "nearest")):
        one = check_resize(kind, interpolation)
        tally.tried, tally.hit, tally.wrong = tally.tried + one.tried, tally.hit + one.hit, tally.wrong + one.wrong
    return tally


if __name__ == "__main__":
    print(every_family(log=True), file=sys.stderr)
