"""Bit depth and background follow from all images of a data set, and every stage uses them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data import zoo

import topwork
from topwork.core.artifacts import DEFAULT_RULES, InputSpec, PixelRules
from topwork.core.config import DataConfig
from topwork.data.decoder import NETWORK_INPUT, THUMBNAIL, DecoderLimits, Request, handle
from topwork.data.images import load_image
from topwork.data.manifest import build_manifest
from topwork.explain.context import open_runs

SIDE = 40


def values(label: int, number: int, channels: int = 1) -> np.ndarray:
    """Stripes and noise in [0, 1], (SIDE, SIDE, channels), that reach 0 and 1."""
    rng = np.random.default_rng(100 * label + number)
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.sin((x, y, x + y)[label % 3] * (0.5 + 0.2 * label) + rng.uniform(0, 6))[..., None]
    noisy = wave + rng.normal(0, 0.3, (SIDE, SIDE, channels))
    return (noisy - noisy.min()) / np.ptp(noisy)


def write_png(path: Path, stored: np.ndarray) -> None:
    """Values uint16 (H, W, C) as a PNG of 16 bits per channel: gray, RGB or RGBA."""
    kind = {1: 0, 3: 2, 4: 6}[stored.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)
    path.write_bytes(zoo.png(stored.shape[1], stored.shape[0], 16, kind, rows))


def write_pair(folder: Path, name: str, label: int, number: int, bits: int, channels: int) -> None:
    """An image of some bits in 16 in ``stored/``, and what it is in 8 bits in ``plain/``."""
    stored = np.rint(values(label, number, channels) * (2**bits - 1)).astype(np.uint16)
    plain = np.rint(stored * (255 / (2**bits - 1))).astype(np.uint8)
    for kind in ("stored", "plain"):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
    write_png(folder / "stored" / name, stored)
    Image.fromarray(np.broadcast_to(plain, (SIDE, SIDE, 3)).copy()).save(folder / "plain" / name)


def write_drawing(folder: Path, name: str, number: int, color: int, ground: int) -> None:
    """A drawing on transparency in ``stored/``, with smooth edges, and on a ground in ``plain/``."""
    alpha = Image.fromarray(np.rint(values(2, number)[..., 0] * 255).astype(np.uint8))
    drawing = Image.new("RGBA", alpha.size, (color, color, color, 0))
    drawing.putalpha(alpha)
    plain = Image.alpha_composite(Image.new("RGBA", alpha.size, (ground, ground, ground, 255)), drawing)
    for kind, image in (("stored", drawing), ("plain", plain.convert("RGB"))):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / kind / name)


def hashes(folder: Path, cache: Path, **options: object) -> tuple[dict[str, str], PixelRules, set[str]]:
    """Hashes of the pixels by image, the rules, and what was noted."""
    manifest = build_manifest(DataConfig(path=str(folder), layout="class", **options), cache, trainable=False)
    assert not manifest.excluded
    rows = manifest.rows
    return {row.id: row.pixels for row in rows}, manifest.pixel_rules, {row.reason for row in rows}


@pytest.mark.parametrize(("bits", "channels"), [(8, 3), (10, 1), (12, 1), (12, 3), (14, 1), (16, 1)])
def test_the_largest_value_of_all_images_decides_the_depth(tmp_path: Path, bits: int, channels: int) -> None:
    for number in range(2):
        write_pair(tmp_path, f"a/{number}.png", 0, number, bits, channels)

    found, rules, notes = hashes(tmp_path / "stored", tmp_path)

    assert rules == PixelRules(bits, "white")
    assert notes == {"16-bit scaled to 8" if bits == 16 else f"{bits} of 16 bits scaled to 8"}
    assert found == hashes(tmp_path / "plain", tmp_path)[0]


def test_one_image_of_full_range_leaves_all_as_they_are(tmp_path: Path) -> None:
    for number, bits in enumerate((10, 12, 16)):
        write_pair(tmp_path, f"a/{number}.png", 0, number, bits, 1)
    _, rules, notes = hashes(tmp_path / "stored", tmp_path)
    assert (rules, notes) == (DEFAULT_RULES, {"16-bit scaled to 8"})
    twelve = hashes(tmp_path / "stored", tmp_path, bit_depth=12)
    assert twelve[1:] == (PixelRules(12, "white"), {"12 of 16 bits scaled to 8"})
    (tmp_path / "stored" / "a" / "2.png").unlink()
    assert hashes(tmp_path / "stored", tmp_path)[0].items() <= twelve[0].items()


@pytest.mark.parametrize(
    ("colors", "background"),
    [([255] * 2, "black"), ([255, 0], "gray"), ([0] * 19 + [255], "white")],
)
def test_the_background_is_one_on_which_drawings_are_visible(
    tmp_path: Path, colors: list[int], background: str
) -> None:
    ground = {"white": 255, "black": 0, "gray": 128}[background]
    for number, color in enumerate(colors):
        write_drawing(tmp_path, f"a/{number}.png", number, color, ground)

    found, rules, notes = hashes(tmp_path / "stored", tmp_path)

    assert rules == PixelRules(16, background)
    assert notes == {f"alpha composited on {background}"}
    assert found == hashes(tmp_path / "plain", tmp_path)[0]


def test_every_stage_uses_the_rules_of_the_data_set(tmp_path: Path, tiny_network: dict[str, Any]) -> None:
    for number in range(9):
        split = ("train", "val", "test")[number % 3]
        write_pair(tmp_path, f"{split}/gray/{number}.png", 0, number, 12, 1)
        write_pair(tmp_path, f"{split}/rgb/{number}.png", 1, number, 12, 3)
        write_drawing(tmp_path, f"{split}/white/{number}.png", number, 255, 0)
    quick: dict[str, Any] = {"strategy": "svm", "img_size": 32, "workers": 0, "threads": 1, "quiet": True}
    quick |= {"learning_curve": ["none"], "sets": ("svm.folds=0",), **tiny_network}  # folds depend on the files' bytes
    runs = {kind: topwork.train(tmp_path / kind, out=tmp_path / f"{kind}-run", **quick) for kind in ("stored", "plain")}

    stored, plain = (runs[kind].predictions for kind in ("stored", "plain"))
    assert stored.ids == plain.ids
    np.testing.assert_array_equal(stored.scores, plain.scores)
    model, rules = topwork.load(runs["stored"].path), PixelRules(12, "black")
    assert model.input_spec.pixel_rules == rules
    config = (runs["stored"].path / "config.toml").read_text()
    assert "bit_depth = 12" in config
    assert 'background = "black"' in config
    log = (runs["stored"].path / "train.log").read_text()
    assert "16-bit images use 12 bits: 4095 becomes white" in log
    assert "Transparent images are laid on black" in log
    data = json.loads((runs["stored"].path / "run.json").read_text())["details"]["data"]
    assert data["converted"] == {"12 of 16 bits scaled to 8": 18, "alpha composited on black": 9}
    assert "12 of 16 bits scaled to 8" in (runs["stored"].path / "report.html").read_text()

    names = [f"train/{label}/0.png" for label in ("gray", "rgb", "white")]
    for workers in (0, 1):  # in this process, and in decoder processes as the server does
        found = {
            kind: list(topwork.predict(runs[kind].path, [str(tmp_path / kind / name) for name in names],
                                       top=0, workers=workers, device="cpu"))
            for kind in runs
        }  # fmt: skip
        assert [one.top for one in found["stored"]] == [one.top for one in found["plain"]]
    for name in names:
        data = {kind: (tmp_path / kind / name).read_bytes() for kind in ("stored", "plain")}
        for task, spec in ((NETWORK_INPUT, model.input_spec), (THUMBNAIL, None)):
            one = handle(Request(task, data=data["stored"], spec=spec, rules=rules), DecoderLimits())
            assert one == handle(Request(task, data=data["plain"], spec=spec), DecoderLimits())

    models, dataset = open_runs(runs["stored"].path, torch.device("cpu"))  # as `topwork show` does
    assert models[0].spec.pixel_rules == rules
    for name in names:
        assert np.array_equal(dataset.load(name, 0), load_image(tmp_path / "plain" / name))
    found = topwork.check(tmp_path / "stored", quick=True, quiet=True, out=tmp_path / "check")
    assert [finding.text for finding in found.findings if finding.kind == "remark"] == rules.describe()


def test_a_specification_survives_json() -> None:
    spec = InputSpec(32, 36, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), PixelRules(12, "gray"))
    assert InputSpec.from_dict(json.loads(json.dumps(asdict(spec)))) == spec
