"""Predictions as rows of a file: CSV or JSON Lines, and where an interrupted file goes on."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from topwork.bundle.postprocessing import Prediction
from topwork.core import storage
from topwork.core.errors import SettingsChanged, StorageError, UsageError

FORMATS = ("csv", "jsonl")


def as_dict(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain JSON; what is not known is None."""
    return {
        "image": prediction.image,
        "label": prediction.label or None,
        "probability": prediction.probability,
        "abstain": prediction.abstain,
        "out_of_distribution": prediction.out_of_distribution,
        "distance": prediction.distance,
        "error": prediction.error or None,
        "top": [{"label": guess.label, "probability": guess.probability} for guess in prediction.top],
    } | (
        {"neighbours": [{"image": n.image, "label": n.label, "distance": n.distance} for n in prediction.neighbours]}
        if prediction.neighbours
        else {}
    )


def header(top: int) -> list[str]:
    """The columns of the CSV: the best class, what is said about it, then the next ones."""
    rest = [f"{name}_{place}" for place in range(2, top + 1) for name in ("label", "probability")]
    return ["image", "label", "probability", "abstain", "out_of_distribution", "distance", "error", *rest]


def cells(prediction: Prediction, top: int) -> list[str]:
    """The cells of a row of the CSV; numbers with all their digits, so that reading gives the same number."""

    def text(value: bool | float | None) -> str:
        return "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else repr(value)

    row = [prediction.image, prediction.label, text(prediction.probability)]
    row += [text(prediction.abstain), text(prediction.out_of_distribution), text(prediction.distance), prediction.error]
    rest = [cell for guess in prediction.top[1:] for cell in (guess.label, repr(guess.probability))]
    return row + rest + [""] * (2 * (top - 1) - len(rest))


class Writer:
    """Writes predictions in one of the formats.

    Args:
        file: Text goes here.
        kind: ``"csv"`` or ``"jsonl"``.
        top: Classes in a row.
    """

    def __init__(self, file: IO[str], kind: str, top: int) -> None:
        self._file, self._kind, self._top = file, kind, top

    def begin(self) -> None:
        """Write the header, if the format has one."""
        if self._kind == "csv":
            self._lines([header(self._top)])

    def write(self, predictions: Iterable[Prediction]) -> None:
        """Write some rows and hand them on to the file."""
        if self._kind == "csv":
            self._lines(cells(prediction, self._top) for prediction in predictions)
        else:
            for prediction in predictions:
                self._file.write(json.dumps(as_dict(prediction), ensure_ascii=False) + "\n")
        self._file.flush()

    def _lines(self, rows: Iterable[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue())


def format_of(out: Path | None, asked: str | None) -> str:
    """The format: what was asked for, else by the suffix, else CSV.

    Raises:
        UsageError: There is no such format.
    """
    kind = asked or ("jsonl" if out and out.suffix.lower() in (".jsonl", ".ndjson", ".json") else "csv")
    if kind not in FORMATS:
        raise UsageError(f"--format {kind} is not known; there are {', '.join(FORMATS)}.")
    return kind


@dataclass
class Output:
    """A file of predictions that survives an interruption: beside it lies, until it is whole, how far it is.

    Args:
        path: The file.
        key: What its rows depend on; a resume with another key is refused.
    """

    path: Path
    key: dict[str, Any]
    rows: int = 0
    last: str = ""

    @property
    def state(self) -> Path:
        """The file that says how far it is."""
        return self.path.with_name(f"{self.path.name}.unfinished")

    def open(self, resume: bool, overwrite: bool) -> IO[str]:
        """Open it for writing, at its start or where it was interrupted.

        Raises:
            StorageError: It exists, and neither resume nor overwrite was asked for.
            ChangedSettings: It was begun with another model or other settings.
        """
        if resume and self.state.is_file() and self.path.is_file():
            state = storage.read_json(self.state)
            if state["key"] != self.key:
                raise SettingsChanged(
                    f"{self.path} was begun with another model or other settings. Use those, or --overwrite."
                )
            self.rows, self.last = state["rows"], state["last"]
            with storage.wrap_os_errors(self.path):
                os.truncate(self.path, state["bytes"])  # what came after may be half a row
        elif self.path.exists() and not overwrite:
            whole = not self.state.is_file()
            hint = "it is whole: use --overwrite" if whole else "use --resume, --overwrite"
            raise StorageError(f"{self.path} exists; {hint}, or another --out.")
        with storage.wrap_os_errors(self.path):
            storage.make_folder(self.path.parent)
            return open(self.path, "a" if self.rows else "w", encoding="utf-8", errors="surrogateescape", newline="")

    def keep(self, file: IO[str], rows: int, last: str) -> None:
        """Note durably that so many rows are written, the last for this image."""
        with storage.wrap_os_errors(self.path):
            file.flush()
            os.fsync(file.fileno())
            self.rows, self.last = rows, last
            size = os.fstat(file.fileno()).st_size
        storage.write_json(self.state, {"key": self.key, "rows": rows, "bytes": size, "last": last})

    def finish(self, file: IO[str]) -> None:
        """Say that it is whole."""
        with storage.wrap_os_errors(self.path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self.state.unlink(missing_ok=True)
