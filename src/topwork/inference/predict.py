"""``topwork predict``: one prediction per image, in input order and in constant memory."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, Unpack

from topwork.bundle.postprocessing import Prediction
from topwork.core import commands, storage
from topwork.core.errors import DataError, SettingsChanged, UsageError
from topwork.core.image_ref import ImageRef
from topwork.core.progress import Progress, duration
from topwork.core.signals import Signals
from topwork.features.extract import BATCH
from topwork.features.prefetch import prefetch
from topwork.inference import InferenceOptions
from topwork.inference.inputs import list_images
from topwork.inference.pixels import Batch, ImageInput, decode_batches
from topwork.inference.prediction_writer import FORMATS, PredictionWriter
from topwork.inference.predictor import Predictor, load

SAVE_INTERVAL = 2.0  # seconds
MAX_COMMAND = 2000  # characters of a command that is printed
MIN_IMAGES_FOR_WORKERS = 64  # up to this number one decoder process is enough


def predict_batches(
    model: Predictor, items: Iterable[ImageInput], *, top: int = 3, neighbours: int = 0
) -> Generator[tuple[Batch, list[Prediction]]]:
    """Predict images batch by batch, in order; an image that cannot be used is a prediction with an error.

    Args:
        model: From ``load``.
        items: Paths, bytes of files, PIL images or arrays; may be endless.
        top, neighbours: As for ``predict``.
    """
    rest = iter(items)
    first = list(islice(rest, MIN_IMAGES_FOR_WORKERS + 1))
    workers = model.compute.workers if len(first) > MIN_IMAGES_FOR_WORKERS else min(1, model.compute.workers)
    batches = decode_batches(chain(first, rest), model.input_spec, BATCH, workers)
    outputs = prefetch(lambda batch: model.predict_batch(batch.pixels, neighbours), batches, model.compute.threads)
    with closing(batches), closing(outputs) as results:
        for batch, scored in results:
            names = [
                str(item) if isinstance(item, ImageRef | str | os.PathLike) else f"image {number}"
                for number, item in enumerate(batch.items, 1)
            ]
            usable = [name for name, reason in zip(names, batch.reasons, strict=True) if not reason]
            found = iter(model.decision.to_predictions(usable, scored, top, neighbours))
            named = zip(names, batch.reasons, strict=True)
            yield batch, [Prediction(name, error=reason) if reason else next(found) for name, reason in named]


def predict(
    run: str | os.PathLike[str] | Predictor,
    images: Iterable[ImageInput] | ImageInput,
    *,
    top: int = 3,
    neighbours: int = 0,
    **options: Unpack[InferenceOptions],
) -> Iterator[Prediction]:
    """Predict images; yields one prediction per image, in order.

    Args:
        run: A run, a comparison (its recommended strategy), a bundle, or a loaded model.
        images: Paths of files, folders, patterns or CSVs; or PIL images, uint8 arrays (H, W, 3), bytes of files.
        top: Number of classes per prediction, the most probable first; 0 for all.
        neighbours: Number of nearest training images per prediction, if the bundle holds them.
        **options: ``device``, ``precision``, ``engine``, ``workers`` as for ``topwork.load``.

    Raises:
        TopworkError: The model cannot be loaded, or the images cannot be listed. An image that cannot be used raises
            nothing: it is a prediction with ``error``.

    >>> first, *rest = predict(run, photos)
    >>> first.label in load(run).classes
    True
    """
    model = run if isinstance(run, Predictor) else load(run, **options)
    items = _as_list(images)
    if all(isinstance(item, str | os.PathLike) for item in items):
        items = list_images(items, model.bundle.crop_to_box)
    with closing(predict_batches(model, items, top=top, neighbours=neighbours)) as batches:
        for _, predictions in batches:
            yield from predictions


def _as_list(images: Any) -> Any:
    """Several images, or a list of one: a name, bytes, a PIL image, or an array of two or three dimensions."""
    array = hasattr(images, "dtype") and images.ndim in (2, 3) and images.dtype != object
    one = array or hasattr(images, "getexif") or isinstance(images, str | os.PathLike | bytes)
    return [images] if one else list(images)


def predict_to_file(
    run: str | os.PathLike[str],
    paths: list[str],
    out: Path | None = None,
    *,
    format: str | None = None,
    top: int = 3,
    neighbours: int = 0,
    explain: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Unpack[InferenceOptions],
) -> tuple[int, int]:
    """Predict images into a file or to stdout, as the command does.

    Args:
        run: A run, a comparison or a bundle.
        paths: See ``list_images``.
        out: The file; None for stdout.
        format: ``"csv"`` or ``"jsonl"``; None: by the suffix of the file.
        top, neighbours: As for ``predict``.
        explain: A folder for class activation maps, one PNG file per image.
        resume: Continue an interrupted file.
        overwrite: Replace the file.
        quiet: Print nothing to stderr.
        **options: As for ``topwork.load``.

    Returns:
        Rows in the file, and how many of the new ones have an error.

    Raises:
        Interrupted: After a signal; with a file, the same command with ``--resume`` continues.
        DataError: None of the images could be used; the rows have the reasons.
    """
    format = format or ("jsonl" if out and out.suffix.lower() in (".jsonl", ".ndjson", ".json") else "csv")
    if format not in FORMATS:
        raise UsageError(f"Unknown --format {format}; choose {' or '.join(FORMATS)}.")
    if out is None and resume:
        raise UsageError("--resume continues an output file; name it with --out.")
    log, resume_command = Progress(quiet).log, ""
    if out is not None:
        settings = {"format": format, "top": top, "neighbours": neighbours, "explain": explain}
        resume_command = _resume_command(run, paths, out, {**settings, **options})
    with Signals() as signals:
        model = load(run, log=log, **options)
        top = min(top or len(model.classes), len(model.classes))
        fingerprint = {
            "bundle": storage.sha256_file(model.location.bundle / storage.MANIFEST),
            "inference": [model.engine, model.compute.precision, model.compute.device.type],
            "rows": [format, top, neighbours],
        }
        if out is not None:
            signals.resume_command = resume_command
        with closing(PredictionWriter(out, format, top, fingerprint, resume, overwrite)) as writer:
            names, start = list_images(paths, model.bundle.crop_to_box), writer.rows
            if start:
                _skip_written_rows(names, writer)
                log(f"{out} already has {start:,} rows.")
            maps = None
            if explain is not None:
                from topwork.inference.class_activation_maps import ClassActivationMapWriter

                maps = ClassActivationMapWriter(explain, model)
            began = time.monotonic()
            batches = predict_batches(model, names, top=top, neighbours=neighbours)
            errors = _write_rows(batches, writer, maps, signals)
            seconds, done = time.monotonic() - began, writer.rows - start
    log(
        f"{done:,} images in {duration(seconds)} ({done / max(seconds, 1e-9):.0f} per second; {model.engine}, "
        f"{model.compute.precision}){f'; {errors:,} could not be used' if errors else ''}"
    )
    if errors and errors == done:
        raise DataError(f"None of the {done:,} images could be used; {out or 'the output'} has the reason of each.")
    return writer.rows, errors


def _resume_command(run: str | os.PathLike[str], paths: Sequence[str], out: Path, settings: dict[str, Any]) -> str:
    flags = [(f"--{name}", value) for name, value in settings.items() if value is not None]
    names = (path if path == "-" else commands.as_argument(path) for path in paths)
    words = [commands.as_argument(run), *names, "--out", out, "--resume", *chain(*flags)]
    text = commands.command("predict", *words)
    if len(text) > MAX_COMMAND:
        return f"the same command and --resume ({out})"
    return f"the same list on the stdin of: {text}" if "-" in paths else text


def _write_rows(
    batches: Generator[tuple[Batch, list[Prediction]]], writer: PredictionWriter, maps: Any, signals: Signals
) -> int:
    """Write all rows; returns how many have an error."""
    errors, saved = 0, time.monotonic()
    with closing(batches):
        for batch, predictions in batches:
            writer.write(predictions)
            if maps is not None:
                maps.write(batch, predictions, writer.rows - len(predictions))
            errors += sum(bool(prediction.error) for prediction in predictions)
            if time.monotonic() - saved > SAVE_INTERVAL or signals.stop_requested():
                writer.save_progress()
                saved = time.monotonic()
            signals.raise_if_stopped()
    writer.complete()
    return errors


def _skip_written_rows(images: Iterator[ImageRef], writer: PredictionWriter) -> None:
    last = "".join(map(str, deque(islice(images, writer.rows), maxlen=1)))
    if last != writer.last:
        raise SettingsChanged(
            f"The list of images has changed since {writer.path} was started (row {writer.rows} was {writer.last}, is "
            f"now {last}). Pass the same images, or use --overwrite."
        )
