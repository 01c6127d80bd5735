"""Checkpoints in a folder: ``last-<step>`` to resume from, and ``best-<step>`` that these refer to.

Each is a folder with its own SHA-256 manifest that appears complete or not at all (see ``storage``). Two ``last`` and
their ``best`` are kept; older ones are removed only after the new one is durable. Imports no torch, so that thousands
of kills are cheap to try.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from topwork.core import storage
from topwork.core.errors import CorruptFile

KEEP = 2
REFERS = "best.json"
LARGE = "shard-"  # prefix of files that are not read into memory
Files = dict[str, bytes]


class State(NamedTuple):
    """An intact checkpoint, without its ``LARGE`` files, and the best one that it refers to."""

    folder: Path
    files: Files
    best: Files


class CheckpointFiles:
    """The checkpoints in ``folder``, which is created; only one process may use it. ``log`` receives each damage."""

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self.folder, self._log = folder, log
        with storage.wrap_os_errors(folder):
            storage.make_folder(folder)
            storage.sweep_temporary(folder)

    def _names(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"{kind}-*"))

    def save(self, step: int, files: Files, best_step: int, best: Files, staged: Path | None = None) -> None:
        """Write a checkpoint durably, then remove those that it makes obsolete.

        Args:
            step: Larger than those before, or one that is written again.
            files: Name to content.
            best_step: Of the best checkpoint so far.
            best: Its files; empty if there is none yet. Written only if it does not exist.
            staged: From ``storage.create_staging_folder`` of the folder: more files of the checkpoint.

        Raises:
            StorageError: It could not be written; all earlier checkpoints still exist.
        """
        with storage.wrap_os_errors(self.folder):
            best_path = self.folder / f"best-{best_step:09d}"
            if best and not best_path.exists():
                storage.write_folder(best_path, best)
            target = self.folder / f"last-{step:09d}"
            if target.exists():  # a damaged one, or a training that resumed from an earlier one
                storage.remove_folder(target)
            refers = json.dumps({"best": best_path.name if best else ""}).encode()
            storage.write_folder(target, files | {REFERS: refers}, staged)
        with contextlib.suppress(OSError):  # it is saved; obsolete ones can be removed with the next
            self._prune(target)

    def _prune(self, newest: Path) -> None:
        """Remove older checkpoints, and those after the newest: they were damaged when the training went back."""
        kept = [path for path in self._names("last") if path <= newest][-KEEP:]
        for path in self._names("last"):
            if path not in kept:
                storage.remove_folder(path)
        try:
            needed = {json.loads(storage.read_folder(path, [REFERS])[REFERS])["best"] for path in kept}
        except CorruptFile:  # the one before is damaged: then it is unknown which are obsolete
            return
        for path in self._names("best"):
            if path.name not in needed:
                storage.remove_folder(path)

    def load(self) -> Iterator[State]:
        """The intact checkpoints, newest first, each with its best; one that cannot be read is logged and stays."""
        for path in reversed(self._names("last")):
            try:
                files = storage.read_folder(path, large=LARGE)
                best = json.loads(files[REFERS])["best"]
                yield State(path, files, storage.read_folder(self.folder / best) if best else {})
            except CorruptFile as error:
                self._log(f"{error} The checkpoint before it is used.")
