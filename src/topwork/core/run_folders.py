"""Which folder a command writes to, and whether it may. Imports no torch."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import uuid
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from topwork.core import commands, folder_lock, storage
from topwork.core.artifacts import RunInfo, read_run_info
from topwork.core.errors import DataError, StorageError, UsageError

RUNS = Path("runs")
CHECKPOINTS = "checkpoints"
_DELETED = ".topwork-deleted-"
REPLACING = "replacing"  # status of a new run as long as something of the old one may be in its folder


def cache_folder() -> Path:
    """Where features and inspections of images are kept: ``TOPWORK_CACHE``, or the user's cache folder."""
    if os.environ.get("TOPWORK_CACHE"):
        return Path(os.environ["TOPWORK_CACHE"])
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "topwork" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "topwork"


def clear_cache() -> None:
    """Delete what topwork keeps in the cache, and nothing else, should the folder have other files too.

    Raises:
        StorageError: A training uses it.
    """
    folder = cache_folder()
    with folder_lock.lock_folder(folder, "Wait for it, or stop it."):
        for name in ("features", "datasets", "shards"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for file in folder.glob("images-*.json"):
            file.unlink(missing_ok=True)


def now() -> str:
    """The local time with its zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def resolve_output_folder(name: str, out: Path | None, resume: bool, overwrite: bool) -> Path:
    """The folder to write to.

    Args:
        name: Of a new folder in ``runs/`` if ``out`` is None; ``-2``, ``-3``, ... is added if it exists. The folder is
            created, so that no other process takes it.
        out: Taken literally.
        resume: Continue the run in ``out``.
        overwrite: Replace an existing run, which ``replace_run`` does when nothing can be refused any more.

    Raises:
        StorageError: The folder has content and neither resume nor overwrite was requested.
        UsageError: There is nothing to resume.
    """
    if out is None:
        if overwrite:
            return check_output_folder(RUNS / name, overwrite)
        numbered = (RUNS / f"{name}-{number}" for number in itertools.count(2))
        return next(path for path in itertools.chain([RUNS / name], numbered) if storage.create_folder(path))
    if resume:
        if not (out / "run.json").is_file():
            raise UsageError(f"There is nothing to resume in {out}: it has no run.json. Leave --resume out.")
        return out
    return check_output_folder(out, overwrite)


def check_output_folder(path: Path, overwrite: bool) -> Path:
    """Refuse a folder for a new run whose content is none of a run, or is to be kept."""
    if path.is_file():
        raise StorageError(f"{path} is a file. Choose another --out.")
    if path.is_dir() and not _is_empty_run(path):
        if not overwrite:
            raise StorageError(
                f"{path} is not empty. Use --overwrite or another --out, or resume with: {commands.resume(path)}"
            )
        if not (path / "run.json").is_file():
            raise StorageError(
                f"{path} was not written by topwork: --overwrite does not remove it. Choose another --out."
            )
    return path


def check_links(folder: Path) -> Path:
    """Refuse a run that has a link which leads out of it: its files are read and written as if they were its own.

    Checkpoints may be elsewhere; only a resume opens them.

    Raises:
        DataError: It has such a link.
    """
    top, waiting = os.path.realpath(folder), [os.fspath(folder)]
    while waiting:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink() and not os.path.realpath(entry.path).startswith(os.path.join(top, "")):
                    raise DataError(
                        f"{entry.path} is a link that leads out of {folder}, and what topwork writes there would go "
                        "elsewhere. Replace it by what it leads to, or remove it."
                    )
                if entry.is_dir(follow_symlinks=False) and entry.name != CHECKPOINTS:
                    waiting.append(entry.path)
    return folder


def replace_run(path: Path, info: RunInfo) -> None:
    """Remove the run in a folder, if there is one, for a new one; call it only under the folder's lock.

    The new ``run.json`` decides: before it is there nothing is removed, and a kill after it leaves the new run, whose
    resume removes what is left of the old one.
    """
    if (path / "run.json").is_file():
        replace(info, status=REPLACING).write(path)
        finish_replacement(path)


def finish_replacement(path: Path) -> None:
    """Remove what a killed ``replace_run`` has left of the old run."""
    if read_run_info(path).status == REPLACING:
        for entry in path.iterdir():
            if entry.name not in (".lock", "run.json") and not storage.is_temporary(entry):
                storage.hide(entry)  # all of it disappears at once, however long its removal takes
        storage.sweep_temporary(path)


def remove_empty_run(path: Path) -> None:
    """Remove the folder of a command that failed before it wrote anything but its log; only under the folder's lock."""
    if path.is_dir() and _is_empty_run(path):
        shutil.rmtree(path, ignore_errors=True)


def _is_empty_run(path: Path) -> bool:
    """Whether a folder has only what a command leaves that was killed before it began its work."""
    names = {entry.name for entry in path.iterdir() if not storage.is_temporary(entry)}
    return names <= {".lock", "train.log"}


def check_removable(path: Path) -> Path:
    """The absolute path of a whole run or comparison; nothing else is to be deleted.

    Raises:
        DataError: It is no run.
        UsageError: It is a link, or a part of a comparison.
    """
    read_run_info(path)
    if path.is_symlink():
        raise UsageError(f"{path} is a link. Name the folder that it leads to: {path.resolve()}")
    comparison = commands.resumable_folder(path.resolve())
    if comparison != path.resolve():
        raise UsageError(f"{path} is a part of the comparison {comparison}, which needs it. Name the comparison.")
    return comparison


def delete_run(path: Path) -> None:
    """Delete a run or a comparison; after a kill it is whole, or no command takes it for a run.

    Raises:
        DataError, UsageError: See ``check_removable``.
        StorageError: It is in use, or cannot be removed.
    """
    folder = check_removable(path)
    hidden = folder.with_name(f"{_DELETED}{uuid.uuid4().hex}")
    try:
        with folder_lock.lock_folder(folder, "Wait for it, or stop it."):
            storage.hide(folder / "run.json")  # no command starts in the folder any more
        folder.rename(hidden)  # outside of the lock, whose open file would prevent it on Windows
    except OSError as error:
        raise StorageError(f"{path} cannot be deleted: {error.strerror}. Check the permissions.") from error
    for deleted in folder.parent.glob(f"{_DELETED}*"):  # this one, and what a kill has left of others
        shutil.rmtree(deleted, ignore_errors=True)
    if hidden.exists():
        raise StorageError(f"A part of {path} cannot be removed, and is now in {hidden}. Check the permissions.")


def unreadable_runs(root: Path) -> list[Path]:
    """The folders in a folder that have a ``run.json`` which cannot be read, e.g. of another version; by name."""
    known = {path for path, _ in list_runs(root)}
    paths = sorted(root.iterdir()) if root.is_dir() else []
    return [path for path in paths if (path / "run.json").is_file() and path not in known]


def list_runs(root: Path) -> list[tuple[Path, RunInfo]]:
    """The runs and comparisons in a folder, newest first."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(DataError, StorageError):
            found.append((path, read_run_info(path)))
    return sorted(found, key=lambda item: item[1].created, reverse=True)
