"""Communication between the processes of one training, through torch.distributed.

Rank 0 runs the command as a single process would, and alone writes and prints; the others run ``pipeline.worker``. With
one process nothing here calls torch.distributed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from topwork.compute.devices import tune_malloc
from topwork.compute.ranks import World, restarts, world
from topwork.core.errors import PeerLost
from topwork.core.signals import Signals, exit_with_parent

TIMEOUT = timedelta(hours=1)  # rank 0 may inspect many images, or fit a head, while the others wait
MAX_MESSAGE_BYTES = 1 << 30
Files = dict[str, bytes]


def init_process_group() -> World:
    """Join the process group: gloo for tensors on the CPU, and NCCL for GPUs where there are any."""
    process = world()
    if process.size > 1 and not dist.is_initialized():
        tune_malloc()  # before the threads that exchange begin
        exit_with_parent(os.getppid())
        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(process.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(
            backend, timeout=TIMEOUT, store=_rendezvous_store(), rank=process.rank, world_size=process.size
        )
    return process


def _rendezvous_store() -> dist.Store:
    """Where the processes exchange their addresses: those of an earlier start must not be found there.

    The agents' store outlives starts. Without it rank 0 opens one of its own, when it is ready to; then a machine may
    have joined later than others, and counts restarts otherwise.
    """
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store, _, size = next(iter(rendezvous("env://", timeout=timedelta(seconds=30) if agent else TIMEOUT)))
    store.set_timeout(TIMEOUT)
    return dist.PrefixStore(f"topwork/{restarts()}/{size}", store) if agent else store


def destroy_process_group() -> None:
    """Leave the process group once all processes have arrived here."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


@contextlib.contextmanager
def translate_lost_peer(signals: Signals) -> Iterator[None]:
    """Turn a lost connection, or the request to stop that explains it, into an error of one line."""
    try:
        yield
    except RuntimeError as error:
        if not dist.is_initialized() or (not isinstance(error, dist.DistError) and "gloo" not in str(error)):
            raise
        signals.raise_if_stopped()
        raise PeerLost(signals.resume_command) from error


def broadcast(value: Any, files: Files | None = None) -> None:
    """Send a JSON value and files to the other processes, which wait in ``receive_broadcast``. Rank 0 calls it."""
    if world().size == 1:
        return
    files = files or {}
    head = json.dumps([value, [[name, len(data)] for name, data in files.items()]]).encode("utf-8", "surrogatepass")
    dist.broadcast(torch.tensor(len(head)), 0)
    for data in (head, *files.values()):
        _broadcast(torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0))


def receive_broadcast() -> tuple[Any, Files]:
    """The next value and files that rank 0 sends."""
    size = torch.tensor(0)
    dist.broadcast(size, 0)
    value, sizes = json.loads(_broadcast(torch.empty(int(size), dtype=torch.uint8)).decode("utf-8", "surrogatepass"))
    return value, {name: _broadcast(torch.empty(count, dtype=torch.uint8)) for name, count in sizes}


def _broadcast(data: torch.Tensor) -> bytes:
    for chunk in data.split(MAX_MESSAGE_BYTES) if len(data) else ():
        dist.broadcast(chunk, 0)
    return b"" if world().is_main else data.numpy().tobytes()


def broadcast_from_main(compute: Callable[[], Files]) -> Files:
    """The files that a function returns in rank 0, in every process; the others do not call it."""
    if world().size == 1:
        return compute()
    if not world().is_main:
        return receive_broadcast()[1]
    files = compute()
    broadcast(None, files)
    return files


def all_reduce_mean(value: torch.Tensor) -> torch.Tensor:
    """The mean over all processes of a floating-point tensor of one shape."""
    if world().size == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / world().size


def all_reduce_max(number: int) -> int:
    """The largest of the numbers of all processes."""
    if world().size == 1:
        return number
    found = torch.tensor(number)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def any_stop_requested(signals: Signals) -> bool:
    """Whether any process has received a signal; then all stop at the same step."""
    signals.received = all_reduce_max(signals.received)
    return signals.stop_requested()


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A complete tensor on the CPU, gathered if it is sharded; all processes must call it."""
    gather: Any = getattr(tensor, "full_tensor", None)
    return (gather() if gather else tensor).detach().cpu().contiguous()


def to_local(tensor: torch.Tensor) -> torch.Tensor:
    """The shard of a tensor that this process holds; the tensor itself if it is not sharded."""
    own: Any = getattr(tensor, "to_local", None)
    return own() if own else tensor


def broadcast_tensors(tensors: Iterable[torch.Tensor]) -> None:
    """Fill tensors on the CPU with those of rank 0."""
    for tensor in tensors:
        values = tensor.contiguous()
        dist.broadcast(values, 0)
        tensor.copy_(values)


def map_batches(
    items: Sequence[str], batch: int, compute: Callable[[Sequence[str]], list[torch.Tensor]]
) -> list[torch.Tensor]:
    """The results of a function for items, each computed once, in complete batches: the bits are those of one process.

    Args:
        items: The same in every process, (N,), at least one.
        batch: Items per call.
        compute: Returns CPU tensors of one dtype, each (n, ...), for n >= 1 of the items.

    Returns:
        The tensors for all items, (N, ...), in their order, in every process.
    """
    process, batches = world(), -(-len(items) // batch)
    if process.size == 1:
        return compute(items)
    first, last = (number * batch for number in process.shard_bounds(batches))
    share, longest = [*items[first:last]], -(-batches // process.size) * batch
    # every process computes as many batches: a sharded model needs all at once, and one without a share
    # still learns the shapes
    own = compute(share + [items[0]] * (longest - batch + 1 - len(share)))
    found = []
    for rows in own:
        mine = rows.new_zeros(longest, *rows.shape[1:])
        mine[: min(len(rows), last - first)] = rows[: last - first]
        shares = [torch.empty_like(mine) for _ in range(process.size)]
        dist.all_gather(shares, mine)
        bounds = [World(rank, process.size).shard_bounds(batches) for rank in range(process.size)]
        found.append(torch.cat([s[: (b - a) * batch] for s, (a, b) in zip(shares, bounds, strict=True)])[: len(items)])
    return found


def gather_round_robin(
    own: Iterator[np.ndarray], counts: Sequence[int], width: int, signals: Signals
) -> Iterator[np.ndarray]:
    """Batches that the processes compute in turn, in their order, in rank 0; the others must go through it too.

    Args:
        own: Batches ``rank``, ``rank + size``, ... of this process, each float32 (n, D).
        counts: Rows of all batches; none has more than the first.
        width: D.
        signals: A request to stop in any process stops all.
    """
    process = world()
    for first in range(0, len(counts), process.size):
        mine = next(own, np.empty((0, width), np.float32))
        if process.size == 1:
            yield mine
        else:
            room = torch.zeros(counts[0], width)
            room[: len(mine)] = torch.from_numpy(mine)
            shares = [torch.empty_like(room) for _ in range(process.size)] if process.is_main else None
            dist.gather(room, shares)
            for share, count in zip(shares or (), counts[first : first + process.size], strict=False):
                yield share[:count].numpy()
        if any_stop_requested(signals):
            return
