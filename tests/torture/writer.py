"""Makes every kind of save again and again, and says of each whether it was saved: what the torture kills.

Run as ``python writer.py ROOT SAVES [FAULT]``. FAULT plants a writer that is wrong, to show that the torture notices:
``in-place`` writes where readers look, ``prune-first`` removes before the new state is there, ``no-fsync`` and
``no-folder-fsync`` leave out what survives a power cut.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from topwork.core import checkpoint_files, storage
from topwork.core.errors import StorageError

MARK = "/torture-begins"  # looked for in the trace: what comes before is Python's start


def body(step: int, size: int = 9000) -> bytes:
    """Content that tells its step."""
    return (f"{step:09d}" * (size // 9)).encode()


def shard_name(step: int) -> str:
    """A shard is named by its content."""
    return f"{storage.sha256_bytes(body(step))}.safetensors"


def main(root: Path, saves: int) -> None:
    """Go on from what is there; say ``saved WHAT STEP`` or ``failed WHAT STEP`` on standard output."""
    with contextlib.suppress(OSError):
        os.access(MARK, 0)
    store = None
    for step in range(1, saves + 1):
        try:
            store = store or checkpoint_files.CheckpointFiles(root / "checkpoints", lambda line: None)
        except (StorageError, OSError):
            _say(f"failed open {step}")
            continue
        _try("last", step, lambda store=store, step=step: _state(store, step))
        _try("shard", step, lambda step=step: storage.write_bytes(root / "cache" / shard_name(step), body(step)))
        if step % 2 == 0:
            _try("bundle", step, lambda step=step: _bundle(root / "model", step))


def _state(store: checkpoint_files.CheckpointFiles, step: int) -> None:
    best = (step + 1) // 2  # every second state is a new best
    store.save(step, {"state": body(step)}, best, {"weights": body(best, 5000)})


def _bundle(folder: Path, step: int) -> None:
    storage.remove_folder(folder)
    storage.write_folder(folder, {"weights": body(step), "model.json": b"{}"})


def _try(what: str, step: int, save: Callable[[], None]) -> None:
    try:
        save()
    except StorageError:
        _say(f"failed {what} {step}")
    else:
        _say(f"saved {what} {step}")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # then it was not said
        os.write(1, f"{line}\n".encode())


def plant(fault: str) -> None:
    """Make the writer wrong."""
    real = storage.write_folder

    def in_place(target: Path, files: Mapping[str, bytes], staged: Path | None = None) -> None:
        target.mkdir(parents=True, exist_ok=True)
        sums = {name: {"bytes": len(data), "sha256": storage.sha256_bytes(data)} for name, data in files.items()}
        manifest = {"format": storage.FORMAT, "files": sums}
        storage.write_json(target / storage.MANIFEST, manifest | {"sha256": storage.sha256_json(manifest)})
        for name, data in files.items():
            (target / name).write_bytes(data)

    def prune_first(target: Path, files: Mapping[str, bytes], staged: Path | None = None) -> None:
        for old in target.parent.glob("last-*") if target.name.startswith("last-") else ():
            storage.remove_folder(old)
        real(target, files, staged)

    if fault == "in-place":
        storage.write_folder = in_place
    elif fault == "prune-first":
        storage.write_folder = prune_first
    elif fault == "no-fsync":
        storage.os.fsync = lambda handle: None
    elif fault == "no-folder-fsync":
        storage._fsync_folder = lambda path: None
    else:
        raise SystemExit(f"no such fault: {fault}")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        plant(sys.argv[3])
    main(Path(sys.argv[1]), int(sys.argv[2]))
