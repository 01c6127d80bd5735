"""The tensors of a sharded training, in files: torch's distributed checkpoint, as safetensors.

Each process writes its shards. Any number of processes can read them back, whatever number has written
them. Imported when needed: torch's part takes a second to load.
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

from topwork.training.state import Allocate, Tensors


def write(folder: Path, tensors: Tensors) -> None:
    """Write the shards of this process; all must call it. The files are not durable yet.

    Args:
        folder: An empty folder that all processes see.
        tensors: DTensors, of which each process has its shard, and tensors that are the same in all.

    Raises:
        OSError: One of the processes could not write; raised in all.
    """
    with _raise_first_failure():
        dcp.save(tensors, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))


def read(folder: Path, empty_tensor: Allocate) -> Tensors:
    """Read the shards of this process; all must call it.

    Args:
        folder: Files of ``write``, or one file of full tensors.
        empty_tensor: Allocates the (sharded) tensor for a name, full shape and dtype.

    Raises:
        OSError: One of the processes could not read; raised in all.
        CorruptFile: The model has no tensor of a name.
    """
    tensors = _empty_tensors(folder, empty_tensor)
    with _raise_first_failure():
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))
    return tensors


def read_full(folder: Path) -> Tensors:
    """All tensors of ``write``, full and on the CPU, read by one process."""
    tensors = _empty_tensors(folder, lambda _, shape, dtype: torch.empty(shape, dtype=dtype))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)), no_dist=True)
    return tensors


def _empty_tensors(folder: Path, empty_tensor: Allocate) -> Tensors:
    found = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    tensors = {name: known for name, known in found.items() if isinstance(known, TensorStorageMetadata)}
    return {name: empty_tensor(name, known.size, known.properties.dtype) for name, known in tensors.items()}


@contextlib.contextmanager
def _raise_first_failure() -> Iterator[None]:
    """Raise the first failure of any process in place of torch's CheckpointException, which is not an Exception."""
    try:
        yield
    except CheckpointException as error:
        raise next(failure for failure, _ in error.failures.values()) from error
