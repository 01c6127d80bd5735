"""Groups that nobody named: planted ones are found by names, times and order, and independent images are not joined."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from topwork.core.artifacts import ImageRow
from topwork.core.config import DataConfig
from topwork.data.group_evidence.proposal import Proposal, propose_groups
from topwork.data.group_evidence.times import parse_time
from topwork.data.images import decode
from topwork.data.sources import list_images

FEATURES, CLASSES = 48, 3


class Drawn:
    """Features of images: what the class shows, what the group shows, and what only the image shows.

    Args:
        sizes: Images of each group in order; those of 1 are independent.
        strength: Of what a group shows, in units of what an image shows.
    """

    def __init__(self, sizes: Sequence[int], strength: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.groups = np.repeat(np.arange(len(sizes)), sizes)
        self.alone = np.repeat(np.array(sizes) == 1, sizes)
        self.labels = rng.integers(CLASSES, size=len(self.groups))
        shown = [rng.normal(size=(count, FEATURES)) for count in (CLASSES, len(sizes), len(self.groups))]
        self.features = (4 + 2 * shown[0][self.labels] + strength * shown[1][self.groups] + shown[2]).astype(np.float32)

    def rows(self, names: Sequence[str], **fields: Sequence[str]) -> list[ImageRow]:
        values = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)] or [{}] * len(
            names
        )
        return [
            ImageRow(name, f"class{label}", sha256=f"{number:064x}", **value)
            for number, (name, label, value) in enumerate(zip(names, self.labels.tolist(), values, strict=True))
        ]

    def numbered(self) -> list[ImageRow]:
        return self.rows([f"IMG_{412 + number:05}.jpg" for number in range(len(self.groups))])

    def shares(self, found: Proposal | None) -> tuple[float, float]:
        """Of groups found, nearly complete and nearly pure, and of independent images joined."""
        if found is None:
            return 0.0, 0.0
        sizes = np.bincount(found.groups)
        several = np.unique(self.groups[~self.alone]).tolist()
        hits = 0
        for number in several:
            own = found.groups[self.groups == number]
            largest = np.bincount(own).argmax()
            hits += (own == largest).sum() >= 0.8 * max(len(own), sizes[largest])
        return hits / len(several), float((sizes[found.groups[self.alone]] > 1).mean()) if self.alone.any() else 0.0


def mixed(rng: np.random.Generator, low: int, high: int, groups: int, alone: int) -> list[int]:
    """Sizes of groups and of independent images in random order."""
    return rng.permutation([*rng.integers(low, high, groups).tolist(), *[1] * alone]).tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("low", "high", "groups", "alone", "strength"),
    [(3, 9, 40, 300, 3.0), (12, 30, 12, 200, 2.0), (8, 20, 25, 0, 1.5)],
    ids=["bursts", "video", "patients"],
)
def test_runs_of_similar_images_are_found(
    low: int, high: int, groups: int, alone: int, strength: float, seed: int
) -> None:
    drawn = Drawn(mixed(np.random.default_rng(seed), low, high, groups, alone), strength, seed)
    found = propose_groups(drawn.numbered(), drawn.features)
    assert found is not None
    assert found.evidence == ("files that follow each other by name",)
    hits, joined = drawn.shares(found)
    assert hits >= 0.9
    assert joined <= 0.01


@pytest.mark.parametrize("seed", range(5))
def test_independent_images_are_not_joined_whatever_their_names(seed: int) -> None:
    drawn = Drawn([1] * 300, 0.0, seed)
    drawn.labels.sort()  # in order of the classes
    number = range(300)
    times = [f"2024:05:03 10:{i // 60:02}:{i % 60:02}" for i in number]
    for rows in (
        drawn.numbered(),
        drawn.rows([f"p{i // 10:03}_{i % 10:02}.jpg" for i in number]),
        drawn.rows([f"class{drawn.labels[i]}/plate {i % 20}/{i:04}.png" for i in number]),
        drawn.rows([f"{i:04}.jpg" for i in np.random.default_rng(seed).permutation(300)], taken=times),
    ):
        assert propose_groups(rows, drawn.features) is None


@pytest.mark.parametrize("seed", range(3))
def test_another_order_of_the_files_shows_no_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = Drawn(mixed(rng, 3, 9, 40, 200), 3.0, seed)
    names = [f"IMG_{number:05}.jpg" for number in rng.permutation(len(drawn.groups))]
    found = propose_groups(drawn.rows(names), drawn.features)
    assert found is None or len(found.members) <= 3


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("class{label}/p{group:03}_{number:03}.png", r"(?:^|/)([^/_ .-]+)[_ .-]+[^/]*[.][^/.]*$"),
        ("class{label}/{number:05}-p{group}.png", r"(?:^|/)[^/_ .-]+[_ .-]+([^/_ .-]+)(?:[_ .-]+[^/]*)?[.][^/.]*$"),
        ("class{label}/r{group:02}f{number}.tif", r"(?:^|/)([^/\d]*\d+)[^/\d.][^/]*[.][^/.]*$"),
        ("class{label}/patient {group}/{number}.png", r"^[^/]+/([^/]+)/"),
    ],
)
def test_groups_in_names_have_a_pattern_that_makes_them(name: str, pattern: str, tmp_path: Path) -> None:
    drawn = Drawn([12] * 20, 1.5)
    order = np.random.default_rng(1).permutation(240)  # so that no order shows them
    names = [
        name.format(label=drawn.labels[i], group=drawn.groups[i], number=order[i]) for i in range(len(drawn.groups))
    ]
    rows = drawn.rows(names)
    found = propose_groups(rows, drawn.features)
    assert found is not None
    assert found.pattern == pattern
    assert drawn.shares(found) == (1.0, 0.0)
    for row in rows:
        path = tmp_path / row.id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image")
    options = {"path": str(tmp_path), "layout": "class/*" if "patient" in name else "class", "group_by": pattern}
    listed = {row.id: row.group for row in list_images(DataConfig.model_validate(options)).rows}
    members = {frozenset(row.id for row in group) for group in found.members}
    of_group: dict[str, set[str]] = {}
    for image, group in listed.items():
        of_group.setdefault(group, set()).add(image)
    assert members == {frozenset(images) for images in of_group.values()}


def test_a_coarser_group_is_proposed_if_it_shows_beyond_the_finer() -> None:
    drawn = Drawn([12] * 20, 1.5)
    names = [f"p{group:02}_lesion{i % 3}_{i:04}.png" for i, group in enumerate(drawn.groups)]
    found = propose_groups(drawn.rows(names), drawn.features)
    assert found is not None
    assert drawn.shares(found) == (1.0, 0.0)
    of_lesions = Drawn([4] * 60, 1.5)
    names = [f"p{group // 3:02}_lesion{group}_{i:04}.png" for i, group in enumerate(of_lesions.groups)]
    found = propose_groups(of_lesions.rows(names), of_lesions.features)
    assert found is not None
    assert of_lesions.shares(found) == (1.0, 0.0)


def test_times_of_exposure_show_bursts_that_names_hide() -> None:
    drawn = Drawn([5] * 40, 3.0)
    names = [f"{number:04}.jpg" for number in np.random.default_rng(2).permutation(200)]
    times = [f"2024:05:03 {10 + g // 60:02}:{g % 60:02}:{i % 5:02}" for i, g in enumerate(drawn.groups)]
    found = propose_groups(drawn.rows(names, taken=times, camera=["a"] * 200), drawn.features)
    assert found is not None
    assert any("time" in evidence for evidence in found.evidence)
    assert drawn.shares(found)[0] >= 0.9


def test_copies_of_an_image_are_no_evidence() -> None:
    drawn = Drawn([4] * 60, 20.0)
    rows = drawn.numbered()
    copies = [
        ImageRow(row.id, row.label, sha256=row.sha256, duplicates=f"set{group}")
        for row, group in zip(rows, drawn.groups, strict=True)
    ]
    assert propose_groups(copies, drawn.features) is None
    assert propose_groups(rows, drawn.features) is not None


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_time_and_camera_are_read_and_broken_ones_ignored(format: str) -> None:
    exif = Image.Exif()
    exif[0x0110] = "A camera"
    exif.get_ifd(0x8769).update({0x9003: "2024:05:03 10:11:12", 0x9291: "25", 0xA431: "1234"})
    found = {}
    for name, value in (("exif", exif.tobytes()), ("broken", b"Exif\0\0broken"), ("none", b"")):
        value = b"" if name == "broken" and format == "TIFF" else value  # Pillow writes no broken TIFF
        file = io.BytesIO()
        Image.new("RGB", (40, 40), (10, 90, 200)).save(file, format, **({"exif": value} if value else {}))
        found[name] = decode(file.getvalue(), survey=True)[1]
    assert found["exif"].taken == "2024:05:03 10:11:12.25"
    assert len(found["exif"].camera) == 8
    assert [(found[name].taken, found[name].camera) for name in ("broken", "none")] == [("", ""), ("", "")]


def test_a_time_is_seconds_with_fractions() -> None:
    assert parse_time("2024:05:03 10:11:12.25") - parse_time("2024:05:03 10:11:10") == 2.25
    assert np.isnan([parse_time(text) for text in ("", "0000:00:00 00:00:00", "yesterday")]).all()
