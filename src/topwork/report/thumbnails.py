"""Thumbnails of the most confident mistakes and of disagreements, written into a folder for its report."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from topwork.core import artifacts, storage
from topwork.core.errors import TopworkError
from topwork.report.folder_evaluation import evaluate_folder
from topwork.report.report_data import MAX_ERRORS, THUMBNAILS, most_confident_errors
from topwork.report.strategy_differences import disagreements

SIDE = 160
QUALITY = 80


def write_thumbnails(folder: Path, load: Callable[[str], Image.Image], limit: int = MAX_ERRORS) -> None:
    """Write ``thumbnails/*.jpg`` and ``thumbnails/index.json`` (image id to file name) for the most confident
    mistakes of a run.

    Args:
        folder: A run folder with ``predictions.csv``.
        load: Loads an image by its id. An image that cannot be loaded gets no thumbnail, which the report shows.
        limit: Maximum number of errors.

    Raises:
        StorageError: The folder cannot be written.
    """
    _write(
        folder,
        [e.id for e in most_confident_errors(artifacts.read_predictions(folder / "predictions.csv"), limit)],
        load,
    )


def write_disagreements(folder: Path, load: Callable[[str], Image.Image]) -> None:
    """Write thumbnails of the most confident disagreements of a comparison.

    Args:
        folder: Comparison folder whose runs have finished.
        load: Loads an image by its id.

    Raises:
        StorageError: The folder cannot be written.
    """
    _write(folder, [d.id for d in disagreements(evaluate_folder(folder).predictions)], load)


def _write(folder: Path, ids: Sequence[str], load: Callable[[str], Image.Image]) -> None:
    index = {}
    for image in ids:
        try:
            data = encode_thumbnail(load(image))
        except (OSError, ValueError, TopworkError):
            continue
        index[image] = thumbnail_name(image)
        storage.write_bytes(folder / THUMBNAILS / index[image], data)
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
