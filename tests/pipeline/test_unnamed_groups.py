"""``check`` proposes groups that nobody named, with a command that can be pasted; ``compare`` warns of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.data.layouts.reading import parse

import topwork
from topwork.core.artifacts import ImageRow, Manifest, read_run_info
from topwork.data.findings import Finding
from topwork.data.sources import list_images
from topwork.pipeline import configure
from topwork.pipeline.check import format_check
from topwork.pipeline.held_out import ImageFeatures
from topwork.pipeline.unnamed_groups import SplitBias, measure_split_bias

PATIENTS, EACH = 16, 8


def draw_patient(patient: int, number: int, label: int) -> Image.Image:
    """A disc or a square somewhere before the background of the patient."""
    rng, own = np.random.default_rng([patient, number]), np.random.default_rng(patient)
    colors = own.integers(0, 256, (5, 3))
    grid = colors[own.integers(0, 5, (6, 6))].astype(np.uint8)
    image = Image.fromarray(grid).resize((72, 72), Image.Resampling.NEAREST)
    image = image.crop((*(corner := rng.integers(0, 5, 2).tolist()), corner[0] + 66, corner[1] + 66))
    x, y = rng.integers(6, 44, 2).tolist()
    pen, box = ImageDraw.Draw(image), (x, y, x + 14, y + 14)
    color = tuple(rng.integers(0, 256, 3).tolist())
    pen.ellipse(box, fill=color) if label else pen.rectangle(box, fill=color)
    return image


def write_patients(root: Path, name: str) -> Path:
    for patient in range(PATIENTS):
        for number in range(EACH):
            label = (patient + number) % 2
            path = root / f"class{label}" / name.format(patient=patient, number=number, all=patient * EACH + number)
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_patient(patient, number, label).save(path)
    return root


def found_groups(findings: tuple[Finding, ...]) -> Finding:
    (found,) = (finding for finding in findings if finding.kind == "unnamed-groups")
    return found


def listed_groups(command: str) -> set[frozenset[str]]:
    """The groups of the images that a printed command reads, by the names of the files."""
    words = shlex.split(command)
    assert words[:2] == ["topwork", "compare"]
    options = {flag[2:].replace("-", "_"): value for flag, value in zip(words[3::2], words[4::2], strict=True)}
    groups: dict[str, set[str]] = {}
    for row in list_images(configure.build(words[2], ["knn"], options=options).data).rows:
        groups.setdefault(row.group, set()).add(Path(row.id).name)
    groups.pop("", None)
    return {frozenset(images) for images in groups.values()}


@pytest.mark.parametrize("name", ["p{patient:02}_{number:02}.png", "{all:04}.png"], ids=["named", "numbered"])
def test_patients_are_proposed_with_a_command_that_keeps_them_together(
    name: str, tmp_path: Path, tiny_network: dict[str, Any]
) -> None:
    data = write_patients(tmp_path / "my images", name)
    network = tiny_network if "patient" in name else {}  # an order shows only what features show
    result = topwork.check(data, out=tmp_path / "out", img_size=64, workers=0, quiet=True, **network)
    found = found_groups(result.findings)
    members = {frozenset(Path(image).name for image in group) for group in found.groups}
    assert listed_groups(found.command) == members
    assert ("--group-by" in found.command) == ("patient" in name)
    planted = [
        frozenset(name.format(patient=p, number=n, all=p * EACH + n) for n in range(EACH)) for p in range(PATIENTS)
    ]
    hits = sum(any(len(group & own) >= 0.75 * max(len(group), len(own)) for own in members) for group in planted)
    assert hits == PATIENTS if "patient" in name else hits >= 0.8 * PATIENTS
    assert any(found.command in line for line in format_check(result))
    assert any("with a random split" in line for line in found.details)
    page = result.page.read_text("utf-8")
    assert "<pre" in page
    assert page.count("data:image/jpeg") >= PATIENTS
    assert json.loads((tmp_path / "out" / "check.json").read_text())["findings"][0]["kind"] == "unnamed-groups"


def test_a_given_split_that_divides_groups_is_replaced(tmp_path: Path) -> None:
    data = write_patients(tmp_path / "data", "p{patient:02}_{number:02}.png")
    for split, numbers in (("train", range(6)), ("test", range(6, EACH))):
        for number in numbers:
            for path in sorted(data.glob(f"class?/*_{number:02}.png")):
                (data / split / path.parent.name).mkdir(parents=True, exist_ok=True)
                path.rename(data / split / path.parent.name / path.name)
    for label in range(2):
        (data / f"class{label}").rmdir()
    found = found_groups(topwork.check(data, out=tmp_path / "out", quick=True, quiet=True).findings)
    assert found.command.endswith("--set data.splits=new")
    assert parse(shlex.split(found.command)).data.splits == "new"
    assert f"{PATIENTS} of the groups are in more than one of the splits that the data come with." in found.details


def test_compare_warns_unless_groups_are_named(tmp_path: Path, tiny_network: dict[str, Any]) -> None:
    data = write_patients(tmp_path / "data", "p{patient:02}_{number:02}.png")
    options: dict[str, Any] = {"img_size": 32, "workers": 0, "quiet": True, "learning_curve": ["none"], **tiny_network}
    notes = {}
    for name, more in (("alone", {}), ("grouped", {"group_by": "p[0-9]+"})):
        run = topwork.compare(data, strategies=["knn"], out=tmp_path / name, **more, **options)
        notes[name] = read_run_info(run.path).details["data"]["note"]
    assert f"{PATIENTS * EACH} images seem to belong to {PATIENTS} groups that were not named" in notes["alone"]
    assert "topwork check" in notes["alone"]
    assert "seem to belong" not in notes["grouped"]


@pytest.mark.parametrize("strength", [3.0, 0.0])
def test_what_a_random_split_adds_is_measured_with_groups_as_units(strength: float) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 8)
    labels = rng.integers(2, size=50)[groups]  # of a patient, all images are of one class
    shown = strength * rng.normal(size=(50, 24))[groups] + rng.normal(size=(400, 24))
    shown[:, 0] += labels
    rows = tuple(
        ImageRow(f"{i}.png", f"class{label}", sha256=f"{i:064x}", group=f"p{group}")
        for i, (label, group) in enumerate(zip(labels.tolist(), groups.tolist(), strict=True))
    )
    manifest = Manifest(Path(), rows, "drawn")
    bias = measure_split_bias(ImageFeatures(manifest, shown.astype(np.float32)), manifest, 0)
    assert bias is not None
    assert bias.images == 400
    assert bias.low <= bias.random - bias.grouped <= bias.high
    if strength:
        assert bias.low > 0.1
    else:
        assert abs(bias.random - bias.grouped) < 0.05
        assert bias.low < 0 < bias.high
    assert f"difference {100 * (bias.random - bias.grouped):.1f} [" in bias.describe()


def test_the_page_shows_what_is_printed() -> None:
    page = " ".join((Path(__file__).parents[2] / "docs/how-to/groups.md").read_text("utf-8").split())
    assert SplitBias(0.861, 0.8405, -0.008, 0.048, 5, 2624).describe() in page
