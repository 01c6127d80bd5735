"""Opens a ``.pth`` that somebody else made: with ``weights_only``, in a process of its own that may do next to nothing.

As a program, ``python -P foreign.py FILE TARGET``, it writes the tensors of FILE to TARGET as safetensors.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

Tensors = dict[str, torch.Tensor]
WRAPPERS = ("state_dict_ema", "state_dict", "model")  # what training scripts wrap weights in
LEGACY = bytes.fromhex("8002 8a0a 6cfc 9c46 f920 6aa8 5019 2e")  # how torch.save began its files before 1.6
MEMORY = 512 << 20  # bytes beyond four times the file: what a process may add to open it
SECONDS = 600  # of processor time
FORBIDDEN = ("subprocess.", "socket.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename")


def load(path: Path) -> Tensors:
    """The tensors of a ``.pth`` file, opened in this process with ``weights_only`` and no fallback.

    Raises:
        ValueError: The file is none that ``torch.save`` writes, or it holds something else than a dict of tensors.
        Exception: What ``torch.load`` raises for a file that is damaged or would need code to be run.
    """
    _refuse_odd_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an old pickle protocol; what does not fit is refused below
        value = torch.load(path, map_location="cpu", weights_only=True)
    for key in WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict) or not all(isinstance(t, torch.Tensor) for t in value.values()):
        raise ValueError("it holds no plain dict of tensors")
    return {name.removeprefix("module."): tensor for name, tensor in value.items()}


def load_sandboxed(path: Path) -> Tensors:
    """The same, opened in a limited process; only safetensors come back from it.

    Raises:
        ValueError: The file cannot be opened within the limits; the reason is the process's own.
    """
    _refuse_odd_file(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tensors.safetensors"
        command = [sys.executable, "-P", __file__, str(path.absolute()), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder, check=False)
        if done.returncode != 0 or not target.is_file():
            lines = done.stderr.strip().splitlines()
            raise ValueError(lines[-1] if lines else f"its reader ended with {done.returncode}")
        with open(target, "rb") as file:  # not mapped: the folder goes away
            return safetensors.torch.load(file.read())


def _refuse_odd_file(path: Path) -> None:
    """torch stores tensors as they are: packed, oversized or wandering members are somebody's trick."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            if file.read(len(LEGACY)) != LEGACY:
                raise ValueError("torch.save writes no such file")
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it has packed members")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are larger than the file")
    if any(".." in Path(member.filename).parts or member.filename.startswith("/") for member in members):
        raise ValueError("it has members outside of it")


def _limit(path: Path) -> None:
    """Little memory and time, and no processes, connections or removals, from here on."""

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"it tried {event}")

    sys.addaudithook(refuse)
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        room = pages * resource.getpagesize() + 4 * path.stat().st_size + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def main(path: Path, target: Path) -> None:
    """What the limited process does; a failure is one line on standard error and status 1."""
    _limit(path)
    try:
        tensors = {name: tensor.contiguous().clone() for name, tensor in load(path).items()}
        safetensors.torch.save_file(tensors, target)
    except Exception as error:  # the readers raise many kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        sys.exit("opening it would run code" if lines[0].startswith("Weights only load failed") else lines[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
