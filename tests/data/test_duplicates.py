"""The same picture under other names, sizes, qualities and mirrored: found, and never torn apart by a split."""

from __future__ import annotations

import io
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import topwork
from topwork.core.artifacts import SPLITS
from topwork.core.config import DataConfig
from topwork.data import fingerprints as module
from topwork.data.findings import dataset_summary, describe_split
from topwork.data.fingerprints import fingerprint
from topwork.data.manifest import build_manifest
from topwork.data.near_duplicates import NearDuplicates, find_near_duplicates, thumbnail_of
from topwork.data.split_units import DisjointSets, group_rows
from topwork.data.splits import make_folds, make_split


@cache
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


def sets_of(pictures: list[Image.Image]) -> tuple[set[frozenset[int]], NearDuplicates]:
    """The sets of near duplicates as positions."""
    codes = {f"{number:04}": fingerprint(picture) for number, picture in enumerate(pictures)}
    found = find_near_duplicates(codes, lambda names: [thumbnail_of(pictures[int(n)]) for n in names], NearDuplicates())
    sets = DisjointSets()
    for a, b in found.pairs:
        sets.join(int(a), int(b))
    members = group_rows(range(len(pictures)), lambda number: (sets.root(number),))
    assert len(found.pairs) == sum(len(same) - 1 for same in members)  # and no more, so that memory is linear
    return {frozenset(same) for same in members if len(same) > 1}, found


def test_copies_are_near_and_other_pictures_are_not() -> None:
    pictures = [scene(number) for number in range(60)]
    owners = list(range(60))
    for number in range(0, 60, 6):
        for copy in copies(pictures[number]).values():
            pictures.append(copy.convert("RGB"))
            owners.append(number)
    same = {frozenset(i for i, owner in enumerate(owners) if owner == number) for number in range(0, 60, 6)}
    assert sets_of(pictures)[0] == same


def outlined(number: int) -> Image.Image:
    """A scene with sharp lines, which a crop of a few pixels moves by their width."""
    rng, image = np.random.default_rng(number), scene(number, (360, 270)).filter(ImageFilter.GaussianBlur(4))
    for x, y, dx, dy, light in zip(
        *rng.uniform((0, 0), (360, 270), (6, 2)).T, *rng.normal(0, 40, (2, 6)), [0, 1] * 3, strict=True
    ):
        ImageDraw.Draw(image).line((x, y, x + dx, y + dy), (255 * light,) * 3, 6)
    return image


def test_copies_that_are_cropped_by_two_percent_are_found() -> None:
    pictures, corners = [outlined(number) for number in range(20)], [(7, 0), (0, 5), (3, 2), (0, 0)] * 5
    cropped = [p.crop((x, y, x + 353, y + 265)) for p, (x, y) in zip(pictures, corners, strict=True)]
    assert sets_of([*pictures, *cropped])[0] == {frozenset({number, 20 + number}) for number in range(20)}


def test_candidates_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(3)
    base = [scene(number) for number in range(12)]
    pictures = [base[number] for number in range(12)]
    for _ in range(30):
        pixels = np.asarray(base[rng.integers(12)]).astype(float)
        noisy = pixels + rng.normal(0, rng.uniform(0, 60), pixels.shape)
        pictures.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    pictures += [picture.transpose(Image.Transpose.ROTATE_90) for picture in base[:4]]
    vectors = module.vectors_of([fingerprint(picture) for picture in pictures])
    least = module.threshold(vectors)
    alike = np.stack([vectors @ module.turned(vectors, turn).T for turn in range(8)], axis=2)
    expected = {tuple(place) for place in np.argwhere(alike >= least).tolist() if place[0] < place[1]}
    found = [tuple(pair) for pairs in module.near_pairs(vectors, least) for pair in pairs.tolist()]
    assert set(found) == expected
    assert len(found) == len(expected) > 46
    turns = {turn for i, j, turn in found if j >= 42}
    assert 0 not in turns
    for i, j, turn in expected:  # the orientation is the one in which the pixels are equal
        a, b = (thumbnail_of(pictures[place].resize((90, 90)))[0].astype(float) for place in (i, j))
        assert turn == max(range(8), key=lambda turn: np.corrcoef(a.ravel(), module.turn_pixels(b, turn).ravel())[0, 1])


def test_flat_pictures_are_like_nothing() -> None:
    flat = [Image.new("RGB", (30, 30), (grey, grey, grey)) for grey in (0, 128, 255)]
    assert [fingerprint(picture) for picture in flat] == ["", "", ""]
    assert sets_of(flat)[0] == sets_of([])[0] == set()


def frame(camera: int, label: int, number: int, sides: tuple[int, int] = (18, 10)) -> Image.Image:
    """A frame of a fixed camera: its scene with sensor noise and, but for label 0, an ellipse, flat or tall."""
    rng = np.random.default_rng(10_000 * camera + 1000 * label + number)
    image = scene(camera, size := (240, 180))
    if label:
        x, y = rng.uniform(10, size[0] - 40), rng.uniform(10, size[1] - 40)
        width, height = sides if label == 1 else sides[::-1]
        color = tuple(int(value) for value in rng.integers(20, 90, 3))
        ImageDraw.Draw(image).ellipse((x, y, x + width, y + height), fill=color)
    noisy = np.asarray(image) * rng.uniform(0.95, 1.05) + rng.normal(0, 3, (size[1], size[0], 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def test_frames_in_which_something_else_is_seen_are_no_copies() -> None:
    """Few frames of each of many cameras: their fingerprints are nearly equal, and the classes differ in a detail."""
    pictures = [frame(camera, label, number) for camera in range(12) for label in (1, 2) for number in range(3)]
    codes = module.vectors_of([fingerprint(picture) for picture in pictures])
    assert sum(map(len, module.near_pairs(codes, module.threshold(codes)))) >= 40  # candidates
    assert sets_of(pictures) == (set(), NearDuplicates(sets_of(pictures)[1].key))
    turned = pictures[5].transpose(Image.Transpose.ROTATE_270)
    assert sets_of([*pictures, turned])[0] == {frozenset({5, len(pictures)})}  # copies among them are still found
    poorer = Image.open(io.BytesIO(jpeg(pictures[9].resize((200, 150)), 50)))
    assert sets_of([*pictures, poorer])[0] == {frozenset({9, len(pictures)})}


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camera") / "frames"
    for label, name in enumerate(("empty", "flat", "tall")):
        (root / name).mkdir(parents=True)
        for number in range(14):
            frame(0, label, number, (28, 16)).save(root / name / f"{number:02}.png")
    return root


def test_frames_of_one_camera_are_said_to_be_similar_and_all_are_used(camera: Path, tmp_path: Path) -> None:
    excluded = tmp_path / "out.csv"
    found = topwork.check(camera, quick=True, out=tmp_path / "check", write_exclude=excluded, quiet=True)
    assert [finding.kind for finding in found.findings] == ["remark"]
    assert not found.problems
    assert "Near duplicates were not searched" in found.findings[0].text
    assert excluded.read_text().split() == ["image,reason"]
    shutil.copytree(camera, tmp_path / "two")
    for number in range(3):  # equal pixels are found all the same
        shutil.copy(camera / f"flat/{number:02}.png", tmp_path / f"two/tall/x{number}.png")
    manifest = build_manifest(DataConfig(path=str(tmp_path / "two")), tmp_path / "cache")
    assert sum(bool(row.duplicates) for row in manifest.rows) == 6
    splits = make_split(manifest, 0)  # which was refused: no class had enough different images
    assert any("Near duplicates were not searched" in line for line in describe_split(manifest, splits, ""))
    assert "Near duplicates were not searched" in dataset_summary(manifest, splits)["note"]


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
    monkeypatch.setattr("topwork.data.near_duplicates.near_pairs", lambda *_: pytest.fail("searched again"))
    assert build_manifest(DataConfig(path=str(leaky), source="folder"), tmp_path) == first
