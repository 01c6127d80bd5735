"""The images of the page: images that were chosen by the user, or test images that differ between strategies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from topwork.core.artifacts import DEFAULT_RULES, PixelRules, Splits
from topwork.core.predictions import Predictions
from topwork.data.images import load_image

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
CHOSEN_BY_USER = "chosen by you"


@dataclass(frozen=True)
class ExampleImage:
    """An image of the page.

    Attributes:
        name: File name or image id.
        image: RGB, upright.
        label: Class index, if known.
    """

    name: str
    image: Image.Image
    label: int | None
    reason: str


def load_images(
    paths: Sequence[Path | Image.Image],
    root: Path | None,
    splits: Splits | None,
    min_side: int = 0,
    rules: PixelRules = DEFAULT_RULES,
) -> list[ExampleImage]:
    """Load images; an image of the data set gets its label.

    Args:
        paths: Paths or Pillow images.
        root, splits: Of the data set.
        min_side: Files are decoded with sides of at least this many pixels.
        rules: How to decode files.

    Raises:
        UnreadableImage: A file cannot be decoded; names the file.
    """
    labels = {}
    if splits is not None:
        labels = {
            i: (label, split)
            for split in splits.ids
            for i, label in zip(splits.ids[split], splits.labels[split], strict=True)
        }
    images = []
    for number, path in enumerate(paths, 1):
        if isinstance(path, Image.Image):
            images.append(ExampleImage(f"image {number}", path.convert("RGB"), None, CHOSEN_BY_USER))
            continue
        image = load_image(path, min_side, rules)
        inside = root is not None and path.resolve().is_relative_to(root.resolve())
        name = path.resolve().relative_to(root.resolve()).as_posix() if inside and root else path.name
        label, split = labels.get(name, (None, ""))
        reason = f"{CHOSEN_BY_USER}, {SPLIT_NAMES.get(split, split)} image" if split else CHOSEN_BY_USER
        images.append(ExampleImage(name, image, None if label is None else int(label), reason))
    return images


def choose_images(predictions: Sequence[Predictions], count: int, lost: Collection[int] = ()) -> list[tuple[int, str]]:
    """Choose test images on which the strategies disagree, all are wrong, and all are right.

    In each group the most confident predictions come first, from as many classes as possible.

    Args:
        predictions: Of one or more strategies on the same images.
        count: Number of images; fewer if there are fewer.
        lost: Positions of images that cannot be read.

    Returns:
        Positions and reasons, grouped as above.
    """
    labels = predictions[0].labels
    confidence = np.mean([p.probabilities.max(axis=1) for p in predictions], axis=0)
    correct = np.stack([p.predicted for p in predictions]) == labels
    several = len(predictions) > 1
    groups = {
        "the strategies disagree": ~correct.all(axis=0) & correct.any(axis=0),
        "every strategy is wrong" if several else "wrong": ~correct.any(axis=0),
        "every strategy is right" if several else "right": correct.all(axis=0),
    }
    available = ~np.isin(np.arange(len(labels)), list(lost))
    queues = {r: _by_class(np.flatnonzero(mask & available), confidence, labels) for r, mask in groups.items()}
    chosen: list[tuple[int, str]] = []
    while len(chosen) < count and any(queues.values()):
        for reason, queue in queues.items():
            if queue and len(chosen) < count:
                chosen.append((queue.pop(0), reason))
    order = list(groups)
    return sorted(chosen, key=lambda item: order.index(item[1]))


def _by_class(positions: np.ndarray, confidence: np.ndarray, labels: np.ndarray) -> list[int]:
    """Most confident first, but one of each class before the second of any."""
    ordered = sorted(positions.tolist(), key=lambda i: (-confidence[i], i))
    seen: Counter[int] = Counter()
    rank = {}
    for i in ordered:
        rank[i] = seen[labels[i]]
        seen[labels[i]] += 1
    return sorted(ordered, key=lambda i: rank[i])
