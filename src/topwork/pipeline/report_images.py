"""What the report of a run shows of images: thumbnails, similar training images, and what the network gets."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from topwork.core.artifacts import Manifest
from topwork.core.errors import TopworkError
from topwork.data import images
from topwork.data.resize import resize_for_network
from topwork.data.transforms import TrainTransform
from topwork.evaluation.ood import KNNIndex
from topwork.report.image_choice import NEIGHBOURS, Neighbour, random_order
from topwork.report.thumbnails import SIDE
from topwork.training.context import RunContext

VIEWS = 4  # augmented views of the image


def load_small(manifest: Manifest, image: str) -> Image.Image:
    """An image of the data set, decoded as small as a thumbnail allows."""
    return images.load_image(manifest.refs[image], 2 * SIDE, manifest.pixel_rules)


def similar_training_images(
    index: KNNIndex, features: np.ndarray, ids: list[str], classes: tuple[str, ...]
) -> dict[str, list[Neighbour]]:
    """The most similar stored training images of some images.

    Args:
        index: Stored training images.
        features: Of the images, float (N, D).
        ids: Of the images, (N,).
        classes: Class names.
    """
    distances, rows = index.nearest(features, min(NEIGHBOURS, len(index.ids)))
    return {
        image: [
            Neighbour(index.ids[row], classes[index.labels[row]], float(distance))
            for row, distance in zip(found, near, strict=True)
        ]
        for image, found, near in zip(ids, rows, distances, strict=True)
    }


def network_inputs(
    context: RunContext, settings: Any, trains_network: bool, mirrored: bool
) -> list[tuple[str, Image.Image]]:
    """A training image, and what the network gets of it in evaluation and in training, with captions.

    Args:
        context: Of the run.
        settings: Of the strategy, resolved.
        trains_network: Whether it trains on images.
        mirrored: Whether features are averaged with those of the mirror image.

    Returns:
        Nothing if the image cannot be read any more.
    """
    chosen, spec, rules = random_order(context.splits.ids["train"])[0], context.spec, context.manifest.pixel_rules
    row = next(row for row in context.manifest.rows if row.id == chosen)
    try:
        original = images.load_image(row.ref, max(SIDE, spec.resize_size), rules)
        seen = resize_for_network(original, spec)
        found = [
            (f"the image, {row.width:,} x {row.height:,} pixels", original),
            (f"what the network gets, {spec.size} x {spec.size} pixels", seen),
        ]
        if trains_network and getattr(settings, "views", 1):
            transform = TrainTransform(settings, spec, settings.train_size, context.seed)
            for epoch in range(1, min(VIEWS, settings.epochs) + 1):
                view = transform(images.load_image(row.ref, transform.min_side(epoch), rules), epoch, chosen)
                found.append((f"in training, epoch {epoch}", Image.fromarray(view.permute(1, 2, 0).numpy())))
        elif mirrored:
            found.append(("and its mirror image; the features of both are averaged", ImageOps.mirror(seen)))
    except TopworkError:
        return []
    return found
