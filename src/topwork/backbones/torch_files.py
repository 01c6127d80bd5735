"""Opens an untrusted ``.pth`` file: with ``weights_only``, in a process of its own with few permissions.

As a program, ``python -P torch_files.py FILE TARGET``, it writes the tensors of FILE to TARGET as safetensors.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

Tensors = dict[str, torch.Tensor]
LEGACY = bytes.fromhex("8002 8a0a 6cfc 9c46 f920 6aa8 5019 2e")  # how torch.save began its files before 1.6
EXTRA_MEMORY = 512 << 20  # bytes in addition to four times the file that the process may allocate
CPU_SECONDS = 600
FORBIDDEN = ("subprocess.", "socket.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename")


def load(path: Path) -> Tensors:
    """The tensors of a ``.pth`` file by name, opened in this process with ``weights_only`` and no fallback.

    A tensor in a dict in a dict is called ``"state_dict.fc.weight"``.

    Raises:
        ValueError: ``torch.save`` did not write the file, or it has no tensors.
        Exception: From ``torch.load``, for a file that is corrupt or whose loading would execute code.
    """
    _check_container(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an old pickle protocol
        with torch.serialization.safe_globals([argparse.Namespace]):  # options of a training, which are not used
            value = torch.load(path, map_location="cpu", weights_only=True)
    tensors = dict(_flatten(value, ""))
    if not tensors:
        raise ValueError("it contains no tensors by name")
    return tensors


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors by their names in nested dicts, joined by points; other values of a training are left out."""
    for name, item in value.items() if isinstance(value, dict) else ():
        if isinstance(name, str) and isinstance(item, dict):
            yield from _flatten(item, f"{prefix}{name}.")
        elif isinstance(name, str) and isinstance(item, torch.Tensor):
            yield prefix + name, item


def load_sandboxed(path: Path) -> Tensors:
    """The same as ``load``, in a process with limits, which returns the tensors as safetensors.

    Raises:
        ValueError: The process failed; with the reason that it printed.
    """
    _check_container(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tensors.safetensors"
        command = [sys.executable, "-P", __file__, str(path.absolute()), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder, check=False)
        if done.returncode != 0 or not target.is_file():
            lines = done.stderr.strip().splitlines()
            raise ValueError(lines[-1] if lines else f"the process that loads it exited with {done.returncode}")
        with open(target, "rb") as file:  # not memory-mapped: the folder is removed
            return safetensors.torch.load(file.read())


def _check_container(path: Path) -> None:
    """Check that the file is as ``torch.save`` writes it: its members are not compressed and stay inside of it."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            if file.read(len(LEGACY)) != LEGACY:
                raise ValueError("torch.save did not write it")
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it has compressed members")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are larger than the file")
    if any(".." in Path(member.filename).parts or member.filename.startswith("/") for member in members):
        raise ValueError("it has members with unsafe paths")


def _limit(path: Path) -> None:
    """Limit memory and time, and forbid processes, connections and removals, from here on."""

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"it attempted {event}")

    sys.addaudithook(refuse)
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * resource.getpagesize() + 4 * path.stat().st_size + EXTRA_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def main(path: Path, target: Path) -> None:
    """The process; a failure is one line on stderr and exit status 1."""
    _limit(path)
    try:
        tensors = {name: tensor.contiguous().clone() for name, tensor in load(path).items()}
        safetensors.torch.save_file(tensors, target)
    except Exception as error:  # the libraries raise many types
        lines = str(error).strip().splitlines() or [type(error).__name__]
        sys.exit("loading it would execute code" if lines[0].startswith("Weights only load failed") else lines[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
