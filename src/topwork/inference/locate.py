"""Which model bundle is meant: by a run, a comparison, or the bundle itself, wherever it has been moved to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from topwork.core.artifacts import read_run_info
from topwork.core.errors import DataError, UsageError
from topwork.report.results import Comparison

BUNDLE = "model"


@dataclass(frozen=True)
class ModelLocation:
    """Where a bundle is located.

    Attributes:
        bundle: Its folder.
        run: The run that it belongs to; None if it was moved away from it.
        note: What was chosen among several, for people; may be empty.
    """

    bundle: Path
    run: Path | None
    note: str = ""


def locate_bundle(path: str | os.PathLike[str]) -> ModelLocation:
    """The bundle in a folder, or the folder itself.

    Args:
        path: A run, a comparison (its strategy with the best validation accuracy is used) or a bundle.

    Raises:
        UsageError: There is no such folder.
        DataError: It is none of these, or nothing in it has finished.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist. Pass a run, a comparison or a model bundle (`topwork runs`).")
    if (folder / "model.json").is_file():
        run = folder.resolve().parent
        return ModelLocation(folder, run if (run / "run.json").is_file() and folder.name == BUNDLE else None)
    info = read_run_info(folder)
    if info.kind != "comparison":
        if not (folder / BUNDLE).is_dir():
            raise DataError(
                f"{folder} has no model: it has not finished. Resume with `topwork train --resume {folder}`."
            )
        return ModelLocation(folder / BUNDLE, folder)
    comparison = Comparison(folder)
    finished = {name: run for name, run in comparison.runs.items() if (run.path / "metrics.json").is_file()}
    if not finished:
        raise DataError(f"No strategy in {folder} has finished. Resume with: `topwork compare DATA --resume`.")
    comparison.runs = finished
    best = comparison.best_on_val()
    accuracy = best.metrics["val"]["accuracy"]["value"]
    left = [name for name in info.strategies if name not in finished]
    rest = f"; not finished: {', '.join(left)}" if left else ""
    return ModelLocation(
        best.path / BUNDLE, best.path, f"{best.strategy}, the best on val of {folder.name} ({accuracy:.1%}{rest})"
    )
