"""``topwork predict``: images in, rows out, in input order and in constant memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from topwork.bundle.postprocessing import Answers, Prediction
from topwork.core import storage
from topwork.core.errors import SettingsChanged, UsageError
from topwork.core.progress import duration
from topwork.core.signals import Signals
from topwork.features.extract import BATCH
from topwork.features.prefetch import prefetch
from topwork.inference.inputs import list_images
from topwork.inference.pixels import Batch, Item, decoded
from topwork.inference.prediction_writer import Output, Writer, format_of
from topwork.inference.predictor import Predictor, load

SAVED_EVERY = 2.0  # seconds between two notes of how far the file is
FEW = 64  # images for which starting worker processes does not pay


def stream(
    model: Predictor, items: Iterable[Item], *, top: int = 3, neighbours: int = 0
) -> Generator[tuple[Batch, list[Prediction]]]:
    """Predict images batch by batch, in order; a bad one is a prediction with its reason.

    Args:
        model: From ``load``.
        items: Paths, bytes of files, PIL images or arrays; may be endless.
        top: Classes to tell; 0 for all.
        neighbours: Nearest training images to tell.
    """
    rest = iter(items)
    first = list(islice(rest, FEW + 1))
    workers = model.compute.workers if len(first) > FEW else 0
    batches = decoded(chain(first, rest), model.spec, BATCH, workers)

    def answers(batch: Batch) -> Answers:
        return model.answers(batch.pixels, neighbours)

    with closing(batches), closing(prefetch(answers, batches, model.compute.threads)) as answered:
        for batch, found in answered:
            yield batch, _predictions(model, batch, found, top, neighbours)


def _predictions(model: Predictor, batch: Batch, answers: Answers, top: int, neighbours: int) -> list[Prediction]:
    names = [_name(item, i) for i, item in enumerate(batch.items)]
    good = [name for name, reason in zip(names, batch.reasons, strict=True) if not reason]
    found = iter(model.decision.predictions(good, answers, top, neighbours))
    return [
        Prediction(name, error=reason) if reason else next(found)
        for name, reason in zip(names, batch.reasons, strict=True)
    ]


def _name(item: Any, number: int) -> str:
    return os.fspath(item) if isinstance(item, str | os.PathLike) else f"image {number + 1}"


def predict(
    run: str | os.PathLike[str] | Predictor,
    images: Iterable[Item] | Item,
    *,
    top: int = 3,
    neighbours: int = 0,
    **options: Any,
) -> Iterator[Prediction]:
    """Predict images with the model of a run; one prediction an image, in order, as they are ready.

    Args:
        run: A run, a comparison (the best on val), a bundle, or what ``topwork.load`` gave.
        images: Paths of files, folders, patterns or CSVs; or PIL images, uint8 arrays (H, W, 3), bytes of files.
        top: Classes to tell; 0 for all.
        neighbours: Nearest training images to tell, if the bundle holds them.
        **options: ``device``, ``precision``, ``engine``, ``workers`` as for ``topwork.load``.

    Raises:
        TopworkError: See ``errors``. An image that cannot be used raises nothing: it is a prediction with ``error``.
    """
    model = run if isinstance(run, Predictor) else load(run, **options)
    given = _listed(images)
    named = all(isinstance(item, str | os.PathLike) for item in given)
    items: Iterable[Any] = list_images(given) if named else given
    with closing(stream(model, items, top=top, neighbours=neighbours)) as batches:
        for _, predictions in batches:
            yield from predictions


def _listed(images: Any) -> list[Any]:
    """Several images, or a list of one: a name, bytes, a picture, or an array of at most three dimensions."""
    array = hasattr(images, "dtype") and images.ndim in (2, 3) and images.dtype != object
    one = array or hasattr(images, "getexif") or isinstance(images, str | os.PathLike | bytes)
    return [images] if one else list(images)


def predict_to(
    run: str | os.PathLike[str],
    paths: list[str],
    out: Path | None = None,
    *,
    kind: str | None = None,
    top: int = 3,
    neighbours: int = 0,
    explain: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Any,
) -> tuple[int, int]:
    """Predict into a file, or to stdout; what the command does.

    Args:
        run: A run, a comparison or a bundle.
        paths: See ``list_images``.
        out: The file; None for stdout.
        kind: ``"csv"`` or ``"jsonl"``; None: by the suffix of the file.
        top, neighbours: As for ``predict``.
        explain: A folder for class maps, one picture an image.
        resume: Go on with an interrupted file.
        overwrite: Replace the file.
        quiet: Say nothing on stderr.
        **options: As for ``topwork.load``.

    Returns:
        Rows written, and how many of them have an error.

    Raises:
        Interrupted: After a signal; with a file, the same command with ``--resume`` goes on.
    """
    kind = format_of(out, kind)
    if out is None and resume:
        raise UsageError("--resume goes on with a file: give its name with --out.")

    def log(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    with Signals() as signals, ExitStack() as stack:
        model = load(run, log=log, **options)
        top = min(top or len(model.classes), len(model.classes))
        key = {
            "bundle": storage.sha256_file(model.place.bundle / storage.MANIFEST),
            "arithmetic": [model.engine, model.compute.precision, model.compute.device.type],
            "rows": [kind, top, neighbours],
        }
        output = Output(out, key) if out else None
        file: IO[str] = output.open(resume, overwrite) if output else _stdout()
        if output:
            stack.enter_context(file)
        writer = Writer(file, kind, top)
        names = list_images(paths)
        if output and output.rows:
            _skip(names, output)
            log(f"{out}: {output.rows:,} rows are there already.")
        else:
            writer.begin()
        signals.resume_command = f"the same command with --resume ({out})" if out else ""
        maps = None
        if explain is not None:
            from topwork.inference.class_maps import MapFolder

            maps = MapFolder(explain, model)
        work = _Work(model, writer, output, file, signals, maps, top, neighbours)
        rows, errors = work.run(names)
    log(work.summary)
    return rows, errors


def _skip(names: Iterator[str], output: Output) -> None:
    last = None
    for last in islice(names, output.rows):  # noqa: B007 - the last one counts
        pass
    if last != output.last:
        raise SettingsChanged(
            f"The images are not those that {output.path} was begun with: row {output.rows} was {output.last}, now "
            f"{last}. Name the same images, or use --overwrite."
        )


def _stdout() -> IO[str]:
    sys.stdout.reconfigure(errors="surrogateescape", newline="")  # pyrefly: ignore[missing-attribute]
    return sys.stdout


class _Work:
    """The loop of the command, and its figures."""

    def __init__(
        self,
        model: Predictor,
        writer: Writer,
        output: Output | None,
        file: IO[str],
        signals: Signals,
        maps: Any,
        top: int,
        neighbours: int,
    ) -> None:
        self._model, self._writer, self._output, self._file = model, writer, output, file
        self._signals, self._maps, self._top, self._neighbours = signals, maps, top, neighbours
        self.summary = ""

    def run(self, names: Iterator[str]) -> tuple[int, int]:
        begun = self._output.rows if self._output else 0
        rows, errors, last = begun, 0, ""
        start = saved = time.monotonic()
        batches = stream(self._model, names, top=self._top, neighbours=self._neighbours)
        with closing(batches):
            for batch, predictions in batches:
                self._writer.write(predictions)
                if self._maps is not None:
                    self._maps.write(batch, predictions, rows)
                rows += len(predictions)
                errors += sum(bool(p.error) for p in predictions)
                last = predictions[-1].image
                now = time.monotonic()
                if self._output and (now - saved > SAVED_EVERY or self._signals.stop_requested()):
                    self._output.keep(self._file, rows, last)
                    saved = now
                self._signals.raise_if_stopped()
        if self._output:
            self._output.finish(self._file)
        seconds = time.monotonic() - start
        done = rows - begun
        wrong = f", {errors:,} of them could not be used" if errors else ""
        self.summary = (
            f"{done:,} images{wrong}; {duration(seconds)}, {done / max(seconds, 1e-9):.0f} a second "
            f"({self._model.engine}, {self._model.compute.precision})"
        )
        return rows, errors
