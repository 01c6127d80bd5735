"""The images of a report: which a folder's report shows, their thumbnails, and similar training images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from topwork.core import artifacts, commands, storage
from topwork.core.errors import CorruptFile
from topwork.core.predictions import Predictions
from topwork.report import image_choice, thumbnails
from topwork.report.folder_evaluation import read_test_predictions
from topwork.report.folder_recommendation import finished_runs
from topwork.report.image_choice import Neighbour
from topwork.report.strategy_differences import disagreements

MAX_ERRORS = 12
NEAREST = "nearest.csv"  # of a run: training images that are similar to misclassified test images
NEAREST_COLUMNS = ("image", "training image", "label", "distance")
_DISTANCE = re.compile(r"[01]\.\d{6}|2\.000000")


@dataclass(frozen=True)
class ShownImages:
    """What a report shows of images.

    Attributes:
        of_classes: Ids of some training images of each class.
        neighbours: Similar training images, by strategy and test image.
        thumbnails: ``data:`` URLs by image id.
        inputs: What a network gets of one image: captions and ``data:`` URLs.
    """

    of_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    neighbours: Mapping[str, Mapping[str, tuple[Neighbour, ...]]] = field(default_factory=dict)
    thumbnails: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()


def write_folder_thumbnails(
    folder: Path, load: Callable[[str], Image.Image], inputs: Sequence[tuple[str, Image.Image]] = ()
) -> None:
    """Write ``thumbnails.json`` of a run or comparison, as far as it is finished.

    A comparison has those that its runs have not; the run of a comparison leaves the examples of classes to it.

    Args:
        folder: Has ``run.json`` and ``split.csv``.
        load, inputs: See ``write_thumbnails``.

    Raises:
        StorageError: The folder cannot be written.
    """
    predictions = read_test_predictions(folder)
    runs = _runs(folder)
    known = {image for run in runs if run != folder for image in thumbnails.read_thumbnails(run).images}
    before = thumbnails.read_thumbnails(folder).images
    of_classes = _class_examples(folder) if commands.resumable_folder(folder) == folder else {}
    ids = [image for image in _ids(predictions, _neighbours(folder), of_classes) if image not in known]
    thumbnails.write_thumbnails(folder, ids, load, inputs, before)


def read_shown_images(folder: Path, predictions: Mapping[str, Predictions]) -> ShownImages:
    """What the report of a folder shows of images: the most important ones, up to ``thumbnails.MAX_BYTES``.

    Args:
        folder: Of a run or a comparison.
        predictions: On the test images by strategy.
    """
    of_classes, neighbours = _class_examples(folder), _neighbours(folder)
    files = [
        thumbnails.read_thumbnails(path) for path in dict.fromkeys([*_runs(folder), commands.resumable_folder(folder)])
    ]
    found: dict[str, str] = {}
    size = 0
    for image in _ids(predictions, neighbours, of_classes):
        jpeg = next((file.images[image] for file in files if image in file.images), b"")
        if jpeg and size + len(jpeg) <= thumbnails.MAX_BYTES:
            size += len(jpeg)
            found[image] = thumbnails.data_url(jpeg)
    inputs = max((file.inputs for file in files), key=len, default=())
    return ShownImages(
        of_classes, neighbours, found, tuple((caption, thumbnails.data_url(jpeg)) for caption, jpeg in inputs)
    )


def write_nearest(run: Path, neighbours: Mapping[str, Sequence[Neighbour]]) -> None:
    """Write ``nearest.csv``: similar training images by test image."""
    rows = [(image, n.id, n.label, f"{n.distance:.6f}") for image, found in neighbours.items() for n in found]
    storage.write_csv(run / NEAREST, NEAREST_COLUMNS, rows)


def _runs(folder: Path) -> list[Path]:
    """The folder and the runs in it that have finished, those of seeds and folds included."""
    return list(dict.fromkeys([folder, *(path for paths in finished_runs(folder).values() for path in paths)]))


def _ids(
    predictions: Mapping[str, Predictions],
    neighbours: Mapping[str, Mapping[str, tuple[Neighbour, ...]]],
    of_classes: Mapping[str, tuple[str, ...]],
) -> list[str]:
    """All images that a report shows, the most important first."""
    lists = [image_choice.shown_in_run(p, neighbours.get(name, {}), MAX_ERRORS) for name, p in predictions.items()]
    first = [image for ids in lists for image in ids[: 2 * image_choice.MAX_EXAMPLES + MAX_ERRORS]]
    in_classes = [
        image
        for turn in range(image_choice.MAX_OF_CLASS)
        for ids in of_classes.values()
        for image in ids[turn : turn + 1]
    ]
    differing = [d.id for d in disagreements(predictions)]
    return list(dict.fromkeys([*first, *in_classes, *differing, *(image for ids in lists for image in ids)]))


def _class_examples(folder: Path) -> dict[str, tuple[str, ...]]:
    path = folder / "split.csv"
    if not path.is_file():
        return {}
    splits, images = artifacts.read_split(path), dict[str, list[str]]()
    for image, label in zip(splits.ids["train"], splits.labels["train"], strict=True):
        images.setdefault(splits.classes[label], []).append(image)
    return image_choice.class_examples(images)


def _neighbours(folder: Path) -> dict[str, dict[str, tuple[Neighbour, ...]]]:
    """Similar training images by strategy and test image; with folds of all of them."""
    found = {}
    for name, runs in finished_runs(folder).items():
        by_image: dict[str, tuple[Neighbour, ...]] = {}
        for run in reversed(runs):  # of equal images that of the first counts
            rows = storage.read_csv(run / NEAREST, NEAREST_COLUMNS) if (run / NEAREST).is_file() else []
            own: dict[str, tuple[Neighbour, ...]] = {}
            for row in rows:
                if not _DISTANCE.fullmatch(row["distance"]):
                    raise CorruptFile(f"{run / NEAREST} has a distance {row['distance'][:20]!r}. Train again.")
                one = Neighbour(row["training image"], row["label"], float(row["distance"]))
                own[row["image"]] = (*own.get(row["image"], ()), one)
            by_image |= own
        found[name] = by_image
    return found
