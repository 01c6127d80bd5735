"""Locate the model bundle in a run or a comparison, and the data set that it was trained on, if they still exist."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from topwork.core import commands
from topwork.core.artifacts import SPLITS, read_run_info, read_split
from topwork.core.errors import DataError, TopworkError, UsageError
from topwork.core.image_ref import ImageRef
from topwork.core.run_folders import check_links
from topwork.data.run_images import RunImages, read_run_images
from topwork.evaluation import target_metric
from topwork.report.folder_recommendation import recommend_in_folder

BUNDLE = "model"


@dataclass(frozen=True)
class ModelLocation:
    """Where a bundle is located.

    Attributes:
        bundle: Its folder.
        run: The run that it belongs to; None if it was moved away from it.
        note: What was chosen among several, for people; may be empty.
    """

    bundle: Path
    run: Path | None
    note: str = ""


def locate_bundle(path: str | os.PathLike[str], strategies: Collection[str] | None = None) -> ModelLocation:
    """The bundle in a folder, or the folder itself.

    Args:
        path: A run, a comparison (the strategy that is recommended for it) or a bundle.
        strategies: Only these of a comparison, if any of them has finished; None for all.

    Raises:
        UsageError: There is no such folder.
        DataError: It is none of these, nothing in it has finished, or a link leads out of the run.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist. Pass a run, a comparison or a model bundle (`topwork runs`).")
    if (folder / "model.json").is_file():
        run = folder.resolve().parent
        if folder.resolve().name != BUNDLE or not (run / "run.json").is_file():
            return ModelLocation(folder, None)
        return ModelLocation(folder, check_links(run))
    info = read_run_info(check_links(folder))
    if info.kind != "comparison":
        if not (folder / BUNDLE).is_dir():
            raise DataError(f"{folder} has no model: it has not finished. Resume with: {commands.resume(folder)}")
        return ModelLocation(folder / BUNDLE, folder)
    chosen = (recommend_in_folder(folder, strategies) if strategies else None) or recommend_in_folder(folder)
    if chosen is None:
        raise DataError(f"No strategy in {folder} has finished. Resume with: {commands.resume(folder)}")
    missing = [name for name in info.strategies if not (folder / name / "metrics.json").is_file()]
    rest = f"; not finished: {', '.join(missing)}" if missing else ""
    value = target_metric.describe(chosen.metric, chosen.values[chosen.name])
    reason = f"{target_metric.NAMES[chosen.metric]} there {value}"
    note = f"{chosen.name}, chosen on the validation images of {folder.name} ({reason}{rest})"
    return ModelLocation(folder / chosen.name / BUNDLE, folder / chosen.name, note)


@dataclass(frozen=True)
class TrainingData:
    """The data set of a run.

    Attributes:
        images: Where they are.
        labels: Split name to image id to class name.
    """

    images: RunImages
    labels: dict[str, dict[str, str]]

    def sample(self, split: str, limit: int) -> dict[str, ImageRef]:
        """At most ``limit`` images of a split, spread evenly over it; those that are gone or changed are missing."""
        return self.images.sample(self.labels[split], limit)


def locate_training_data(location: ModelLocation) -> TrainingData | None:
    """The images that the bundle's run was trained on; None for a standalone bundle, or if they are gone."""
    if location.run is None:
        return None
    try:
        splits = read_split(location.run / "split.csv")
    except (OSError, TopworkError, KeyError, ValueError):
        return None
    images = read_run_images(location.run)
    if images is None:
        return None
    labels = {
        split: {i: splits.classes[k] for i, k in zip(splits.ids[split], splits.labels[split], strict=True)}
        for split in SPLITS
    }
    return TrainingData(images, labels)
