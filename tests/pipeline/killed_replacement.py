"""A run that is replaced, by a process that dies at its first, second, ... call that changes a folder.

A program, ``python -m tests.pipeline.killed_replacement RUN PLACE``: a process without torch is forked in no time.
For each death it prints as JSON whether the folder then holds the old run, and the SHA-256 of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork.core import run_folders, storage
from topwork.core.artifacts import read_run_info


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the lock, by its path in the folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main(run: Path, place: Path) -> None:
    """Die later and later, until the replacement is complete."""
    new = replace(read_run_info(run), strategies=("linear",), status="running")
    calls = 0
    while True:
        calls += 1
        folder = Path(shutil.copytree(run, place / f"killed-{calls}"))
        if not _killed_in_call(calls, lambda folder=folder: run_folders.replace_run(folder, new)):
            return
        is_old = read_run_info(folder).strategies == ("scratch",)
        run_folders.finish_replacement(folder)
        storage.sweep_temporary(folder)
        print(json.dumps([is_old, hashes(folder)]), flush=True)
        shutil.rmtree(folder)


def _killed_in_call(number: int, act: Callable[[], object]) -> bool:
    """Act in a process that dies at its call ``number`` of those that change a folder; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = number

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if not left:
                    os._exit(9)
                return real(*args, **named)

            return call

        for name in ("rename", "replace", "unlink", "rmdir", "remove", "fsync"):
            setattr(os, name, dying(getattr(os, name)))
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
