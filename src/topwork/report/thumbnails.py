"""Small pictures of the worst errors, written into a run folder for its report."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from topwork import artifacts, storage
from topwork.errors import TopworkError
from topwork.report.gather import THUMBNAILS, WORST, worst_errors

SIDE = 160
QUALITY = 80


def write_thumbnails(folder: Path, load: Callable[[str], Image.Image], most: int = WORST) -> None:
    """Write ``thumbnails/*.jpg`` and ``thumbnails/index.json`` (image id to file name) for the worst errors of a run.

    Args:
        folder: A run folder with ``predictions.csv``.
        load: Image id to picture. An image that it can no longer load has no thumbnail; the report then says so.
        most: How many errors.

    Raises:
        StorageError: The folder cannot be written.
    """
    index = {}
    for error in worst_errors(artifacts.read_predictions(folder / "predictions.csv"), most):
        try:
            data = jpeg(load(error.id))
        except (OSError, ValueError, TopworkError):
            continue
        index[error.id] = thumbnail_name(error.id)
        storage.write_bytes(folder / THUMBNAILS / index[error.id], data)
    storage.write_json(folder / THUMBNAILS / "index.json", index)


def thumbnail_name(image_id: str) -> str:
    """A file name that is safe on every system, stable, and different for different ids."""
    digest = storage.sha256_bytes(image_id.encode("utf-8", "surrogateescape"))
    return f"{storage.slug(image_id)[:60]}-{digest[:8]}.jpg"


def jpeg(image: Image.Image) -> bytes:
    """A small JPEG of a picture, its longer side ``SIDE``."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
