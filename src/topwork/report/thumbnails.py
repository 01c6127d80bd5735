"""Small pictures of the worst errors and of disagreements, written into a folder for its report."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from topwork.core import artifacts, storage
from topwork.core.errors import TopworkError
from topwork.report.differences import disagreements
from topwork.report.gather import THUMBNAILS, WORST, worst_errors
from topwork.report.judge import judge_folder

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
    _write(folder, [e.id for e in worst_errors(artifacts.read_predictions(folder / "predictions.csv"), most)], load)


def write_disagreements(folder: Path, load: Callable[[str], Image.Image]) -> None:
    """Write thumbnails of the images that the strategies of a comparison disagree on most surely.

    Args:
        folder: Of a comparison whose runs have finished.
        load: Image id to picture.

    Raises:
        StorageError: The folder cannot be written.
    """
    _write(folder, [d.id for d in disagreements(judge_folder(folder).predictions)], load)


def _write(folder: Path, ids: Sequence[str], load: Callable[[str], Image.Image]) -> None:
    index = {}
    for image in ids:
        try:
            data = jpeg(load(image))
        except (OSError, ValueError, TopworkError):
            continue
        index[image] = thumbnail_name(image)
        storage.write_bytes(folder / THUMBNAILS / index[image], data)
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
