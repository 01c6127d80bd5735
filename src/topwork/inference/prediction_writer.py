"""Files of predictions: rows of CSV or JSON Lines, and a file that can be resumed after an interruption."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from topwork.bundle.postprocessing import Prediction
from topwork.core import storage
from topwork.core.errors import SettingsChanged, StorageError

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
    """Rows of predictions on stdout, or in a file that can be continued after an interruption.

    Until a file is complete, a second file beside it notes the progress.

    Args:
        path: The file; None for stdout.
        format: ``"csv"`` or ``"jsonl"``.
        top: Number of classes per row.
        fingerprint: What the rows depend on; a resume with another fingerprint is refused.
        resume: Continue an interrupted file.
        overwrite: Replace an existing file.

    Attributes:
        rows: Number of rows.
        last: Image of the last row.

    Raises:
        StorageError: The file exists, and neither resume nor overwrite applies.
        SettingsChanged: It was started with another fingerprint.
    """

    def __init__(
        self, path: Path | None, format: str, top: int, fingerprint: dict[str, Any], resume: bool, overwrite: bool
    ) -> None:
        self.path, self._top, self._fingerprint = path, top, fingerprint
        self.rows, self.last = 0, ""
        self._file: IO[str] = self._open(path, resume, overwrite) if path else sys.stdout
        if path is None and isinstance(sys.stdout, io.TextIOWrapper):  # else it has been replaced, as in a notebook
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n") if format == "csv" else None
        if self._csv and not self.rows:
            self._csv.writerow(csv_header(top))

    def _open(self, path: Path, resume: bool, overwrite: bool) -> IO[str]:
        self._progress = path.with_name(f"{path.name}.partial")
        if resume and self._progress.is_file() and path.is_file():
            saved = storage.read_json(self._progress)
            if saved["fingerprint"] != self._fingerprint:
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
            if not self.rows:  # before the file: whatever is in it, as long as this note exists it is not complete
                storage.write_json(
                    self._progress, {"fingerprint": self._fingerprint, "rows": 0, "bytes": 0, "last": ""}
                )
            return path.open("a" if self.rows else "w", encoding="utf-8", errors="surrogateescape", newline="")

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write rows and flush the file."""
        for prediction in predictions:
            if self._csv:
                self._csv.writerow(csv_row(prediction, self._top))
            else:
                self._file.write(json.dumps(as_dict(prediction), ensure_ascii=False) + "\n")
            self.rows, self.last = self.rows + 1, prediction.image
        self._file.flush()

    def save_progress(self) -> None:
        """Note durably how many rows the file has; on stdout nothing is noted."""
        if self.path:
            saved = {"fingerprint": self._fingerprint, "rows": self.rows, "bytes": self._sync(), "last": self.last}
            storage.write_json(self._progress, saved)

    def complete(self) -> None:
        """Write the file to disk and remove the note beside it."""
        if self.path:
            self._sync()
            with storage.wrap_os_errors(self.path):
                self._progress.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; an interrupted one without a row is removed."""
        if self.path:
            self._file.close()
            if not self.rows and self._progress.is_file():
                self.path.unlink(missing_ok=True)
                self._progress.unlink(missing_ok=True)

    def _sync(self) -> int:
        """Write the file to disk; its size in bytes."""
        with storage.wrap_os_errors(self.path or Path()):
            self._file.flush()
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size
