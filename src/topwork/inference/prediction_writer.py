"""Files of predictions: rows of CSV or JSON Lines, and a file that can be resumed after an interruption."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from topwork.bundle.postprocessing import Prediction
from topwork.core import storage
from topwork.core.errors import SettingsChanged, StorageError, UsageError

FORMATS = ("csv", "jsonl")


def as_dict(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain JSON; unknown values are None."""
    row: dict[str, Any] = {
        "image": prediction.image,
        "label": prediction.label or None,
        "probability": prediction.probability,
        "abstain": prediction.abstain,
        "out_of_distribution": prediction.out_of_distribution,
        "distance": prediction.distance,
        "error": prediction.error or None,
        "top": [{**vars(one)} for one in prediction.top],
    }
    if prediction.neighbours:
        row["neighbours"] = [{**vars(one)} for one in prediction.neighbours]
    return row


def csv_header(top: int) -> list[str]:
    """Column names: the most probable class, what is known about it, then the next classes."""
    rest = [f"{name}_{rank}" for rank in range(2, top + 1) for name in ("label", "probability")]
    return ["image", "label", "probability", "abstain", "out_of_distribution", "distance", "error", *rest]


def csv_row(prediction: Prediction, top: int) -> list[str]:
    """The cells of a row; numbers have all their digits, so that reading gives the same number."""

    def text(value: bool | float | None) -> str:
        return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else repr(value)

    row = [prediction.image, prediction.label, text(prediction.probability), text(prediction.abstain)]
    row += [text(prediction.out_of_distribution), text(prediction.distance), prediction.error]
    rest = [cell for one in prediction.top[1:] for cell in (one.label, repr(one.probability))]
    return row + rest + [""] * (2 * (top - 1) - len(rest))


class PredictionWriter:
    """Writes predictions to a file in format ``"csv"`` or ``"jsonl"``, with ``top`` classes per row."""

    def __init__(self, file: IO[str], format: str, top: int) -> None:
        self._file, self._top = file, top
        self._csv = csv.writer(file, lineterminator="\n") if format == "csv" else None

    def write_header(self) -> None:
        """Write the header, if the format has one."""
        if self._csv:
            self._csv.writerow(csv_header(self._top))

    def write(self, predictions: Iterable[Prediction]) -> None:
        """Write rows and flush the file."""
        for prediction in predictions:
            if self._csv:
                self._csv.writerow(csv_row(prediction, self._top))
            else:
                self._file.write(json.dumps(as_dict(prediction), ensure_ascii=False) + "\n")
        self._file.flush()


def choose_format(out: Path | None, requested: str | None) -> str:
    """The requested format, else by the file's suffix, else CSV.

    Raises:
        UsageError: The format is unknown.
    """
    format = requested or ("jsonl" if out and out.suffix.lower() in (".jsonl", ".ndjson", ".json") else "csv")
    if format not in FORMATS:
        raise UsageError(f"Unknown --format {format}; choose {' or '.join(FORMATS)}.")
    return format


class ResumableFile:
    """A text file that can be continued after an interruption; until it is complete, a second file notes the progress.

    Args:
        path: The file.
        fingerprint: What its rows depend on; a resume with another fingerprint is refused.
        resume: Continue an interrupted file.
        overwrite: Replace an existing file.

    Attributes:
        file: Opened for writing, after the last row that was saved.
        rows: Number of saved rows.
        last: Image of the last saved row.

    Raises:
        StorageError: The file exists, and neither resume nor overwrite applies.
        SettingsChanged: It was started with another fingerprint.
    """

    def __init__(self, path: Path, fingerprint: dict[str, Any], resume: bool, overwrite: bool) -> None:
        self.path, self._fingerprint = path, fingerprint
        self.rows, self.last = 0, ""
        self._progress = path.with_name(f"{path.name}.partial")
        if resume and self._progress.is_file() and path.is_file():
            saved = storage.read_json(self._progress)
            if saved["fingerprint"] != fingerprint:
                raise SettingsChanged(
                    f"{path} was started with a different model or different settings. Use the same, or --overwrite."
                )
            self.rows, self.last = saved["rows"], saved["last"]
            with storage.wrap_os_errors(path):
                os.truncate(path, saved["bytes"])  # what follows may be half a row
        elif path.exists() and not overwrite:
            state = "exists. Use --resume," if self._progress.is_file() else "exists and is complete. Use"
            raise StorageError(f"{path} {state} --overwrite or another --out.")
        with storage.wrap_os_errors(path):
            storage.make_folder(path.parent)
            mode = "a" if self.rows else "w"
            self.file: IO[str] = path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")

    def save_progress(self, rows: int, last: str) -> None:
        """Note durably that the file has ``rows`` rows, the last one for image ``last``."""
        self.rows, self.last = rows, last
        saved = {"fingerprint": self._fingerprint, "rows": rows, "bytes": self._sync(), "last": last}
        storage.write_json(self._progress, saved)

    def complete(self) -> None:
        """Close the file and remove the note beside it."""
        with storage.wrap_os_errors(self.path):
            self._sync()
            self.file.close()
            self._progress.unlink(missing_ok=True)

    def _sync(self) -> int:
        """Write the file to disk; its size in bytes."""
        with storage.wrap_os_errors(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            return os.fstat(self.file.fileno()).st_size
