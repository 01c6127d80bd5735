"""Which photos are looked at: those that were given, or a few test images that say most about the strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from topwork.core.artifacts import Predictions, Splits
from topwork.data.images import load_image

GIVEN = "given"


@dataclass(frozen=True)
class Photograph:
    """A photo that is looked at.

    Attributes:
        name: File name or image id.
        image: RGB, upright.
        label: Class index if it is known.
        why: Why it is here, in a few words.
    """

    name: str
    image: Image.Image
    label: int | None
    why: str


def given_photos(
    paths: Sequence[Path | Image.Image], root: Path | None, splits: Splits | None, least: int = 0
) -> list[Photograph]:
    """Photos by path or as pictures; one that belongs to the data set brings its label along.

    Args:
        paths: Of the photos.
        root: Of the data set.
        split: Its parts.
        least: The sides in pixels that the network needs; a file is decoded as for it.

    Raises:
        UnreadableImage: Naming the file.
    """
    labels = {}
    if splits is not None:
        labels = {
            i: (label, split)
            for split in splits.ids
            for i, label in zip(splits.ids[split], splits.labels[split], strict=True)
        }
    photos = []
    for number, path in enumerate(paths, 1):
        if isinstance(path, Image.Image):
            photos.append(Photograph(f"picture {number}", path.convert("RGB"), None, GIVEN))
            continue
        image = load_image(path, least)
        inside = root is not None and path.resolve().is_relative_to(root.resolve())
        name = path.resolve().relative_to(root.resolve()).as_posix() if inside and root else path.name
        label, split = labels.get(name, (None, ""))
        why = f"{GIVEN}; of the {split} part" if split else GIVEN
        photos.append(Photograph(name, image, None if label is None else int(label), why))
    return photos


def choose_photos(predictions: Sequence[Predictions], count: int) -> list[tuple[int, str]]:
    """A few test images: some that every strategy gets right, some on which they disagree, some that all get wrong.

    Within a kind those come first about which the strategies are surest, from as many classes as possible.

    Args:
        predictions: Of one or more strategies on the same images.
        count: How many; fewer if there are fewer images.

    Returns:
        Positions and reasons, kinds in the order disagreement, wrong, right.
    """
    labels = predictions[0].labels
    guesses = np.stack([p.predicted for p in predictions])
    sure = np.mean([p.probabilities.max(axis=1) for p in predictions], axis=0)
    right = guesses == labels
    several = len(predictions) > 1
    kinds = {
        "the strategies disagree": ~right.all(axis=0) & right.any(axis=0),
        "every strategy is wrong" if several else "wrong": ~right.any(axis=0),
        "every strategy is right" if several else "right": right.all(axis=0),
    }
    queues = {why: _by_class(np.flatnonzero(mask), sure, labels) for why, mask in kinds.items()}
    chosen: list[tuple[int, str]] = []
    while len(chosen) < count and any(queues.values()):
        for why, queue in queues.items():
            if queue and len(chosen) < count:
                chosen.append((queue.pop(0), why))
    order = list(kinds)
    return sorted(chosen, key=lambda item: order.index(item[1]))


def _by_class(positions: np.ndarray, sure: np.ndarray, labels: np.ndarray) -> list[int]:
    """Surest first, but one of each class before the second of any."""
    ordered = sorted(positions.tolist(), key=lambda i: (-sure[i], i))
    seen: dict[int, int] = {}
    rank = {}
    for i in ordered:
        rank[i] = seen.get(int(labels[i]), 0)
        seen[int(labels[i])] = rank[i] + 1
    return sorted(ordered, key=lambda i: rank[i])
