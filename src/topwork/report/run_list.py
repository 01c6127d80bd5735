"""What the runs in a folder have come to and how large they are, as ``topwork runs`` lists them. Imports no torch."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from topwork.core import run_folders, storage
from topwork.core.artifacts import RunInfo
from topwork.core.errors import TopworkError
from topwork.core.progress import aligned
from topwork.evaluation.target_metric import NAMES
from topwork.report.formatting import format_bytes, metric_cell


@dataclass(frozen=True)
class ListedRun:
    """A run or a comparison.

    Attributes:
        result: Accuracy on the test images, or the metric that decides, of the recommended strategy of a comparison;
            empty if nothing has finished.
        size: Bytes of its files.
    """

    path: Path
    info: RunInfo
    result: str
    size: int


def list_runs(root: Path) -> list[ListedRun]:
    """The runs and comparisons in a folder, newest first."""
    return [ListedRun(path, info, _result(path, info), folder_size(path)) for path, info in run_folders.list_runs(root)]


def format_runs(found: list[ListedRun]) -> str:
    """A table, one line per run."""
    rows = [("started", "status", "kind", "accuracy", "size", "folder")]
    for run in found:
        when = run.info.created[:16].replace("T", " ")
        rows.append((when, run.info.status, run.info.kind, run.result or "-", format_bytes(run.size), str(run.path)))
    return "\n".join(aligned(rows))


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder; what links lead to does not count."""
    total, waiting = 0, [os.fspath(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _result(path: Path, info: RunInfo) -> str:
    """Like ``86.7 % (svm)``; anybody may have written the files, so that nothing in them is relied on."""
    with contextlib.suppress(TopworkError, OSError, LookupError, TypeError, ValueError):
        name, metric = info.strategies[0], "accuracy"
        if info.kind == "comparison":
            verdict = storage.read_json(path / "verdict.json")
            name, metric = verdict["recommendation"]["name"], verdict["metric"]
            value = next(result["value"] for result in verdict["results"] if result["name"] == name)
        else:
            value = storage.read_json(path / "metrics.json")["test"]["accuracy"]["value"]
        if name in info.strategies and metric in NAMES:
            unit = "" if metric == "accuracy" else f" {NAMES[metric]}"
            return f"{metric_cell(float(value), metric)}{unit} ({name})"
    return ""
