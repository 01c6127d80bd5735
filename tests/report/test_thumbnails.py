"""Small pictures of the worst errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from topwork.core import storage
from topwork.core.predictions import read_predictions
from topwork.report.report_data import most_confident_errors, read_report_data
from topwork.report.thumbnails import thumbnail_name, write_thumbnails


def picture(image_id: str) -> Image.Image:
    return Image.new("L", (400, 100), len(image_id) % 255)


def test_each_of_the_worst_errors_has_a_small_jpeg(comparison: Callable[..., Path]) -> None:
    folder = comparison(finished=("svm",)) / "svm"
    write_thumbnails(folder, picture)
    index = storage.read_json(folder / "thumbnails" / "index.json")
    wanted = most_confident_errors(read_predictions(folder / "predictions.csv"))
    assert list(index) == [error.id for error in wanted]
    for name in index.values():
        with Image.open(folder / "thumbnails" / name) as image:
            assert (image.format, image.size) == ("JPEG", (160, 40))
    shown = read_report_data(folder)
    assert set(shown.thumbnails) == {error.id for error in shown.strategies[0].errors}


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("not an image")])
def test_an_image_that_is_gone_has_no_thumbnail(comparison: Callable[..., Path], error: Exception) -> None:
    folder = comparison(finished=("svm",)) / "svm"

    def load(image_id: str) -> Image.Image:
        raise error

    write_thumbnails(folder, load)
    assert storage.read_json(folder / "thumbnails" / "index.json") == {}
    assert read_report_data(folder).thumbnails == {}


def test_names_are_safe_and_differ() -> None:
    ids = ["a/b.png", "a b.png", "../../etc/x.png", "ä/\udcff.png", "x" * 300, "CON"]
    names = [thumbnail_name(image_id) for image_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert name.isascii()
        assert len(name) < 80
        assert Path(name).name == name
        assert not name.startswith(".")


def test_the_index_does_not_reach_out_of_its_folder(comparison: Callable[..., Path]) -> None:
    folder = comparison(finished=("svm",)) / "svm"
    Image.new("RGB", (8, 8)).save(folder / "secret.jpg")
    worst = read_report_data(folder).strategies[0].errors[0].id
    storage.write_json(folder / "thumbnails" / "index.json", {worst: "../secret.jpg"})
    assert read_report_data(folder).thumbnails == {}
    (folder / "thumbnails" / "note.jpg").write_text("not a picture")
    storage.write_json(folder / "thumbnails" / "index.json", {worst: "note.jpg"})
    assert read_report_data(folder).thumbnails == {}
