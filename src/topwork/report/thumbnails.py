"""Thumbnails of the most confident mistakes and of disagreements, written into a folder for its report."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from topwork.core import storage
from topwork.core.errors import TopworkError
from topwork.core.predictions import read_predictions
from topwork.report.folder_evaluation import evaluate_folder
from topwork.report.report_data import THUMBNAILS, most_confident_errors
from topwork.report.strategy_differences import disagreements

SIDE = 160
QUALITY = 80


def write_thumbnails(folder: Path, load: Callable[[str], Image.Image]) -> None:
    """Write ``thumbnails/*.jpg`` and ``thumbnails/index.json`` (image id to file name).

    Args:
        folder: A run folder with ``predictions.csv``: thumbnails of its most confident mistakes; or a comparison folder
            whose runs have finished: of its most confident disagreements.
        load: Loads an image by its id. An image that cannot be loaded gets no thumbnail, which the report shows.

    Raises:
        StorageError: The folder cannot be written.
    """
    predictions = folder / "predictions.csv"
    if predictions.is_file():
        images = most_confident_errors(read_predictions(predictions))
    else:
        images = disagreements(evaluate_folder(folder).predictions)
    index = {}
    for image in images:
        try:
            data = encode_thumbnail(load(image.id))
        except (OSError, ValueError, TopworkError):
            continue
        index[image.id] = thumbnail_name(image.id)
        storage.write_bytes(folder / THUMBNAILS / index[image.id], data)
    storage.write_json(folder / THUMBNAILS / "index.json", index)


def thumbnail_name(image_id: str) -> str:
    """A file name that is safe on every system, stable, and different for different ids."""
    digest = storage.sha256_bytes(image_id.encode("utf-8", "surrogateescape"))
    return f"{storage.slug(image_id)[:60]}-{digest[:8]}.jpg"


def encode_thumbnail(image: Image.Image) -> bytes:
    """A JPEG thumbnail whose longer side is ``SIDE``."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
