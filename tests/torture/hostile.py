"""Model files made to do harm: each must be refused with a reason, with nothing run and little memory used."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.torture.calls import Tally
from topwork.backbones import torch_files, weights
from topwork.core.errors import WeightsError

MEMORY = 400 << 20  # bytes that all files together may add to the process


class _Calls:
    """A pickle of this runs a function when it is opened by somebody careless."""

    def __init__(self, function: Callable[..., Any], *given: object) -> None:
        self._what = function, given

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._what


def try_all(count: int, seed: int = 0) -> Tally:
    """Open so many hostile files; a canary file and an audit hook tell whether anything ran."""
    tally, started = Tally(), []

    def audit(event: str, given: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and torch_files.__file__ in given[1]:
            return  # the limited process, which the canary watches
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "os.fork"):
            started.append(event)

    sys.addaudithook(audit)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as place:
        canary = Path(place) / "canary"
        files = _files(canary, random.Random(seed))
        for _ in range(count):
            what, suffix, data = next(files)
            path = Path(place) / f"model{suffix}"
            path.write_bytes(data)
            started.clear()
            tally.tried += 1
            tally.hit += 1
            try:
                weights.read(path)
                tally.wrong.append(f"{what}: opened")
            except WeightsError as error:
                if not str(error).strip():
                    tally.wrong.append(f"{what}: no reason")
            if started or canary.exists():
                tally.wrong.append(f"{what}: ran {started}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    if grown > MEMORY:
        tally.wrong.append(f"memory grew by {grown >> 20} MiB")
    return tally


def _files(canary: Path, rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    functions: list[tuple[Any, ...]] = [
        (os.system, f"touch {canary}"),
        (subprocess.Popen, ["touch", str(canary)]),
        (eval, f"open({str(canary)!r}, 'w')"),
        (exec, f"open({str(canary)!r}, 'w')"),
        (open, str(canary), "w"),
        (os.mkdir, str(canary)),
    ]
    while True:
        call = _Calls(*rng.choice(functions))
        protocol = rng.randrange(6)
        yield "pickle that calls", ".pth", pickle.dumps({"x": call}, protocol=protocol)
        yield "archive that calls", rng.choice([".pth", ".pt"]), _archive(pickle.dumps({"x": call}, protocol=2))
        yield "packed archive", ".pth", _archive(b"\0" * (8 << 20), pack=True)
        yield "member outside", ".pth", _archive(_tensors(), name="archive/../../evil")
        yield "cut archive", ".pth", _tensors()[: rng.randrange(1, 600)]
        yield "huge header", ".safetensors", struct.pack("<Q", rng.choice([2**63, 2**40, 10**9])) + b"{}"
        yield "header that lies", ".safetensors", _safetensors(shape=[rng.randrange(2**20, 2**40)], end=8)
        yield "offsets outside", ".safetensors", _safetensors(shape=[2], end=rng.randrange(9, 2**40))
        yield "deep header", ".safetensors", _header(b"[" * rng.randrange(1000, 90000))
        yield "noise", rng.choice([".pth", ".safetensors"]), rng.randbytes(rng.randrange(1, 4000))
        yield "one number, seen a million million times", ".pth", _saved({"x": torch.ones(1).expand(2**40)})
        yield "no tensors", ".pth", _saved({"model": [1, 2, "x"]})


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _tensors() -> bytes:
    return _saved({"x": torch.ones(3)})


def _archive(data: bytes, name: str = "archive/data.pkl", pack: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED) as archive:
        archive.writestr(name, data)
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


def _safetensors(shape: list[int], end: int) -> bytes:
    header = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    return _header(json.dumps(header).encode()) + b"\0" * 8


def _header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
