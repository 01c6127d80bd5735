"""Thumbnails of the images that a report shows, and nothing else that a file names."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from topwork.core import storage
from topwork.core.artifacts import Splits
from topwork.report import shown_images, thumbnails
from topwork.report.image_choice import Neighbour
from topwork.report.report_data import read_report_data
from topwork.report.shown_images import write_folder_thumbnails, write_nearest
from topwork.report.thumbnails import read_thumbnails

Comparison = Callable[..., Path]


def picture(image_id: str) -> Image.Image:
    return Image.new("L", (400, 100), len(image_id) % 255)


def write_split(folder: Path, **classes: list[str]) -> None:
    names, none = tuple(sorted(classes)), np.zeros(0, dtype=np.int64)
    ids = [image for name in names for image in classes[name]]
    labels = np.array([i for i, name in enumerate(names) for _ in classes[name]])
    Splits(names, {"train": tuple(ids), "val": (), "test": ()}, {"train": labels, "val": none, "test": none}).write(
        folder / "split.csv"
    )


def test_the_report_of_a_run_has_a_thumbnail_of_every_image_that_it_shows(comparison: Comparison) -> None:
    run = comparison(finished=("svm",)) / "svm"
    write_nearest(run, {})
    write_folder_thumbnails(run, picture, [("what the network gets", picture("x"))])
    data = read_report_data(run)
    wanted = shown_images._ids(data.predictions, {}, {})
    assert len(wanted) > 12
    assert list(data.images.thumbnails) == wanted
    stored = read_thumbnails(run)
    assert stored.inputs[0][0] == data.images.inputs[0][0] == "what the network gets"
    (run / "one.jpg").write_bytes(stored.images[wanted[0]])
    with Image.open(run / "one.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (160, 40))


def test_a_comparison_stores_what_its_runs_have_not(comparison: Comparison) -> None:
    folder = comparison(finished=("svm", "mlp"))
    write_split(folder, defective=["a/1.png", "a/2.png"], functional=["b/1.png"])
    worst = read_report_data(folder).predictions["svm"].ids[0]
    write_nearest(folder / "svm", {worst: [Neighbour("a/2.png", "defective", 0.25)]})
    for path in (folder / "svm", folder / "mlp", folder):
        write_folder_thumbnails(path, picture)
    known = {image for name in ("svm", "mlp") for image in read_thumbnails(folder / name).images}
    own = set(read_thumbnails(folder).images)
    assert own == {"a/1.png", "a/2.png", "b/1.png"} - known
    data = read_report_data(folder)
    assert {"a/1.png", "a/2.png", "b/1.png"} <= set(data.images.thumbnails)
    assert data.images.neighbours["svm"][worst] == (Neighbour("a/2.png", "defective", 0.25),)
    assert set(read_report_data(folder / "svm").images.of_classes) == set()  # its split.csv is gone


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("not an image")])
def test_an_image_that_is_gone_has_no_thumbnail(comparison: Comparison, error: Exception) -> None:
    folder = comparison(finished=("svm",)) / "svm"

    def load(image_id: str) -> Image.Image:
        raise error

    write_folder_thumbnails(folder, load)
    assert read_thumbnails(folder).images == {}
    assert read_report_data(folder).images.thumbnails == {}


@pytest.mark.parametrize(
    "value",
    [
        [], {"images": []}, {"images": {"a": 7}}, {"images": {"a": "no base64!"}}, {"inputs": [["caption", "AAAA"], 3]},
        {"images": {"a": base64.b64encode(b"<svg onload=alert(1)>").decode()}},
    ],
)  # fmt: skip
def test_what_is_no_jpeg_is_not_shown(tmp_path: Path, value: object) -> None:
    storage.write_json(tmp_path / thumbnails.FILE, value)
    assert read_thumbnails(tmp_path) == thumbnails.Thumbnails()


def test_a_page_has_the_most_important_images_up_to_a_limit(comparison: Comparison) -> None:
    run = comparison(finished=("svm",)) / "svm"
    write_folder_thumbnails(run, lambda _: Image.effect_noise((160, 160), 90))
    everything = read_report_data(run).images.thumbnails
    size = len(next(iter(read_thumbnails(run).images.values())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thumbnails, "MAX_BYTES", 5 * size + size // 2)
        some = read_report_data(run).images.thumbnails
    assert 3 <= len(some) <= 6
    assert next(iter(some)) == next(iter(everything))
