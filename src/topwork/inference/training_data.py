"""The data set that a run was trained on, if it still exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from topwork.core import config
from topwork.core.artifacts import SPLITS, read_split
from topwork.core.errors import TopworkError
from topwork.core.image_ref import ImageRef
from topwork.data.locations import exists
from topwork.data.manifest import listing_of
from topwork.inference.locate import ModelLocation


@dataclass(frozen=True)
class TrainingData:
    """The data set of a run.

    Attributes:
        root: Folder that image ids are relative to.
        labels: Split name to image id to class name.
        refs: Image id to where its bytes are.
    """

    root: Path
    labels: dict[str, dict[str, str]]
    refs: Mapping[str, ImageRef] = field(default_factory=dict)

    def sample(self, split: str, limit: int) -> list[ImageRef]:
        """At most ``limit`` existing images of a split, spread evenly over it."""
        ids = list(self.labels[split])
        chosen = ids if len(ids) <= limit else [ids[i * len(ids) // limit] for i in range(limit)]
        return [self.refs[i] for i in chosen if i in self.refs and exists(self.refs[i])]


def locate_training_data(location: ModelLocation) -> TrainingData | None:
    """The data set that the bundle's run was trained on; None for a standalone bundle, or if the images are gone."""
    if location.run is None:
        return None
    try:
        listing = listing_of(config.read(location.run / "config.toml").data)
        splits = read_split(location.run / "split.csv")
    except (OSError, TopworkError, KeyError, ValueError):
        return None
    labels = {
        split: {i: splits.classes[k] for i, k in zip(splits.ids[split], splits.labels[split], strict=True)}
        for split in SPLITS
    }
    return TrainingData(listing.root, labels, listing.refs)
