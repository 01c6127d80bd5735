"""Which folder a command writes to, and whether it may. Imports no torch."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from topwork.core import commands, storage
from topwork.core.artifacts import RunInfo, read_run_info
from topwork.core.errors import DataError, StorageError, UsageError

RUNS = Path("runs")


def cache_folder() -> Path:
    """Where features and inspections of images are kept: ``TOPWORK_CACHE``, or the user's cache folder."""
    if os.environ.get("TOPWORK_CACHE"):
        return Path(os.environ["TOPWORK_CACHE"])
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "topwork" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "topwork"


def now() -> str:
    """The local time with its zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def resolve_output_folder(name: str, out: Path | None, resume: bool, overwrite: bool) -> Path:
    """The folder to write to.

    Args:
        name: Of a new folder in ``runs/`` if ``out`` is None; ``-2``, ``-3``, ... is added if it exists.
        out: Taken literally.
        resume: Continue an existing run; without ``out`` the newest of this name.
        overwrite: Replace an existing run.

    Raises:
        StorageError: The folder has content and neither resume nor overwrite was requested.
        UsageError: There is nothing to resume.
    """
    if out is None:
        if resume:
            own = re.compile(rf"{re.escape(name)}(-\d+)?")
            found = [file.parent for file in RUNS.glob("*/run.json") if own.fullmatch(file.parent.name)]
            if not found:
                raise UsageError(f"There is nothing to resume: no {RUNS / name}. Leave --resume out, or use --out.")
            return max(found, key=lambda path: path.stat().st_mtime)
        if overwrite:
            return _clear(RUNS / name)
        numbered = (RUNS / f"{name}-{number}" for number in itertools.count(2))
        return next(path for path in itertools.chain([RUNS / name], numbered) if not path.exists())
    if resume:
        if not (out / "run.json").is_file():
            raise UsageError(f"There is nothing to resume in {out}: it has no run.json. Leave --resume out.")
        return out
    if out.is_file():
        raise StorageError(f"{out} is a file. Choose another --out.")
    if out.is_dir() and not _is_empty_run(out):
        if not overwrite:
            raise StorageError(
                f"{out} is not empty. Use --overwrite or another --out, or resume with: {commands.resume(out)}"
            )
        return _clear(out)
    return out


def _clear(path: Path) -> Path:
    """Empty the folder of an earlier run. Nothing else is ever removed."""
    if not path.is_dir():
        return path
    if not (path / "run.json").is_file():
        raise StorageError(f"{path} was not written by topwork, so --overwrite keeps it. Choose another --out.")
    with storage.lock_folder(path):
        for entry in path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != ".lock":
                entry.unlink()
    return path


def remove_empty_run(path: Path) -> None:
    """Remove the folder of a command that failed before it wrote anything but its log."""
    if path.is_dir() and _is_empty_run(path) and (path / "train.log").exists():  # else another process may hold it
        shutil.rmtree(path, ignore_errors=True)


def _is_empty_run(path: Path) -> bool:
    """Whether a folder has only what a command leaves that was killed before it began its work."""
    names = {entry.name for entry in path.iterdir() if not storage.is_temporary(entry)}
    return names <= {".lock", "train.log"}


def list_runs(root: Path) -> list[tuple[Path, RunInfo]]:
    """The runs and comparisons in a folder, newest first."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(DataError, StorageError):
            found.append((path, read_run_info(path)))
    return sorted(found, key=lambda item: item[1].created, reverse=True)
