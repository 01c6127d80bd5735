"""Locks: one process at a time writes to a run, and none clears a cache that another uses. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from topwork.core.errors import StorageError
from topwork.core.storage import make_folder, wrap_os_errors

_HELD: set[Path] = set()
_SHARED: dict[Path, tuple[IO[bytes], int]] = {}  # with the number of users in this process
_GUARD = threading.Lock()


@contextlib.contextmanager
def lock_folder(folder: Path, advice: str = "Wait for it, or choose another --out.") -> Iterator[None]:
    """Hold a folder, which is created. The lock is the kernel's, so a dead process does not leave it behind.

    Raises:
        StorageError: Another process holds it, or the folder cannot be created.
    """
    in_use = f"{folder} is in use by another topwork process. {advice}"
    key = folder.resolve()
    if key in _HELD or key in _SHARED:  # the kernel's lock is one of processes, not of threads
        raise StorageError(in_use)
    with contextlib.ExitStack() as stack:
        while True:
            with wrap_os_errors(folder):
                make_folder(folder)
                # the file stays: only a lock on it counts
                file = stack.enter_context(open(folder / ".lock", "ab", opener=_open_itself))
            try:
                _lock(file)
            except OSError as error:
                raise StorageError(in_use) from error
            if os.fstat(file.fileno()).st_nlink:
                break  # else the process that held it has removed the folder meanwhile
        _HELD.add(key)
        stack.callback(_HELD.discard, key)
        yield


@contextlib.contextmanager
def share_folder(folder: Path) -> Iterator[None]:
    """Use a folder together with other processes, so that none of them locks it.

    Where that cannot be, e.g. in a folder that is read-only, nothing is held.
    """
    key = folder.resolve()
    with _GUARD, contextlib.suppress(OSError, StorageError):
        if key not in _SHARED:
            make_folder(folder)
            file = open(folder / ".lock", "a+b", opener=_open_itself)  # noqa: SIM115 - closed by the last user
            _SHARED[key] = file, 0
            _lock_shared(file)
        file, users = _SHARED[key]
        _SHARED[key] = file, users + 1
    try:
        yield
    finally:
        with _GUARD:
            if key in _SHARED:
                file, users = _SHARED.pop(key)
                if users > 1:
                    _SHARED[key] = file, users - 1
                else:
                    file.close()


def _open_itself(path: str, flags: int) -> int:
    """Open a file, but not what a link leads to, and no pipe, which would block."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


if os.name == "nt":  # pragma: no cover - Windows only
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyrefly: ignore[missing-attribute]

    def _lock_shared(file: IO[bytes]) -> None:
        """There is no such lock, but open files cannot be deleted."""
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        # lockf, not flock: a forked image worker that outlives a killed parent must not hold the folder
        fcntl.lockf(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _lock_shared(file: IO[bytes]) -> None:
        fcntl.lockf(file.fileno(), fcntl.LOCK_SH)
