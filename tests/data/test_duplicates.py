"""The same picture under other names, sizes, qualities and mirrored: found, and never torn apart by a split."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from topwork.core.artifacts import SPLITS
from topwork.core.config import DataConfig
from topwork.data.fingerprints import fingerprint, near_pairs
from topwork.data.manifest import build_manifest
from topwork.data.splits import make_folds, make_split


def scene(number: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A picture with something at every scale, of its own by number."""
    rng = np.random.default_rng(number)
    x, y = np.meshgrid(np.arange(size[0]) / size[0], np.arange(size[1]) / size[1])
    waves = np.zeros((size[1], size[0], 3))
    for f in (1, 2, 3, 5, 8, 13):
        a, b = rng.uniform(-f, f, 2)
        waves += np.sin(2 * np.pi * (a * x + b * y + rng.uniform()))[..., None] * rng.uniform(0.3, 1, 3) / np.sqrt(f)
    return Image.fromarray((127 + 45 * waves).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copies(image: Image.Image) -> dict[str, Image.Image]:
    w, h = image.size
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return {
        "smaller": image.resize((w // 2, h // 2), Image.Resampling.BILINEAR),
        "larger": image.resize((2 * w, 2 * h), Image.Resampling.BICUBIC),
        "poorer": Image.open(io.BytesIO(jpeg(image, 30))),
        "mirrored": mirrored,
        "quarter": image.transpose(Image.Transpose.ROTATE_90),
        "half": image.transpose(Image.Transpose.ROTATE_180),
        "three": image.transpose(Image.Transpose.ROTATE_270),
        "over": image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        "swapped": image.transpose(Image.Transpose.TRANSPOSE),
        "crossed": image.transpose(Image.Transpose.TRANSVERSE),
        "all": Image.open(io.BytesIO(jpeg(mirrored.resize((w * 2 // 3, h * 2 // 3)), 50))),
        "grey": image.convert("L").convert("RGB"),
    }


def test_copies_are_near_and_other_pictures_are_not() -> None:
    pictures = [scene(number) for number in range(60)]
    codes = [fingerprint(picture) for picture in pictures]
    owners = list(range(60))
    for number in range(0, 60, 6):
        for copy in copies(pictures[number]).values():
            codes.append(fingerprint(copy.convert("RGB")))
            owners.append(number)
    found = {tuple(pair) for pair in near_pairs(codes).tolist()}
    same = {(i, j) for i, j in itertools.combinations(range(len(codes)), 2) if owners[i] == owners[j]}
    assert found == same


def test_near_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(3)
    base = [scene(number) for number in range(12)]
    pictures = [base[number] for number in range(12)]
    for _ in range(30):
        pixels = np.asarray(base[rng.integers(12)]).astype(float)
        noisy = pixels + rng.normal(0, rng.uniform(0, 60), pixels.shape)
        pictures.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    codes = [fingerprint(picture) for picture in pictures]
    from topwork.data import fingerprints as module

    vectors = module._vectors(codes)
    alike = np.max([vectors @ other.T for other in module._orientations(vectors)], axis=0)
    least = module.threshold(vectors)
    i, j = np.nonzero(np.triu(alike >= least, 1))
    assert near_pairs(codes).tolist() == np.stack([i, j], axis=1).tolist()
    assert 0 < len(i) < 42 * 41 / 2


def test_flat_pictures_are_like_nothing() -> None:
    flat = [Image.new("RGB", (30, 30), (grey, grey, grey)) for grey in (0, 128, 255)]
    assert [fingerprint(picture) for picture in flat] == ["", "", ""]
    assert near_pairs(["", "", ""]).shape == (0, 2)
    assert near_pairs([]).shape == (0, 2)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 30 pictures, ten of each with a copy of each kind, exact ones among them."""
    root = tmp_path_factory.mktemp("leaky")
    for start, label in enumerate(("day", "night")):
        (root / label).mkdir()
        for number in range(30):
            picture = scene(1000 * start + number)
            picture.save(root / label / f"{number:02}.png")
            if number % 3 == 0:
                picture.save(root / label / f"x{number:02}.bmp")
                for kind, copy in copies(picture).items():
                    copy.convert("RGB").save(root / label / f"{kind}{number:02}.jpg", quality=85)
    return root


def test_no_split_that_is_made_here_leaks(leaky: Path, tmp_path: Path) -> None:
    manifest = build_manifest(DataConfig(path=str(leaky), source="folder"), tmp_path)
    owner = {row.id: (row.label, row.id[-6:-4]) for row in manifest.rows}
    for splits in [*(make_split(manifest, seed) for seed in range(5)), *make_folds(manifest, 0, 5)]:
        splits = [{owner[image] for image in splits.ids[split]} for split in SPLITS]
        assert sum(map(len, splits)) == len(set.union(*splits)) == 60
    exact = build_manifest(DataConfig(path=str(leaky), source="folder", near_duplicates=False), tmp_path)
    sets = {row.duplicates for row in exact.rows if row.duplicates}
    assert len(sets) == 20  # PNG and BMP of equal pixels
    splits = make_split(exact, 0)
    splits = [{owner[image] for image in splits.ids[split]} for split in SPLITS]
    assert sum(map(len, splits)) > 60  # so the test above can fail


def test_sets_are_named_by_content_and_remembered(leaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_manifest(DataConfig(path=str(leaky), source="folder"), tmp_path)
    sets = {
        name: {row.sha256 for row in first.rows if row.duplicates == name}
        for name in {r.duplicates for r in first.rows}
    }
    assert all(name == min(members)[:16] for name, members in sets.items() if name)
    monkeypatch.setattr("topwork.data.fingerprints.near_pairs", lambda codes: pytest.fail("searched again"))
    assert build_manifest(DataConfig(path=str(leaky), source="folder"), tmp_path) == first
