"""Where the images of a run lie, if they are still there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topwork.core import config
from topwork.core.artifacts import SPLITS, read_split
from topwork.core.errors import TopworkError
from topwork.data.locations import is_there
from topwork.data.manifest import listing_of
from topwork.inference.locate import ModelLocation


@dataclass(frozen=True)
class Origin:
    """The data set of a run.

    Attributes:
        root: Folder that image ids are relative to.
        labels: Part name to image id to class name.
    """

    root: Path
    labels: dict[str, dict[str, str]]

    def files(self, split: str, most: int) -> list[Path]:
        """At most so many images of a part that are there, spread evenly over it."""
        ids = list(self.labels[split])
        chosen = ids if len(ids) <= most else [ids[i * len(ids) // most] for i in range(most)]
        return [path for path in (self.root / i for i in chosen) if is_there(str(path))]


def origin_of(place: ModelLocation) -> Origin | None:
    """The data set that the bundle's run was trained on; None if the bundle stands alone or the images are gone."""
    if place.run is None:
        return None
    try:
        data = config.read(place.run / "config.toml").data
        root = listing_of(data).root
        splits = read_split(place.run / "split.csv")
    except (OSError, TopworkError, KeyError, ValueError):
        return None
    names = {
        split: {i: splits.classes[k] for i, k in zip(splits.ids[split], splits.labels[split], strict=True)}
        for split in SPLITS
    }
    return Origin(root, names)
