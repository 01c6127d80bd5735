"""The tensors of a training that is cut over processes, in files: torch's distributed checkpoint, as safetensors.

Each process writes the pieces that it has. Any number of processes reads them back, also one; and what one process has
written whole, several read in pieces. Imported when needed: torch's part takes a second to load.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from topwork.training.state import Room, Tensors


def write(folder: Path, tensors: Tensors) -> None:
    """Write the pieces of this process; all must call it. The files are not durable yet.

    Args:
        folder: An empty one that all processes see.
        tensors: DTensors, of which each process has its piece, and tensors that are the same in all.

    Raises:
        OSError: One of the processes could not write; all are told.
    """
    with _said_by_all():
        dcp.save(tensors, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))


def read(folder: Path, room: Room) -> Tensors:
    """The pieces that this process is to have; all must call it.

    Args:
        folder: Files of ``write``, or one of whole tensors.
        room: Makes the tensor that one of this name, whole shape and dtype goes into.

    Raises:
        OSError: One of the processes could not read; all are told.
        DamagedFile: There is no room for a name.
    """
    tensors = _rooms(folder, room)
    with _said_by_all():
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))
    return tensors


def read_whole(folder: Path) -> Tensors:
    """All tensors of ``write``, whole and on the CPU, read by one process."""
    tensors = _rooms(folder, lambda _, shape, dtype: torch.empty(shape, dtype=dtype))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)), no_dist=True)
    return tensors


def _rooms(folder: Path, room: Room) -> Tensors:
    found = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    tensors = {name: known for name, known in found.items() if isinstance(known, TensorStorageMetadata)}  # all of them
    return {name: room(name, known.size, known.properties.dtype) for name, known in tensors.items()}


@contextlib.contextmanager
def _said_by_all() -> Iterator[None]:
    """Raise what failed first in any process in place of torch's account of all of them, which is no Exception."""
    try:
        yield
    except CheckpointException as error:
        raise next(failure for failure, _ in error.failures.values()) from error
